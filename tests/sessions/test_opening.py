"""Repeated requests, and runs that are started by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from agents.editing import edit_agent
from agents.models import Agent
from lap.core.errors import Conflict
from sessions.models import Session
from sessions.opening import open_session, run_now
from tests.api import AGENTS, NOBODY, Api
from tests.conftest import MakeAgent
from tests.processes import is_somebody_waiting, wait_for

KEY = {"Idempotency_Key": "order-17"}


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent()


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """Run each on a connection of its own; what each returned or raised."""
    results: list[Any] = [None] * len(actions)

    def run(index: int) -> None:
        try:
            results[index] = actions[index]()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[index]) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_the_same_request_again_gives_the_same_session(api: Api, agent: Agent) -> None:
    path = f"{AGENTS}/{agent.id}/session"
    body = {"initial_prompt": "uptime", "env_vars": {"A": "1", "B": "2"}}
    first = api.post(path, body, **KEY)
    again = api.post(path, {"env_vars": {"B": "2", "A": "1"}, **body}, **KEY)
    assert (first.status, again.status) == (200, 200)
    assert first.body["id"] == again.body["id"]
    assert Session.objects.count() == 1


def test_an_answer_that_came_late_shows_how_far_the_session_is(api: Api, agent: Agent) -> None:
    path = f"{AGENTS}/{agent.id}/session"
    first = api.post(path, **KEY).body
    Session.objects.update(status="ready")
    again = api.post(path, **KEY).body
    assert (again["id"], again["status"]) == (first["id"], "ready")


@pytest.mark.parametrize(
    "other",
    [
        {"initial_prompt": "df"},
        {"title": "another"},
        {"env_vars": {"A": "2"}},
        {"initial_attachments": [{"mime_type": "png", "base64": "aGk="}]},
    ],
)
def test_the_same_key_with_another_request_is_a_conflict(
    api: Api, agent: Agent, other: dict[str, Any]
) -> None:
    path = f"{AGENTS}/{agent.id}/session"
    api.post(path, {"initial_prompt": "uptime", "env_vars": {"A": "1"}}, **KEY)
    answer = api.post(path, {"initial_prompt": "uptime", "env_vars": {"A": "1"}, **other}, **KEY)
    assert answer.status == 409
    assert answer.error == "this Idempotency-Key was used with another request; use a new one"
    assert Session.objects.count() == 1


def test_a_key_belongs_to_one_agent(api: Api, agent: Agent, make_agent: MakeAgent) -> None:
    ids = {api.post(f"{AGENTS}/{a.id}/session", **KEY).body["id"] for a in (agent, make_agent())}
    assert len(ids) == 2


def test_without_a_key_every_request_counts(api: Api, agent: Agent) -> None:
    for _ in range(2):
        assert api.post(f"{AGENTS}/{agent.id}/session").status == 200
    assert Session.objects.count() == 2


@pytest.mark.parametrize("key", ["a b", "x" * 201, "é", "tab\there"])
def test_bad_keys(api: Api, agent: Agent, key: str) -> None:
    answer = api.post(f"{AGENTS}/{agent.id}/session", Idempotency_Key=key)
    assert answer.status == 400
    assert [item["path"] for item in answer.error] == ["Idempotency-Key"]
    assert not Session.objects.exists()


def test_what_the_digest_covers_is_not_to_be_read_from_it(api: Api, agent: Agent) -> None:
    body = {"env_vars": {"PIN": "not hex"}}
    api.post(f"{AGENTS}/{agent.id}/session", body, **KEY)
    [digest] = Session.objects.values_list("idempotency_digest", flat=True)
    assert len(digest) == 64
    assert "not hex" not in digest


@pytest.mark.parametrize(
    ("name", "meant"),
    [("prompt", "initial_prompt"), ("text", "initial_prompt"), ("env", "env_vars")],
)
def test_near_misses_are_named(api: Api, agent: Agent, name: str, meant: str) -> None:
    answer = api.post(f"{AGENTS}/{agent.id}/session", {name: "uptime"})
    assert answer.status == 400
    assert answer.error == [{"path": name, "message": f"is called {meant}"}]
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_same_request_twice_at_once_opens_one_session(agent: Agent) -> None:
    def call() -> UUID:
        return open_session(agent.id, actor="test", idempotency_key="k", initial_prompt="a").id

    results = at_once(*[call] * 6)
    assert len(set(results)) == 1, results
    assert Session.objects.count() == 1


# Run now


def test_a_manual_run_is_told_what_a_scheduled_one_would_be(api: Api, agent: Agent) -> None:
    edit_agent(agent.id, {"cron_prompt": "uptime", "cron_run_timeout_seconds": 60}, "test")
    answer = api.post(f"{AGENTS}/{agent.id}/cron/run")
    assert answer.status == 200
    assert (answer.body["trigger"], answer.body["status"]) == ("manual", "creating")
    assert answer.body["scheduled_for"] is None
    session = Session.objects.get()
    assert (session.initial_prompt, session.run_timeout_seconds) == ("uptime", 60)
    assert session.created_by == "master key"


def test_a_manual_run_leaves_the_schedule_alone(api: Api, make_agent: MakeAgent) -> None:
    agent = make_agent(cron_schedule="0 9 * * *", cron_enabled=False)
    assert api.post(f"{AGENTS}/{agent.id}/cron/run", {}).status == 200
    before = (agent.cron_next_fire_at, agent.cron_last_fired_at, agent.version)
    agent.refresh_from_db()
    assert (agent.cron_next_fire_at, agent.cron_last_fired_at, agent.version) == before


@pytest.mark.parametrize("trigger", ["cron", "manual"])
@pytest.mark.parametrize("status", ["creating", "ready", "stopping"])
def test_an_active_run_refuses_another_one(
    api: Api, agent: Agent, trigger: str, status: str
) -> None:
    Session.objects.create(
        agent=agent,
        trigger=trigger,
        status=status,
        stop_as="dead" if status == "stopping" else "",
        scheduled_for="2026-03-01T09:00:00Z" if trigger == "cron" else None,
    )
    path = f"{AGENTS}/{agent.id}/cron/run"
    refused = api.post(path)
    assert refused.status == 409
    assert refused.error == "a run of this agent is active; wait for it, stop it, or send force"
    assert api.post(path, {"force": False}).status == 409
    assert api.post(path, {"force": True}).status == 200


def test_a_conversation_refuses_no_run(api: Api, agent: Agent) -> None:
    Session.objects.create(agent=agent, status="ready")
    assert api.post(f"{AGENTS}/{agent.id}/cron/run").status == 200


@pytest.mark.parametrize("body", [{"force": "yes"}, {"force": 1}, {"force": None}])
def test_force_is_a_flag(api: Api, agent: Agent, body: dict[str, Any]) -> None:
    answer = api.post(f"{AGENTS}/{agent.id}/cron/run", body)
    assert answer.status == 400
    assert [item["path"] for item in answer.error] == ["force"]


@pytest.mark.parametrize("agent_id", [NOBODY, "nobody"])
def test_nobody_runs_nothing(api: Api, agent_id: str) -> None:
    answer = api.post(f"{AGENTS}/{agent_id}/cron/run")
    assert (answer.status, answer.error) == (404, f"agent '{agent_id}' not found")


@pytest.mark.django_db(transaction=True)
def test_of_manual_runs_at_once_one_starts(agent: Agent) -> None:
    results = at_once(*[lambda: run_now(agent.id, actor="test")] * 6)
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 5 + ["Session"]


@pytest.mark.django_db(transaction=True)
def test_a_manual_run_waits_for_the_tick_and_sees_its_run(agent: Agent) -> None:
    results: list[Any] = []
    waiting = threading.Thread(
        target=lambda: results.extend(at_once(lambda: run_now(agent.id, actor="test")))
    )
    with transaction.atomic():
        Agent.objects.lock(agent.id)
        waiting.start()
        wait_for(is_somebody_waiting)
        Session.objects.create(agent=agent, trigger="cron", scheduled_for="2026-03-01T09:00:00Z")
    waiting.join()
    assert isinstance(results[0], Conflict)
