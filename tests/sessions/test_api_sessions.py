"""Sessions over the API: opened, listed, stopped."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from pytest_django import DjangoAssertNumQueries, Settings

from agents.editing import delete_agent
from agents.models import Agent
from lap.core import secrets
from lap.core.notify import CHANNEL
from sessions.models import Session
from sessions.querysets import HAS_WORK
from tests.api import AGENTS, NOBODY, SESSIONS, Api
from tests.conftest import MakeAgent

WIRE = {
    "id", "agent_id", "sandbox_url", "tty_url", "tty_token", "status", "task_arn", "response",
    "created_at", "last_seen_at", "idle_timeout_ms", "failure_reason", "phase", "phase_detail",
    "trigger", "title", "scheduled_for", "started_at", "stopped_at", "failure_kind",
}  # fmt: skip
PIXEL = base64.b64encode(b"\x89PNG\r\n").decode()
MEGABYTE = 1024 * 1024
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent(cron_run_timeout_seconds=60)


def _path(agent: Agent) -> str:
    return f"{AGENTS}/{agent.id}/session"


def _encoded(size: int) -> str:
    return base64.b64encode(b"x" * size).decode()


# Opening


@pytest.mark.parametrize("body", [None, {}, {"initial_prompt": None, "env_vars": None}])
def test_it_opens_a_session_at_once(api: Api, agent: Agent, body: Any) -> None:
    answer = api.post(_path(agent), body)
    assert answer.status == 200
    stored = Session.objects.get(HAS_WORK)
    assert answer.body == {
        **dict.fromkeys(WIRE),
        "id": str(stored.id),
        "agent_id": str(agent.id),
        "status": "creating",
        "trigger": "api",
        "created_at": stored.created_at.isoformat().replace("+00:00", "Z"),
        "idle_timeout_ms": int(settings.LAP_SESSION_IDLE_SECONDS * 1000),
    }
    assert api.get(f"{SESSIONS}/{stored.id}").body == answer.body
    assert (stored.created_by, stored.run_timeout_seconds) == ("master key", None)
    assert (stored.env_vars, stored.attachments, stored.worker) == (None, None, None)


def test_it_keeps_what_was_sent_and_returns_no_secret(api: Api, agent: Agent) -> None:
    sent = {
        "initial_prompt": "hi\n",
        "title": "Chat",
        "env_vars": {"TOKEN": "sesame"},
        "initial_attachments": [
            {"name": "a.png", "mime_type": "image/png", "base64": PIXEL},
            {"mime_type": "webp", "base64": PIXEL},
        ],
    }
    answer = api.post(_path(agent), sent)
    assert answer.status == 200
    assert answer.body.keys() == WIRE
    assert answer.body["title"] == "Chat"
    stored = Session.objects.get()
    assert (stored.initial_prompt, stored.has_prompt) == ("hi\n", True)
    assert stored.env_vars == {"TOKEN": "sesame"}
    assert stored.attachments == [
        {"name": "a.png", "mime_type": "image/png", "base64": PIXEL},
        {"mime_type": "image/webp", "base64": PIXEL},
    ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(s)::text FROM agent_sessions_session s")
        row = cursor.fetchone()[0]
    assert "sesame" not in row
    assert PIXEL not in row


PNG = {"mime_type": "image/png", "base64": PIXEL}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"initial_prompt": 5}, "initial_prompt"),
        ({"initial_prompt": "\0"}, "initial_prompt"),
        ({"initial_prompt": "\ud800"}, "initial_prompt"),
        ({"initial_prompt": "p" * 100_001}, "initial_prompt"),
        ({"title": ["t"]}, "title"),
        ({"title": "t" * 201}, "title"),
        ({"env_vars": ["A"]}, "env_vars"),
        ({"env_vars": [["A", "B"]]}, "env_vars"),
        ({"env_vars": 0}, "env_vars"),
        ({"env_vars": ""}, "env_vars"),
        ({"env_vars": {"A": 1}}, "env_vars"),
        ({"env_vars": {"A B": ""}}, "env_vars"),
        ({"env_vars": {"GIT_TOKEN": ""}}, "env_vars"),
        ({"env_vars": {"A": secrets.MASK}}, "env_vars"),
        ({"env_vars": {f"A{n}": "" for n in range(51)}}, "env_vars"),
        ({"env_vars": {"A": "x" * 16_384}}, "env_vars"),
        ({"initial_attachments": "x"}, "initial_attachments"),
        ({"initial_attachments": {"0": PNG}}, "initial_attachments"),
        ({"initial_attachments": [PNG] * 11}, "initial_attachments"),
        ({"initial_attachments": ["x"]}, "initial_attachments.0"),
        ({"initial_attachments": [PNG, None]}, "initial_attachments.1"),
        ({"initial_attachments": [{"base64": PIXEL}]}, "initial_attachments.0.mime_type"),
        ({"initial_attachments": [{"mime_type": "image/png"}]}, "initial_attachments.0.base64"),
        (
            {"initial_attachments": [PNG, {**PNG, "mime_type": "image/svg+xml"}]},
            "initial_attachments.1.mime_type",
        ),
        ({"initial_attachments": [{**PNG, "mime_type": 1}]}, "initial_attachments.0.mime_type"),
        ({"initial_attachments": [{**PNG, "name": "n" * 201}]}, "initial_attachments.0.name"),
        ({"initial_attachments": [{**PNG, "base64": ""}]}, "initial_attachments.0.base64"),
        ({"initial_attachments": [{**PNG, "base64": 64}]}, "initial_attachments.0.base64"),
        ({"initial_attachments": [{**PNG, "base64": "a"}]}, "initial_attachments.0.base64"),
        ({"initial_attachments": [{**PNG, "base64": "é==="}]}, "initial_attachments.0.base64"),
        ({"initial_attachments": [{**PNG, "base64": "aa\n="}]}, "initial_attachments.0.base64"),
        (
            {"initial_attachments": [{**PNG, "base64": f"data:image/png;base64,{PIXEL}"}]},
            "initial_attachments.0.base64",
        ),
        (
            {"initial_attachments": [{**PNG, "base64": _encoded(5 * MEGABYTE + 1)}]},
            "initial_attachments.0.base64",
        ),
        (
            {"initial_attachments": [{**PNG, "base64": _encoded(5 * MEGABYTE)}] * 4 + [PNG]},
            "initial_attachments",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_values_open_nothing(api: Api, agent: Agent, fields: dict[str, Any], path: str) -> None:
    answer = api.post(_path(agent), fields)
    assert answer.status == 400
    assert [error["path"] for error in answer.error] == [path]
    assert len(answer.error[0]["message"]) < 200
    assert not Session.objects.exists()


def test_the_largest_attachments_fit(api: Api, agent: Agent) -> None:
    largest = {**PNG, "base64": _encoded(5 * MEGABYTE)}
    assert api.post(_path(agent), {"initial_attachments": [largest] * 4}).status == 200


@pytest.mark.parametrize("agent_id", [NOBODY, "x", f"{{{NOBODY}}}"])
def test_an_unknown_agent_opens_nothing(api: Api, agent_id: str) -> None:
    answer = api.post(f"{AGENTS}/{agent_id}/session", {})
    assert (answer.status, answer.error) == (404, f"agent '{agent_id}' not found")


def test_a_deleted_agent_opens_nothing_and_its_sessions_stay_readable(
    api: Api, agent: Agent
) -> None:
    opened = api.post(_path(agent)).body
    delete_agent(agent.id, "test")
    assert api.post(_path(agent)).status == 404
    assert api.get(f"{SESSIONS}/{opened['id']}").status == 200
    assert len(api.get(f"{SESSIONS}?agent_id={agent.id}").body) == 1


@pytest.fixture
def listening(transactional_db: None) -> Iterator[psycopg.Connection]:
    params = {**connection.get_connection_params(), "autocommit": True}
    for name in ("cursor_factory", "context", "prepare_threshold"):
        params.pop(name, None)
    with psycopg.connect(**params) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        yield listener


def test_opening_and_stopping_wake_the_workers(
    listening: psycopg.Connection, api: Api, agent: Agent
) -> None:
    def woken() -> int:
        return len(list(listening.notifies(timeout=0.2)))

    woken()
    opened = api.post(_path(agent)).body
    assert woken() == 1
    api.post(f"{SESSIONS}/{opened['id']}/stop")
    assert woken() == 1
    api.post(f"{SESSIONS}/{opened['id']}/stop")
    assert woken() == 0


def test_opening_needs_three_statements(
    api: Api, agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(5):  # savepoint, agent, insert, notify, release
        api.post(_path(agent), {"initial_prompt": "hi"})


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


def test_the_list_is_one_query_that_leaves_secrets_and_threads_alone(
    api: Api, many: list[Session], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1) as queries:
        assert len(api.get(SESSIONS).body) == 20
    columns = queries.captured_queries[0]["sql"].partition(" FROM ")[0]
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


def test_idle_timeout_follows_the_settings(api: Api, agent: Agent, settings: Settings) -> None:
    settings.LAP_SESSION_IDLE_SECONDS = 1.5
    assert api.post(_path(agent)).body["idle_timeout_ms"] == 1500
