"""Logging in: one page for the product and for Django's admin, and not too many attempts."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick_hashes(settings: Settings) -> None:
    """Many attempts in little time: the limits are by time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", password=PASSWORD, is_staff=True)


def attempt(client: Client, password: str, name: str = "ada", **extra: Any) -> Any:
    return client.post("/login/", {"username": name, "password": password}, **extra)


def test_who_knows_the_password_goes_where_they_wanted(client: Client, ada: User) -> None:
    first = client.get("/agents/?search=x")
    assert first["Location"] == "/login/?next=/agents/%3Fsearch%3Dx"
    sent = {"username": "ada", "password": PASSWORD, "next": "/agents/?search=x"}
    assert client.post("/login/", sent)["Location"] == "/agents/?search=x"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:1"])
def test_the_login_leads_nowhere_else(client: Client, ada: User, target: str) -> None:
    sent = {"username": "ada", "password": PASSWORD, "next": target}
    assert client.post("/login/", sent)["Location"] == "/agents/"


def test_admin_has_the_same_login(client: Client, ada: User) -> None:
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1] == ("/login/?next=/admin/", 302)
    assert "Log in to LAP" in answer.content.decode()


def test_admin_turns_away_who_is_no_staff(client: Client, db: None) -> None:
    client.force_login(User.objects.create(username="bob"))
    answer = client.get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "The admin is for members of staff." in answer.content.decode()


def test_admins_login_page_is_not_for_who_is_in(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/admin/login/?next=/evil/")["Location"] == "/admin/"


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_fragment_takes_nobody_away_from_what_they_type(
    client: Client, db: None, method: str
) -> None:
    answer = getattr(client, method)("/agents/new/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content) == (401, b"")


def test_after_logging_in_nothing_is_sent_again(client: Client, db: None) -> None:
    assert client.post("/agents/new/", {"model": "none"})["Location"] == "/login/?next="


def test_guessing_is_slowed_down(client: Client, ada: User, settings: Settings) -> None:
    settings.LAP_LOGINS_PER_MINUTE = 3
    for _ in range(3):
        assert "correct username and password" in attempt(client, "wrong").content.decode()
    refused = attempt(client, PASSWORD).content.decode()
    assert "Too many attempts to log in. Try again in" in refused
    assert "_auth_user_id" not in client.session


def test_a_name_is_guarded_wherever_the_attempts_come_from(
    client: Client, ada: User, settings: Settings
) -> None:
    settings.LAP_LOGINS_PER_MINUTE = 3
    for number in range(30):
        attempt(client, "wrong", REMOTE_ADDR=f"192.0.2.{number}")
    assert "Too many" in attempt(client, PASSWORD, "ADA", REMOTE_ADDR="192.0.2.99").content.decode()
    other = attempt(client, "wrong", "bob", REMOTE_ADDR="192.0.2.99").content.decode()
    assert "correct username and password" in other


def test_one_address_cannot_lock_anybody_out(client: Client, ada: User, settings: Settings) -> None:
    settings.LAP_LOGINS_PER_MINUTE = 3
    for _ in range(40):
        attempt(client, "wrong", REMOTE_ADDR="192.0.2.1")
    assert attempt(client, PASSWORD, REMOTE_ADDR="192.0.2.2").status_code == 302


def test_who_knows_the_password_is_not_counted(
    client: Client, ada: User, settings: Settings
) -> None:
    settings.LAP_LOGINS_PER_MINUTE = 2
    for _ in range(5):
        assert attempt(client, PASSWORD).status_code == 302
        client.logout()


def test_there_may_be_no_limit(client: Client, ada: User, settings: Settings) -> None:
    settings.LAP_LOGINS_PER_MINUTE = 0
    for _ in range(12):
        attempt(client, "wrong")
    assert attempt(client, PASSWORD).status_code == 302


def test_logging_out(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.post("/logout/")["Location"] == "/login/"
    assert "_auth_user_id" not in client.session
