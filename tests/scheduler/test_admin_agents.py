"""What the scheduler adds to agents in Django's admin: their last outcome, their runs, run now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent
from scheduler import admin as scheduler_admin
from scheduler.models import PROBLEMS, CronFire
from scheduler.outcome import Outcome
from sessions.models import Session
from tests.conftest import MakeAgent
from tests.plans import analyze, start_afresh

LIST = "/admin/agents/agent/"
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def ada(db: None, client: Client) -> Client:
    """A browser in which a superuser is logged in."""
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


def fire(agent: Agent, at: datetime, outcome: str, **fields: Any) -> CronFire:
    decided_at = at + timedelta(seconds=2)
    return CronFire.objects.create(
        agent=agent, scheduled_for=at, outcome=outcome, decided_at=decided_at, **fields
    )


def found(client: Client, query: str) -> set[str]:
    return {agent.name for agent in client.get(LIST + query).context["cl"].result_list}


# The last outcome


def test_agents_are_filtered_by_their_newest_outcome(ada: Client, make_agent: MakeAgent) -> None:
    ill, well, _ = make_agent(name="ill"), make_agent(name="well"), make_agent(name="new")
    fire(ill, NINE, "coalesced")
    fire(ill, NINE + DAY, "missed")
    fire(well, NINE, "missed")
    fire(well, NINE + DAY, "coalesced")
    assert found(ada, "?last_outcome=missed") == {"ill"}
    assert found(ada, "?last_outcome=coalesced") == {"well"}
    assert found(ada, "?last_outcome=paused") == set()
    assert found(ada, "?last_outcome=nonsense") == {"ill", "well", "new"}
    assert found(ada, "?last_outcome=missed&cron_enabled__exact=0") == set()


def test_a_common_outcome_is_found_without_listing_who_ever_had_it(
    ada: Client, make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        fire(make_agent(name=name), NINE, "missed")
    monkeypatch.setattr(scheduler_admin, "FEW_ROWS", 1)
    assert found(ada, "?last_outcome=missed") == {"a", "b"}


def test_every_outcome_can_be_chosen(ada: Client, db: None) -> None:
    page = ada.get(LIST).content.decode()
    for outcome in Outcome:
        assert f"?last_outcome={outcome.value}" in page


def test_the_filter_costs_one_query_more(
    ada: Client, make_agent: MakeAgent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(5):
        fire(make_agent(name=f"a{n}"), NINE, "missed")
    with django_assert_num_queries(6):  # cookie, user, clock, who ever had it, count, rows
        assert len(found(ada, "?last_outcome=missed")) == 5


# Run now


def act(client: Client, *agents: Agent) -> Any:
    sent = {"action": "run", "_selected_action": [str(agent.pk) for agent in agents]}
    return client.post(LIST, sent, follow=True)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_run_now_starts_a_manual_run_of_each(ada: Client, make_agent: MakeAgent) -> None:
    off = make_agent(name="off", cron_schedule="0 9 * * *", cron_enabled=False)
    plain = make_agent(name="plain", cron_prompt="uptime")
    next_fire = off.cron_next_fire_at
    assert messages_of(act(ada, off, plain)) == ["Started 2 runs."]
    runs = Session.objects.order_by("agent__name")
    assert [(r.trigger, r.status, r.created_by) for r in runs] == [
        ("manual", "creating", "ada")
    ] * 2
    assert runs[1].initial_prompt == "uptime"
    off.refresh_from_db()
    assert off.cron_next_fire_at == next_fire
    assert {entry.get_change_message() for entry in LogEntry.objects.all()} == {"Started the run."}


def test_an_agent_with_an_active_run_is_refused_by_a_sentence(
    ada: Client, make_agent: MakeAgent
) -> None:
    busy, free = make_agent(name="busy"), make_agent(name="free")
    Session.objects.create(agent=busy, trigger="manual", status="ready")
    done, refused = messages_of(act(ada, busy, free))
    assert done == "Started 1 run."
    assert refused.startswith("“busy”: a run of this agent is active")
    assert busy.sessions.count() == 1


def test_who_may_only_look_starts_nothing(client: Client, make_agent: MakeAgent) -> None:
    agent = make_agent()
    bob = User.objects.create(username="bob", is_staff=True)
    bob.user_permissions.add(Permission.objects.get(codename="view_agent"))
    client.force_login(bob)
    assert "Run selected agents now" not in client.get(LIST).content.decode()
    act(client, agent)
    assert not Session.objects.exists()


# The agent's page


def cells(client: Client, agent: Agent) -> list[list[str]]:
    """The texts of the table of recent fires."""
    page = client.get(reverse("admin:agents_agent_change", args=[agent.pk])).content.decode()
    table = re.search(r'<table class="lap-fires">.*?</table>', page, re.S)
    assert table is not None
    rows = re.findall(r"<tr>(.*?)</tr>", table[0], re.S)[1:]
    texts = [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", row, re.S)]
             for row in rows]  # fmt: skip
    return [[unescape(text) for text in row] for row in texts]


def test_a_started_run_tells_how_it_went(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent()
    session = Session.objects.create(
        agent=agent, trigger="cron", scheduled_for=NINE, status="failed",
        started_at=NINE, stopped_at=NINE + timedelta(seconds=65),
    )  # fmt: skip
    fire(agent, NINE, "started", session=session)
    shown = [
        "2026-03-02 09:00 UTC", "started", "—", "2.00 s", f"{str(session.pk)[:8]} failed",
        "1 min 5 s",
    ]  # fmt: skip
    assert cells(ada, agent) == [shown]


@pytest.mark.parametrize(
    ("outcome", "reason", "shown"),
    [
        ("skipped_overlap", "", "Skipped: the previous run was active"),
        ("coalesced", "", "Folded into a later run"),
        ("missed", "no <worker> ran", "no <worker> ran"),
    ],
)
def test_what_did_not_start_says_why_in_words(
    ada: Client, make_agent: MakeAgent, outcome: str, reason: str, shown: str
) -> None:
    agent = make_agent()
    fire(agent, NINE, outcome, reason=reason)
    ((_, badge, why, *rest),) = cells(ada, agent)
    assert (badge, why) == (outcome.replace("_", " "), shown)
    assert rest == ["2.00 s", "—", "—"]


# Indexes


def plan(rows: Any) -> str:
    """How PostgreSQL would answer, if sorting and reading whole tables were out of the question."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    return str(rows.explain())


