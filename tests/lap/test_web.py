"""What all pages share: policy, viewer's zone, permissions, errors, tags."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from lap.core.words import span
from lap.web import tags
from lap.web.viewer import ViewerZoneMiddleware

NINE = datetime(2026, 11, 23, 17, 0, 5, tzinfo=UTC)


@pytest.fixture
def bob(client: Client, db: None) -> User:
    user = User.objects.create(username="bob")
    client.force_login(user)
    return user


def allow(user: User, codename: str) -> None:
    user.user_permissions.add(Permission.objects.get(codename=codename))


# The policy


def policy(client: Client, path: str) -> dict[str, str]:
    header = client.get(path)["Content-Security-Policy"]
    return dict(part.split(" ", 1) for part in header.split("; "))


def test_scripts_of_pages_need_this_answers_nonce(client: Client, db: None) -> None:
    answer = client.get("/login/")
    [nonce] = set(re.findall(r'<script nonce="([^"]+)"', answer.content.decode()))
    assert f"script-src 'nonce-{nonce}'" in answer["Content-Security-Policy"]
    assert policy(client, "/login/")["script-src"] != f"'nonce-{nonce}'"


@pytest.mark.parametrize("path", ["/login/", "/admin/login/", "/api/v1/docs", "/nowhere/"])
def test_no_policy_is_unsafe(client: Client, db: None, path: str) -> None:
    found = policy(client, path)
    assert "unsafe" not in str(found)
    assert found["default-src"] == found["frame-ancestors"] == found["base-uri"] == "'none'"


# The viewer's zone


@pytest.mark.parametrize(
    ("cookie", "path", "zone"),
    [
        ("America/Los_Angeles", "/fleet/", "America/Los_Angeles"),
        ("America/Los_Angeles", "/admin/access/apikey/add/", "UTC"),
        ("", "/", "UTC"),
        ("../../etc/passwd", "/", "UTC"),
        ("Mars/Olympus", "/", "UTC"),
    ],
)
def test_pages_are_made_in_the_viewers_zone(cookie: str, path: str, zone: str) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(timezone.get_current_timezone_name())

    request = RequestFactory().get(path)
    request.COOKIES["lap_zone"] = cookie
    answer = ViewerZoneMiddleware(view)(request)
    assert isinstance(answer, HttpResponse)
    assert answer.content.decode() == zone
    assert timezone.get_current_timezone_name() == "UTC"


# Permissions


def test_a_page_says_which_permission_it_needs(client: Client, bob: User) -> None:
    answer = client.get("/agents/")
    assert answer.status_code == 403
    assert "This needs the permission agents.view_agent." in answer.content.decode()


def test_who_may_read_may_not_write(client: Client, bob: User) -> None:
    allow(bob, "view_agent")
    assert client.get("/agents/").status_code == 200
    assert client.post("/agents/new/").status_code == 403


def test_a_method_that_a_page_does_not_have(client: Client, bob: User) -> None:
    assert client.post("/fleet/").status_code == 405


# Errors


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "nonsense"])
def test_other_charsets_are_refused(client: Client, db: None, charset: str) -> None:
    kind = f"application/x-www-form-urlencoded; charset={charset}"
    assert client.generic("POST", "/login/", b"username=%2B2AA-", kind).status_code == 415
    assert client.get("/agents/?search=%2B2AA-", headers={"Content-Type": kind}).status_code == 415


def test_an_old_form_is_explained(bob: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob)
    answer = strict.post("/logout/")
    assert answer.status_code == 403
    assert "reload the page and send it again" in answer.content.decode()


def test_a_page_that_is_not_there_leads_back(client: Client, bob: User) -> None:
    answer = client.get("/nowhere/<b>")
    assert answer.status_code == 404
    assert "<code>/nowhere/&lt;b&gt;</code>" in answer.content.decode()
    assert '<a href="/">' in answer.content.decode()


# Tags


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.418, "0.42 s"),
        (12, "12 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3599.7, "1 h"),
        (7500, "2 h 5 min"),
        (86_400 + 7200, "1 d 2 h"),
        (86_400 + 5, "1 d"),
        (0, "0.00 s"),
        (-3, "-3.00 s"),
    ],
)
def test_span(seconds: float, shown: str) -> None:
    assert span(timedelta(seconds=seconds)) == shown


def test_instants_are_shown_in_the_viewers_zone_with_the_exact_one_beside() -> None:
    with timezone.override("America/Los_Angeles"):
        assert tags.instant(NINE).startswith(
            '<time datetime="2026-11-23T17:00:05Z" title="2026-11-23 09:00:05 PST">'
        )
        assert 'class="from-now" datetime="2026-11-23T17:00:05Z" title="2026' in tags.moment(NINE)
    assert tags.instant(datetime(2019, 1, 2, 3, 4, tzinfo=UTC)).endswith(">2 Jan 2019 03:04</time>")
    assert tags.instant(None) == tags.moment(None) == span(None) == "—"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (-4.9, "now"),
        (5, "in 5 s"),
        (59.9, "in 59 s"),
        (60, "in 1 min"),
        (3599, "in 59 min"),
        (4920, "in 1 h 22 min"),
        (86_399, "in 23 h 59 min"),
        (44 * 3600 + 24 * 60, "in 1 d 20 h"),
        (400 * 86_400, "in 400 d"),
        (-61, "1 min ago"),
        (-86_400, "1 d 0 h ago"),
    ],
)
def test_times_from_now_are_never_rounded_up(seconds: float, words: str) -> None:
    assert tags.from_now(NINE + timedelta(seconds=seconds), NINE) == words


def test_a_status_is_told_in_words() -> None:
    assert tags.status("skipped_overlap") == '<span class="pill warn">skipped overlap</span>'
    assert tags.status("failed", "<b>") == '<span class="pill bad">&lt;b&gt;</span>'
    assert tags.trigger("cron") == '<span class="badge cron">cron</span>'
    assert tags.trigger("api") == ""
