"""The instruments, and the figures that the database counts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from agents.models import Agent
from lap.core import metrics
from lap.core.clock import DatabaseClock
from lap.core.threads import DatabaseThreads
from scheduler.models import CronFire
from scheduler.tick import tick
from sessions import figures, observing
from sessions.figures import exposition, read_figures, without_run
from sessions.models import Session, Worker
from tests.conftest import MakeAgent, SetClock
from tests.plans import analyze, start_afresh
from tests.processes import run_async

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
PROCESS_FAMILIES = re.compile("process_|python_")
BOUNDED_LABELS = {
    "cause", "kind", "loop", "outcome", "reason", "resource", "result", "status", "trigger", "verb",
    "what",
}  # fmt: skip


@pytest.fixture
def database() -> Iterator[DatabaseThreads]:
    threads = DatabaseThreads("test", 1)
    yield threads
    threads.close()


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def documented() -> set[str]:
    """The names in the first column of the table for operators."""
    text = (settings.BASE_DIR / "docs" / "metrics.md").read_text()
    return set(re.findall(r"^\| `(lap_\w+)`", text, re.MULTILINE))


@pytest.mark.django_db(transaction=True)
def test_every_metric_is_documented_and_bounded(database: DatabaseThreads) -> None:
    text = run_async(exposition(database)).decode()
    families = list(text_string_to_metric_families(text))
    ours = {f"{f.name}_total" if f.type == "counter" else f.name for f in families}
    assert {name for name in ours if not PROCESS_FAMILIES.match(name)} == documented()
    labels = {label for family in families for s in family.samples for label in s.labels}
    assert labels - {"le", "generation", "implementation", "major", "minor", "patchlevel",
                     "version"} <= BOUNDED_LABELS  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_a_tick_counts_what_it_committed(make_agent: MakeAgent, set_clock: SetClock) -> None:
    set_clock(NINE - timedelta(minutes=1))
    for _ in range(3):
        make_agent(cron_schedule="0 * * * *")
    set_clock(NINE + timedelta(seconds=7))
    before = [value(name) for name in _LATENESS], value("lap_fires_total", outcome="started")

    assert tick().fired == 3
    count, total = (value(name) - old for name, old in zip(_LATENESS, before[0], strict=True))
    assert value("lap_fires_total", outcome="started") - before[1] == 3
    assert count == 3
    assert 7 <= total / count < 20

    set_clock(NINE + timedelta(hours=1))
    assert tick().skipped_overlap == 3
    assert value("lap_fire_lateness_seconds_count") - before[0][0] == 3


_LATENESS = ("lap_fire_lateness_seconds_count", "lap_fire_lateness_seconds_sum")


@pytest.mark.django_db(transaction=True)
def test_a_tick_that_is_rolled_back_counts_nothing(
    make_agent: MakeAgent, set_clock: SetClock
) -> None:
    set_clock(NINE - timedelta(minutes=1))
    make_agent(cron_schedule="0 * * * *")
    set_clock(NINE)
    before = value("lap_fires_total", outcome="started")
    with transaction.atomic():
        assert tick().fired == 1
        transaction.set_rollback(True)
    assert value("lap_fires_total", outcome="started") == before


def test_figures_of_the_database(make_agent: MakeAgent, set_clock: SetClock) -> None:
    set_clock(NINE)
    agent = make_agent(cron_schedule="0 9 * * *")
    Agent.objects.filter(id=agent.id).update(cron_next_fire_at=NINE - timedelta(seconds=30))
    live, expired = (
        Worker.objects.create(
            host="h", pid=1, version="", expires_at=DatabaseClock() + timedelta(seconds=seconds)
        )
        for seconds in (60, -1)
    )
    Session.objects.create(agent=agent, worker=live)
    Session.objects.create(agent=agent, worker=expired)
    Session.objects.create(agent=agent)
    Session.objects.create(agent=agent, status="ready", trigger="cron", scheduled_for=NINE)

    found = read_figures()
    assert found.active["api", "creating"] == 3
    assert found.active["cron", "ready"] == 1
    assert sum(found.active.values()) == 4
    assert (found.waiting, found.workers) == (2, 1)
    assert 30 <= found.oldest_due_seconds < 40


def test_instants_without_a_run_are_told_for_an_hour(
    make_agent: MakeAgent, set_clock: SetClock
) -> None:
    """By the database: also when the worker that settled them has started after them."""
    set_clock(NINE - timedelta(minutes=1))
    make_agent(cron_schedule="0 * * * *", cron_catchup_window_seconds=3 * 3600)
    assert read_figures().without_run == {"missed": 0, "coalesced": 0}
    set_clock(NINE + timedelta(hours=5, minutes=10))
    tick()
    assert read_figures().without_run == {"missed": 3, "coalesced": 2}
    set_clock(NINE + timedelta(hours=6, minutes=11))
    assert read_figures().without_run == {"missed": 0, "coalesced": 0}


def test_instants_without_a_run_ride_on_their_index(make_agent: MakeAgent) -> None:
    start_afresh(CronFire)
    agent, outcomes = make_agent(), ["started"] * 3000 + ["missed", "coalesced"] * 5
    instants = [NINE + timedelta(minutes=n) for n in range(len(outcomes))]
    CronFire.objects.bulk_create(
        CronFire(agent=agent, scheduled_for=at, outcome=outcome, decided_at=at)
        for at, outcome in zip(instants, outcomes, strict=True)
    )
    analyze(CronFire)
    with CaptureQueriesContext(connection) as captured, connection.cursor() as cursor:
        without_run()
        [query] = (one["sql"] for one in captured if "cronfire" in one["sql"])
        cursor.execute(f"EXPLAIN {query}")
        assert "cron_fire_without_run" in str(cursor.fetchall())


def test_rates_have_a_value_before_the_first_event() -> None:
    labels = {"kind": observing.WITHOUT_KIND}
    assert REGISTRY.get_sample_value("lap_session_failures_total", labels) is not None
    assert REGISTRY.get_sample_value("lap_session_failures_total", {"kind": "quota"}) is not None


def test_nothing_is_due(make_agent: MakeAgent) -> None:
    make_agent(cron_schedule="0 9 * * *")
    assert read_figures().oldest_due_seconds == 0


@pytest.mark.django_db(transaction=True)
def test_a_database_that_keeps_silent_does_not_hold_a_scrape(
    database: DatabaseThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has locked a whole table; what the process itself counts is told all the same."""
    monkeypatch.setattr(figures, "ANSWER_SECONDS", 0.2)
    metrics.prompts.labels("sent").inc()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE agent_sessions_session IN ACCESS EXCLUSIVE MODE")
        text = run_async(asyncio.wait_for(exposition(database), 10)).decode()
    assert "lap_database_up 0.0" in text
    assert 'lap_prompts_total{result="sent"}' in text
    assert "lap_queue_length" not in text
