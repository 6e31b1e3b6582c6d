"""Sessions opened over the API."""

from __future__ import annotations

import base64
from collections.abc import Iterator
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
from tests.sessions.wire import WIRE

PIXEL = base64.b64encode(b"\x89PNG\r\n").decode()
MEGABYTE = 1024 * 1024


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent(cron_run_timeout_seconds=60)


def _path(agent: Agent) -> str:
    return f"{AGENTS}/{agent.id}/session"


def _encoded(size: int) -> str:
    return base64.b64encode(b"x" * size).decode()


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
        "created_by": "master key",
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


@pytest.mark.django_db(transaction=True)  # else the limits of create_agent's transaction hold on
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


def test_opening_needs_four_statements(
    api: Api, agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(6):  # rate, agent, savepoint, insert, notify, release
        api.post(_path(agent), {"initial_prompt": "hi"})


def test_idle_timeout_follows_the_settings(api: Api, agent: Agent, settings: Settings) -> None:
    settings.LAP_SESSION_IDLE_SECONDS = 1.5
    assert api.post(_path(agent)).body["idle_timeout_ms"] == 1500
