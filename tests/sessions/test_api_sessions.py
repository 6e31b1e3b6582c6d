"""Sessions over the API: shown, listed, stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent
from sessions.models import Session
from tests.api import NOBODY, SESSIONS, Api
from tests.conftest import MakeAgent
from tests.sessions.wire import WIRE

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent(cron_run_timeout_seconds=60)


# Reading


def test_what_a_run_shows(api: Api, agent: Agent) -> None:
    stored = Session.objects.create(
        agent=agent,
        trigger="cron",
        scheduled_for=START,
        status="failed",
        stopped_at=START + timedelta(seconds=90),
        started_at=START + timedelta(milliseconds=250),
        sandbox_name="s-1-1",
        sandbox_url="http://127.0.0.1:9",
        harness_token="hush",
        phase="ready",
        response="out",
        failure_reason="exit code 1",
        failure_kind="prompt",
    )
    answer = api.get(f"{SESSIONS}/{stored.id}")
    assert answer.body.keys() == WIRE
    assert (
        answer.body
        | {
            "task_arn": "s-1-1",
            "sandbox_url": "http://127.0.0.1:9",
            "status": "failed",
            "trigger": "cron",
            "phase": "ready",
            "response": "out",
            "failure_reason": "exit code 1",
            "failure_kind": "prompt",
            "scheduled_for": "2026-03-01T00:00:00Z",
            "started_at": "2026-03-01T00:00:00.250000Z",
            "stopped_at": "2026-03-01T00:01:30Z",
            "tty_url": None,
            "tty_token": None,
        }
        == answer.body
    )


@pytest.mark.parametrize("session_id", [NOBODY, "1", "%00", NOBODY.replace("-", ""), "a%0Ab"])
def test_unknown_sessions(api: Api, session_id: str) -> None:
    path = f"{SESSIONS}/{session_id}"
    for answer in (api.get(path), api.delete(path), api.post(f"{path}/stop")):
        assert answer.status == 404
        assert answer.error.startswith("session ")
        assert answer.error.endswith(" not found")
    assert api.get(f"{SESSIONS}/{NOBODY}").error == f"session {NOBODY} not found"


@pytest.fixture
def many(agent: Agent, make_agent: MakeAgent) -> list[Session]:
    """Two agents with ten sessions each, four and four of them at the same instant."""
    rows = [
        Session(
            agent=owner,
            created_at=START + timedelta(minutes=n // 4),
            trigger="cron" if n % 2 else "api",
            scheduled_for=START + timedelta(minutes=n) if n % 2 else None,
            status="completed" if n % 5 == 0 else "creating",
            stopped_at=START if n % 5 == 0 else None,
        )
        for owner in (agent, make_agent())
        for n in range(10)
    ]
    return Session.objects.bulk_create(rows)


def _newest_first(sessions: list[Session]) -> list[str]:
    ordered = sorted(sessions, key=lambda row: (row.created_at, row.id), reverse=True)
    return [str(session.id) for session in ordered]


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 200])
def test_pages_follow_each_other_without_gap_or_repeat(
    api: Api, many: list[Session], limit: int
) -> None:
    pages = list(api.pages(f"{SESSIONS}?limit={limit}"))
    assert [row["id"] for page in pages for row in page] == _newest_first(many)
    assert all(len(page) == limit for page in pages[:-1])


def test_a_page_stays_where_it_was_when_sessions_are_added(
    api: Api, agent: Agent, many: list[Session]
) -> None:
    pages = api.pages(f"{SESSIONS}?limit=15")
    first = next(pages)
    Session.objects.create(agent=agent)
    assert [row["id"] for row in first + next(pages)] == _newest_first(many)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("agent_id={agent}", lambda row, agent: row.agent_id == agent.id),
        ("agent_id=" + NOBODY, lambda row, agent: False),
        ("trigger=cron", lambda row, agent: row.trigger == "cron"),
        ("trigger=manual", lambda row, agent: False),
        ("status=completed", lambda row, agent: row.status == "completed"),
        (
            "agent_id={agent}&trigger=api&status=creating&limit=2",
            lambda row, agent: (
                (row.agent_id, row.trigger, row.status) == (agent.id, "api", "creating")
            ),
        ),
        ("agent_id=&trigger=&status=&before=", lambda row, agent: True),
        ("limit=0", lambda row, agent: True),
        ("limit=many", lambda row, agent: True),
    ],
)
def test_filters(api: Api, agent: Agent, many: list[Session], query: str, wanted: Any) -> None:
    pages = api.pages(f"{SESSIONS}?{query.format(agent=agent.id)}")
    expected = [row for row in many if wanted(row, agent)]
    assert [row["id"] for page in pages for row in page] == _newest_first(expected)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("agent_id=x", "agent_id"),
        ("agent_id=%00", "agent_id"),
        ("trigger=webhook", "trigger"),
        ("status=running", "status"),
        ("before=x", "before"),
        ("before=%00", "before"),
        ("before=%E2%82%AC", "before"),
        ("before=AAAA", "before"),
        ("before=MjAyNi0wMy0wMSAx", "before"),
    ],
)
def test_bad_filters(api: Api, query: str, path: str) -> None:
    answer = api.get(f"{SESSIONS}?{query}")
    assert answer.status == 400
    assert [error["path"] for error in answer.error] == [path]


def test_the_list_is_two_queries_that_leave_secrets_and_threads_alone(
    api: Api, many: list[Session], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2) as queries:
        assert len(api.get(SESSIONS).body) == 20
    columns = queries.captured_queries[1]["sql"].partition(" FROM ")[0]
    for heavy in ("thread", "attachments", "env_vars", "harness_token", "initial_prompt"):
        assert heavy not in columns


# Stopping


@pytest.mark.parametrize("door", ["DELETE", "POST"])
@pytest.mark.parametrize("status", ["creating", "ready"])
def test_stopping_asks_the_holder_and_can_be_repeated(
    api: Api, agent: Agent, door: str, status: str
) -> None:
    session = Session.objects.create(agent=agent, status=status)
    path = f"{SESSIONS}/{session.id}" + ("/stop" if door == "POST" else "")
    for _ in range(2):
        answer = api(door, path)
        assert (answer.status, answer.body) == (200, {"id": str(session.id), "status": "deleted"})
    session.refresh_from_db()
    assert (session.status, session.stop_as) == ("stopping", "dead")
    assert (session.failure_reason, session.failure_kind) == ("stopped through the API", "stopped")


@pytest.mark.parametrize("status", ["completed", "failed", "dead"])
def test_a_final_session_keeps_its_status(api: Api, agent: Agent, status: str) -> None:
    session = Session.objects.create(agent=agent, status=status, stopped_at=START)
    for answer in (
        api.delete(f"{SESSIONS}/{session.id}"),
        api.post(f"{SESSIONS}/{session.id}/stop"),
    ):
        assert (answer.status, answer.body) == (200, {"id": str(session.id), "status": status})
    session.refresh_from_db()
    assert (session.status, session.failure_reason) == (status, None)


def test_a_session_that_fails_by_itself_while_stopping_keeps_its_reason(
    api: Api, agent: Agent
) -> None:
    session = Session.objects.create(
        agent=agent, status="stopping", stop_as="failed", failure_reason="timed out"
    )
    assert api.delete(f"{SESSIONS}/{session.id}").body["status"] == "deleted"
    session.refresh_from_db()
    assert (session.stop_as, session.failure_reason) == ("failed", "timed out")
