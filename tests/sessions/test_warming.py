"""Which agents get sandboxes that are started ahead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from agents.editing import delete_agent, edit_agent
from agents.models import Agent
from lap.core import clock
from sessions.environment import configuration
from sessions.models import Session
from sessions.querysets import FINAL
from sessions.warming import wanted
from tests.conftest import MakeAgent
from tests.plans import analyze, start_afresh

pytestmark = pytest.mark.django_db

HOURLY = "0 * * * *"


@pytest.fixture(autouse=True)
def _limits(settings: Settings) -> None:
    settings.K8S_WARM_POOL_SIZE = 1
    settings.K8S_WARM_POOLS_LIMIT = 3
    settings.K8S_WARM_LEAD_SECONDS = 300
    settings.K8S_WARM_RECENT_SECONDS = 3600


def names() -> list[str]:
    agents = {agent.id: agent.name for agent in Agent.objects.all()}
    return [agents[one.agent_id] for one in wanted()]


def due_in(agent: Agent, seconds: float, **columns: Any) -> None:
    at = clock.now() + timedelta(seconds=seconds)
    Agent.objects.filter(id=agent.id).update(
        **{"cron_schedule": HOURLY, "cron_next_fire_at": at, **columns}
    )


def used(agent: Agent, seconds_ago: float, status: str = "creating", **columns: Any) -> None:
    created_at = clock.now() - timedelta(seconds=seconds_ago)
    stopped_at = created_at if status in FINAL else None
    Session.objects.create(
        agent=agent, created_at=created_at, status=status, stopped_at=stopped_at, **columns
    )


@pytest.mark.parametrize(
    ("seconds", "columns", "is_wanted"),
    [
        (299, {}, True),
        (301, {}, False),
        (-10, {}, True),
        (10, {"cron_enabled": False}, False),
        (10, {"cron_blocked_until": True}, False),
    ],
    ids=["soon", "later", "overdue", "disabled", "has stepped aside"],
)
def test_agents_that_are_due_soon(
    make_agent: MakeAgent, seconds: float, columns: dict[str, Any], is_wanted: bool
) -> None:
    if "cron_blocked_until" in columns:
        columns = {"cron_blocked_until": clock.now() + timedelta(hours=1)}
    agent = make_agent(name="due")
    due_in(agent, seconds, **columns)
    assert names() == (["due"] if is_wanted else [])


@pytest.mark.parametrize(("seconds_ago", "is_wanted"), [(3590, True), (3610, False)])
def test_agents_that_were_used_lately(
    make_agent: MakeAgent, seconds_ago: float, is_wanted: bool
) -> None:
    used(make_agent(name="used"), seconds_ago)
    make_agent(name="never used")
    assert names() == (["used"] if is_wanted else [])


def test_the_next_ones_due_come_first_then_the_latest_used(
    make_agent: MakeAgent, settings: Settings
) -> None:
    later, sooner, old, new = (make_agent(name=name) for name in ("later", "sooner", "old", "new"))
    due_in(later, 200)
    due_in(sooner, 100)
    used(old, 1000)
    used(new, 10)
    used(new, 2000)
    used(later, 5)
    settings.K8S_WARM_POOLS_LIMIT = 4
    assert names() == ["sooner", "later", "new", "old"]
    settings.K8S_WARM_POOLS_LIMIT = 3
    assert names() == ["sooner", "later", "new"]
    settings.K8S_WARM_POOLS_LIMIT = 1
    assert names() == ["sooner"]


@pytest.mark.parametrize("name", ["K8S_WARM_POOL_SIZE", "K8S_WARM_POOLS_LIMIT"])
def test_nothing_is_wanted_when_it_is_switched_off(
    make_agent: MakeAgent, settings: Settings, name: str
) -> None:
    used(make_agent(), 10)
    setattr(settings, name, 0)
    assert wanted() == []


def test_a_deleted_agent_falls_out_and_makes_room(
    make_agent: MakeAgent, settings: Settings
) -> None:
    settings.K8S_WARM_POOLS_LIMIT = 1
    kept, deleted = make_agent(name="kept"), make_agent(name="deleted", cron_schedule="* * * * *")
    used(kept, 20)
    used(deleted, 10)
    assert names() == ["deleted"]
    delete_agent(deleted.id, "test")
    assert names() == ["kept"]


CAME_UP = {"harness_session_id": "ses_1"}
HISTORIES: dict[str, tuple[list[tuple[str, dict[str, str]]], bool]] = {
    "did not come up": ([("failed", {})], False),
    "came up and failed later": ([("failed", CAME_UP)], True),
    "comes up again": ([("failed", {}), ("ready", CAME_UP)], True),
    "does not come up any more": ([("completed", CAME_UP), ("failed", {})], False),
    "tries again": ([("failed", {}), ("creating", {})], False),
    "stopped before it could tell": ([("failed", {}), ("dead", {})], False),
    "is coming up": ([("completed", CAME_UP), ("creating", {})], True),
}
"""What became of an agent's sessions, oldest first, and whether it is worth a warm sandbox."""


