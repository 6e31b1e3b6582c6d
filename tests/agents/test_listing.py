"""The list of agents: searched, sorted, paged, and at the same cost however long it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.listing import SORTS, search_agents, sort_agents
from agents.models import Agent
from lap.core import clock
from scheduler.models import CronFire
from sessions.models import Session
from tests.api import AGENTS, SESSIONS, Api
from tests.conftest import MakeAgent

IDS = {
    "report": UUID("0b8e7c3a-4f0e-4c58-9b57-6a2d1f8c9e10"),
    "cafe": UUID("12345678-9abc-4def-8123-456789abcdef"),
    "deleted": UUID("22345678-9abc-4def-8123-456789abcdef"),
}


@pytest.fixture
def three(db: None) -> None:
    for name, harness, label in (
        ("report", "shell", "Nightly Report 100% äß"),
        ("cafe", "codex", "Cafe_42"),
        ("deleted", "shell", "Nightly report"),
    ):
        Agent.objects.create(id=IDS[name], name=label, harness_id=harness, model="m")
    Agent.objects.filter(id=IDS["deleted"]).update(deleted_at=clock.now())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {"report", "cafe"}),
        ("nightly report", {"report"}),
        ("LY REP", {"report"}),
        ("Ä", {"report"}),
        ("SHELL", {"report"}),
        ("ode", {"cafe"}),
        ("100%", {"report"}),
        ("%", {"report"}),
        ("_", {"cafe"}),
        ("e_4", {"cafe"}),
        ("\\", set()),
        ("'", set()),
        ("\0", {"report", "cafe"}),
        ("cafe", {"cafe"}),
        ("0b8e7c3a", {"report"}),
        ("0B8E7C3A-4F0E-4C58-9B57-6A2D1F8C9E10", {"report"}),
        ("-9ABC-", {"cafe"}),
        ("6789abcdef", {"cafe"}),
        ("c5", {"report"}),
        ("-", {"report", "cafe"}),
        ("0b8e7c3a4f0e", set()),
        ("12345678 ", set()),
        ("0b8e7c3a-4f0e-4c58-9b57-6a2d1f8c9e10-", set()),
    ],
)
def test_search(three: None, text: str, found: set[str]) -> None:
    assert {agent.id for agent in search_agents(text)} == {IDS[name] for name in found}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [True, False])
def test_every_sort_has_one_order_also_among_equals(
    make_agent: MakeAgent, sort: str, descending: bool
) -> None:
    now = clock.now()
    agents = [make_agent(name=name, harness_id=h) for name in "bAa" for h in ("shell", "codex")]
    for number, agent in enumerate(agents):
        Agent.objects.filter(id=agent.id).update(created_at=now - timedelta(days=number // 2))
        Session.objects.bulk_create([Session(agent=agent) for _ in range(number // 3)])

    def key(agent: Agent) -> Any:
        number = [a.id for a in agents].index(agent.id)
        return {
            "created_at": -(number // 2),
            "name": agent.name.lower(),
            "harness_id": agent.harness_id,
            "sessions": number // 3,
        }[sort], agent.id

    listed = sort_agents(search_agents(""), sort, descending=descending)
    expected = [agent.id for agent in sorted(agents, key=key, reverse=descending)]
    assert [agent.id for agent in listed] == expected
    assert [listed[n].id for n in range(len(agents))] == expected


@pytest.mark.parametrize(
    ("statuses", "count", "has_active"),
    [
        ([], 0, False),
        (["completed", "failed", "dead"], 3, False),
        (["completed", "creating"], 2, True),
        (["ready"], 1, True),
        (["stopping", "stopping"], 2, True),
    ],
)
def test_sessions_are_counted(
    api: Api, make_agent: MakeAgent, statuses: list[str], count: int, has_active: bool
) -> None:
    agent, other = make_agent(name="this"), make_agent(name="other")
    for status in statuses:
        _open(agent, status)
    _open(other, "ready")
    [found] = api.get(f"{AGENTS}?search=this").body["data"]
    assert (found["session_count"], found["has_active_session"]) == (count, has_active)


def _open(agent: Agent, status: str) -> Session:
    end: dict[str, Any] = {"stop_as": "dead"} if status == "stopping" else {}
    if status in ("completed", "failed", "dead"):
        end = {"stopped_at": clock.now()}
    return Session.objects.create(agent=agent, status=status, **end)


ROUTES = [
    f"{AGENTS}?limit=200",
    f"{AGENTS}?limit=200&sort=sessions&search=e",
    f"{SESSIONS}?limit=200",
    "{agent}/cron/fires?limit=200",
    "/admin/stats",
]


@pytest.mark.parametrize("route", ROUTES)
def test_lists_cost_as_many_statements_with_thirty_rows_as_with_three(
    api: Api, make_agent: MakeAgent, route: str
) -> None:
    first = make_agent(name="agent", env_vars={"A": "b"})
    path = route.format(agent=f"{AGENTS}/{first.id}")
    _add(first, make_agent, 3)
    few = _statements(api, path)
    _add(first, make_agent, 27)
    many = _statements(api, path)
    assert len(many) == len(few), "\n".join(many)


def _statements(api: Api, path: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert api.get(path).status == 200
    return [query["sql"] for query in captured]


def _add(agent: Agent, make_agent: MakeAgent, count: int) -> None:
    """More agents, each with a session, and as many instants in the first one's ledger."""
    begun = CronFire.objects.count()
    for number in range(begun, begun + count):
        _open(make_agent(name="agent", env_vars={"A": "b"}), "ready")
        at = clock.now() - timedelta(minutes=number)
        run = Session.objects.create(agent=agent, trigger="cron", scheduled_for=at)
        CronFire.objects.create(
            agent=agent, scheduled_for=at, outcome="started", session=run, decided_at=at
        )
