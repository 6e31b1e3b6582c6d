"""What a sandbox may report, and with which token."""

from __future__ import annotations

from typing import Any

import pytest

from lap.core.secrets import hash_token
from sessions.environment import callback_token
from sessions.models import Session
from tests.api import NOBODY, SESSIONS, Api
from tests.conftest import MakeAgent

TOKEN = callback_token("harness token")
OTHER = callback_token("another harness token")


@pytest.fixture
def session(make_agent: MakeAgent) -> Session:
    return Session.objects.create(
        agent=make_agent(), harness_token="harness token", callback_token_hash=hash_token(TOKEN)
    )


def report(session_id: Any, body: Any, authorization: str = f"Bearer {TOKEN}") -> Any:
    path = f"{SESSIONS}/{session_id}/phase"
    return Api.anonymous().post(path, body, Authorization=authorization)


@pytest.mark.parametrize("phase", ["cloning_repo", "installing_deps", "harness_listening"])
def test_a_sandbox_reports_how_far_it_is(session: Session, phase: str) -> None:
    answer = report(session.id, {"phase": phase, "detail": "half"})
    assert (answer.status, answer.body) == (200, {"ok": True})
    session.refresh_from_db()
    assert (session.phase, session.phase_detail) == (phase, "half")


def test_phases_come_in_any_order(session: Session) -> None:
    for phase in ("harness_listening", "cloning_repo"):
        assert report(session.id, {"phase": phase}).status == 200
    session.refresh_from_db()
    assert (session.phase, session.phase_detail) == ("cloning_repo", "")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "phase"),
        ({"phase": "ready"}, "phase"),
        ({"phase": ["cloning_repo"]}, "phase"),
        ({"phase": None}, "phase"),
        ({"phase": "\ud800"}, "phase"),
        ({"phase": "cloning_repo", "detail": "x" * 501}, "detail"),
        ({"phase": "cloning_repo", "detail": 5}, "detail"),
        ({"phase": "cloning_repo", "detail": "a\0b"}, "detail"),
    ],
)
def test_bad_reports(session: Session, body: dict[str, Any], path: str) -> None:
    answer = report(session.id, body)
    assert answer.status == 400
    assert [item["path"] for item in answer.error] == [path]
    session.refresh_from_db()
    assert session.phase == ""


@pytest.mark.parametrize("status", ["ready", "stopping"])
def test_a_late_report_changes_nothing(session: Session, status: str) -> None:
    Session.objects.update(status=status, stop_as="dead", phase="ready")
    assert report(session.id, {"phase": "cloning_repo"}).body == {"ok": True}
    session.refresh_from_db()
    assert session.phase == "ready"


def test_the_token_of_an_earlier_attempt_is_no_longer_known(session: Session) -> None:
    Session.objects.update(callback_token_hash=hash_token(OTHER), attempt=2)
    assert report(session.id, {"phase": "cloning_repo"}).status == 401


@pytest.mark.parametrize(
    "authorization",
    [
        "", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {OTHER}", f"Bearer {TOKEN}x",
        f"Bearer {hash_token(TOKEN)}", "Bearer \xff", "Bearer " + "x" * 10_000,
    ],
)  # fmt: skip
def test_wrong_tokens(session: Session, authorization: str) -> None:
    answer = report(session.id, {"phase": "cloning_repo"}, authorization)
    assert (answer.status, answer.body) == (401, {"error": "unauthorized"})


@pytest.mark.parametrize("session_id", [NOBODY, "nobody"])
def test_unknown_sessions_are_told_apart_from_nothing(session: Session, session_id: str) -> None:
    assert report(session_id, {"phase": "cloning_repo"}).status == 401


def test_a_session_without_a_token_has_none(session: Session) -> None:
    Session.objects.update(callback_token_hash="")
    for authorization in ("Bearer", "Bearer ", f"Bearer {TOKEN}"):
        assert report(session.id, {"phase": "cloning_repo"}, authorization).status == 401


def test_keys_are_no_callback_tokens(session: Session, api: Api) -> None:
    assert api.post(f"{SESSIONS}/{session.id}/phase", {"phase": "cloning_repo"}).status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", "/message"), ("GET", "/messages"), ("POST", "/stop"), ("DELETE", "")],
)
def test_the_token_is_good_for_nothing_else(session: Session, method: str, path: str) -> None:
    answer = Api.anonymous()(
        method, f"{SESSIONS}/{session.id}{path}", Authorization=f"Bearer {TOKEN}"
    )
    assert answer.status == 401


def test_a_token_is_good_for_its_own_session_only(session: Session, make_agent: MakeAgent) -> None:
    other = Session.objects.create(
        agent=make_agent(), harness_token="x", callback_token_hash=hash_token(OTHER)
    )
    assert report(other.id, {"phase": "cloning_repo"}).status == 401