@pytest.mark.parametrize(("history", "is_wanted"), HISTORIES.values(), ids=HISTORIES)
def test_what_cannot_start_is_not_started_ahead(
    make_agent: MakeAgent, history: list[tuple[str, dict[str, str]]], is_wanted: bool
) -> None:
    due, recent = make_agent(name="due"), make_agent(name="recent")
    due_in(due, 10)
    for age, (status, columns) in enumerate(reversed(history)):
        used(due, 4000 + age, status, **columns)
        used(recent, 10 + age, status, **columns)
    assert names() == (["due", "recent"] if is_wanted else [])


def test_what_cannot_start_takes_nobodys_place(make_agent: MakeAgent, settings: Settings) -> None:
    settings.K8S_WARM_POOLS_LIMIT = 1
    used(make_agent(name="broken"), 10, "failed")
    used(make_agent(name="working"), 20, "ready", **CAME_UP)
    assert names() == ["working"]


def test_an_edited_agent_comes_with_its_new_configuration(make_agent: MakeAgent) -> None:
    agent = make_agent(env_vars={"COLOUR": "green"})
    used(agent, 10)
    [before] = wanted()
    assert before == configuration(agent, "shell")
    assert before.env["COLOUR"] == "green"
    edit_agent(agent.id, {"env_vars": {"COLOUR": "blue"}}, "test")
    [after] = wanted()
    assert after.env == {**before.env, "COLOUR": "blue"}


def test_an_agent_whose_secrets_cannot_be_read_steps_aside(
    make_agent: MakeAgent, settings: Settings
) -> None:
    keys = settings.LAP_ENCRYPTION_KEYS
    foreign = make_agent(name="foreign")
    settings.LAP_ENCRYPTION_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    edit_agent(foreign.id, {"env_vars": {"COLOUR": "green"}}, "test")
    settings.LAP_ENCRYPTION_KEYS = keys
    used(foreign, 5)
    used(make_agent(name="ours"), 10)
    assert names() == ["ours"]


def test_the_questions_ride_on_indexes(make_agent: MakeAgent) -> None:
    """With many old sessions, only the lately used ones are read."""
    start_afresh(Agent)
    agents = [make_agent() for _ in range(10)]
    _add_old_sessions(agents, 5000)
    used(agents[0], 10)
    analyze(Agent, Session)
    with CaptureQueriesContext(connection) as asked:
        wanted()
    _, due, recent, *_ = (_plan(query["sql"]) for query in asked.captured_queries)
    assert "agent_cron_due" in due
    assert "Index Scan using session_list_of_agent " in due
    assert "Index Scan using session_list_of_agent " in recent
    assert "Index Scan using session_list " in recent


def _add_old_sessions(agents: list[Agent], count: int) -> None:
    """One an hour, so varied that no index by another column first serves as well."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO agent_sessions_session"
            " (id, harness_session_id, agent_id, trigger, status, created_at)"
            " SELECT gen_random_uuid(), 'ses_1', (%s::uuid[])[1 + n %% %s],"
            " (ARRAY['api', 'manual'])[1 + n %% 2], (ARRAY['creating', 'ready'])[1 + n %% 2],"
            " now() - make_interval(hours => 1 + n) FROM generate_series(1, %s) AS n",
            [[agent.id for agent in agents], len(agents), count],
        )


def _plan(statement: str) -> str:
    """How PostgreSQL would answer, had the few agents of a test to be found by an index."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {statement}")
        return "\n".join(row[0] for row in cursor.fetchall())
