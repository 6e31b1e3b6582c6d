"""Logging in and out, as people do."""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage

PASSWORD = "correct horse battery"


def test_a_stranger_logs_in_with_the_keyboard_and_comes_where_they_wanted(
    open_page: OpenPage,
) -> None:
    User.objects.create_superuser("ada", password=PASSWORD)
    page = open_page(anonymous=True)
    page.goto("/fleet/")
    page.get_by_label("Username").focus()
    for typed in ("ada", PASSWORD):
        page.keyboard.type(typed)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/fleet/$"))
    expect(page.get_by_role("banner")).to_contain_text("ada")

    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile("/login/$"))
    page.goto("/fleet/")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_wrong_password_is_told_and_the_name_kept(open_page: OpenPage) -> None:
    User.objects.create_superuser("ada", password=PASSWORD)
    page = open_page(anonymous=True)
    page.goto("/login/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    expect(page.get_by_label("Username")).to_have_value("ada")
