"""The schedule on an agent's admin page: shown as the pages show it while it is typed."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from tests.agents.browser import ADD, change_url, opened, spoil


def preview_of(page: str) -> dict[str, str]:
    """The attributes of the preview's element."""
    element = re.search(r'<div class="lap-preview"([^>]*)>', page)
    assert element is not None
    return dict(re.findall(r'([\w-]+)="([^"]*)"', unescape(element[1])))


def test_it_asks_for_the_fragment_that_the_pages_use(ada: Client, nightly: Agent) -> None:
    asked = preview_of(ada.get(change_url(nightly)).content.decode())
    assert asked["hx-get"] == f"{reverse('schedule-preview')}?agent={nightly.pk}"
    typed = opened(ada, change_url(nightly))
    for field in ("cron_schedule", "cron_timezone", "cron_enabled"):
        assert field in typed
        assert f"#id_{field}" in asked["hx-include"]
        assert f"from:#id_{field}" in asked["hx-trigger"]


def test_the_fragment_answers_somebody_in_the_admin(ada: Client, nightly: Agent) -> None:
    address = preview_of(ada.get(change_url(nightly)).content.decode())["hx-get"]
    typed = {"cron_schedule": "30 7 * * *", "cron_timezone": "Asia/Tokyo", "cron_enabled": "on"}
    for values, shown in ((typed, "Daily at 07:30"), ({**typed, "cron_schedule": "x"}, "invalid")):
        fragment = ada.get(address, values, headers={"HX-Request": "true"})
        assert fragment.status_code == 200
        assert shown in fragment.content.decode()


def test_a_new_agent_has_a_preview_too(ada: Client) -> None:
    assert preview_of(ada.get(ADD).content.decode())["hx-get"] == reverse("schedule-preview")


def test_without_scripts_it_says_what_is_stored(ada: Client, nightly: Agent) -> None:
    page = unescape(ada.get(change_url(nightly)).content.decode())
    assert ">Daily at 09:00 (America/New_York)</div>" in page
    spoil(nightly)
    page = unescape(ada.get(change_url(nightly)).content.decode())
    assert ">not valid: @daily (America/New_York)</div>" in page


def test_htmx_comes_along_and_injects_nothing(ada: Client, nightly: Agent) -> None:
    page = unescape(ada.get(change_url(nightly)).content.decode())
    assert '"includeIndicatorStyles": false' in page
    scripts = re.findall(r"<script src=\"/static/([^\"]+)\"", page)
    assert "django_htmx/htmx-2.min.js" in scripts
    assert all(finders.find(path) for path in scripts)


def test_who_may_only_look_gets_no_script_for_it(client: Client, nightly: Agent) -> None:
    bob = User.objects.create(username="bob", is_staff=True)
    bob.user_permissions.add(Permission.objects.get(codename="view_agent"))
    client.force_login(bob)
    page = unescape(client.get(change_url(nightly)).content.decode())
    assert ">Daily at 09:00 (America/New_York)</div>" in page
    assert "htmx-2.min.js" not in page


@pytest.mark.parametrize("path", ["", "agents/agent/", "agents/agent/add/"])
def test_every_page_has_the_styles_and_the_icon(ada: Client, path: str) -> None:
    page = ada.get(f"/admin/{path}").content.decode()
    assert "/static/lap/admin.css" in page
    assert "/static/lap/icon.svg" in page


def test_it_leads_to_the_agents_own_page(ada: Client, nightly: Agent) -> None:
    page = ada.get(change_url(nightly)).content.decode()
    link = f'<a href="{reverse("agent", args=[nightly.pk])}" class="viewsitelink">View on site</a>'
    assert link in page
