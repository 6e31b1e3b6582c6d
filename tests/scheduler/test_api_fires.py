"""The ledger over the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from agents.editing import delete_agent
from agents.models import Agent
from scheduler.models import CronFire
from sessions.models import Session
from tests.api import AGENTS, NOBODY, Api
from tests.conftest import MakeAgent

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent()


@pytest.fixture
def fires(agent: Agent, make_agent: MakeAgent) -> list[CronFire]:
    """A started run, eight skipped instants, and a long pause; another agent has rows too."""
    run = Session.objects.create(agent=agent, trigger="cron", scheduled_for=START)
    skipped = [
        CronFire(
            agent=owner,
            scheduled_for=START + n * MINUTE,
            outcome="skipped_overlap",
            reason="the previous run was active",
            decided_at=START + n * MINUTE,
        )
        for owner in (agent, make_agent())
        for n in range(1, 9)
    ]
    return CronFire.objects.bulk_create(
        [
            CronFire(
                agent=agent, scheduled_for=START, outcome="started", session=run, decided_at=START
            ),
            *skipped,
            CronFire(
                agent=agent,
                scheduled_for=START + 10 * MINUTE,
                scheduled_until=START + 99 * MINUTE,
                count=90,
                outcome="paused",
                decided_at=START + 100 * MINUTE,
            ),
        ]
    )


def _path(agent: Agent, query: str = "") -> str:
    return f"{AGENTS}/{agent.id}/cron/fires?{query}"


def test_newest_first_with_their_sessions(api: Api, agent: Agent, fires: list[CronFire]) -> None:
    found = api.get(_path(agent)).body
    assert found[0] == {
        "id": fires[-1].pk,
        "agent_id": str(agent.id),
        "scheduled_for": "2026-03-01T00:10:00Z",
        "scheduled_until": "2026-03-01T01:39:00Z",
        "count": 90,
        "outcome": "paused",
        "reason": None,
        "session_id": None,
        "decided_at": "2026-03-01T01:40:00Z",
    }
    assert found[1]["reason"] == "the previous run was active"
    assert (found[-1]["outcome"], found[-1]["session_id"]) == ("started", str(fires[0].session_id))
    assert [row["scheduled_for"] for row in found] == sorted(
        (row["scheduled_for"] for row in found), reverse=True
    )
    assert len(found) == 10


@pytest.mark.parametrize("limit", [1, 4, 10, 200])
def test_pages(api: Api, agent: Agent, fires: list[CronFire], limit: int) -> None:
    pages = list(api.pages(_path(agent, f"limit={limit}")))
    found = [row["id"] for page in pages for row in page]
    mine = [fire.pk for fire in fires if fire.agent_id == agent.id]
    assert found == mine[::-1]
    assert all(len(page) == limit for page in pages[:-1])


@pytest.mark.parametrize(
    ("outcome", "count"),
    [("started", 1), ("skipped_overlap", 8), ("paused", 1), ("missed", 0), ("", 10)],
)
def test_by_outcome(
    api: Api, agent: Agent, fires: list[CronFire], outcome: str, count: int
) -> None:
    pages = api.pages(_path(agent, f"outcome={outcome}&limit=3"))
    assert sum(len(page) for page in pages) == count


@pytest.mark.parametrize("query", ["outcome=queued", "outcome=%00", "before=x", "before=MQ"])
def test_bad_filters(api: Api, agent: Agent, query: str) -> None:
    answer = api.get(_path(agent, query))
    assert answer.status == 400
    assert answer.error[0]["path"] == query.partition("=")[0]


def test_a_cursor_of_another_list_is_refused(api: Api, agent: Agent, fires: list[CronFire]) -> None:
    Session.objects.create(agent=agent)
    link = api.get("/managed_agents/sessions?limit=1").headers["Link"]
    cursor = link.partition("before=")[2].partition(">")[0]
    assert api.get(_path(agent, f"before={cursor}")).status == 400


def test_unknown_and_deleted_agents(api: Api, agent: Agent, fires: list[CronFire]) -> None:
    answer = api.get(f"{AGENTS}/{NOBODY}/cron/fires")
    assert (answer.status, answer.error) == (404, f"agent '{NOBODY}' not found")
    delete_agent(agent.id, "test")
    assert api.get(_path(agent)).status == 404


def test_three_queries(
    api: Api,
    agent: Agent,
    fires: list[CronFire],
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(3):
        assert len(api.get(_path(agent)).body) == 10