def test_the_list_of_an_outcome_rides_on_its_index(make_agent: MakeAgent) -> None:
    """Where most instants started a run, only the rows of the outcome are read."""
    rare = sorted(set(Outcome) - {Outcome.STARTED})
    start_afresh(CronFire)
    add_fires(make_agent(), [Outcome.STARTED] * 3000 + rare * 5)
    analyze(CronFire)
    fires = CronFire.objects.order_by("-id")
    plans = {outcome: plan(fires.filter(outcome=outcome)[:50]) for outcome in rare}
    assert {o: p for o, p in plans.items() if "cron_fire_list_of_outcome" not in p} == {}


def add_fires(agent: Agent, outcomes: list[Outcome]) -> None:
    instants = [NINE + n * DAY for n in range(len(outcomes))]
    CronFire.objects.bulk_create(
        CronFire(agent=agent, scheduled_for=at, outcome=outcome, decided_at=at)
        for at, outcome in zip(instants, outcomes, strict=True)
    )


def test_the_latest_problems_ride_on_their_index(db: None) -> None:
    rows = CronFire.objects.filter(outcome__in=PROBLEMS).order_by("-decided_at")[:20]
    assert "cron_fire_problems" in plan(rows)


def test_the_latest_fires_of_an_agent_ride_on_the_key(make_agent: MakeAgent) -> None:
    rows = CronFire.objects.filter(agent=make_agent()).order_by("-scheduled_for")[:20]
    assert "cron_fire_once_per_instant" in plan(rows)
