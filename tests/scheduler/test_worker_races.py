"""Many worker processes, one database."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from pytest_django import Settings

from agents.editing import edit_agent
from agents.models import Agent, ScheduleChange
from lap.core import clock
from lap.core.notify import notify_workers
from scheduler.models import CronFire
from scheduler.tick import tick
from sessions.models import Session, Worker
from tests.conftest import MakeAgent, SetClock
from tests.processes import Workers, wait_for

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("count", [2, 4, 8])
def test_workers_share_500_due_agents_without_a_double(
    count: int, workers: Workers, set_clock: SetClock
) -> None:
    """They wait side by side for one NOTIFY, after which all agents are due at once."""
    set_clock(NINE + timedelta(seconds=1))
    Agent.objects.bulk_create(
        Agent(model="none", harness_id="shell", cron_schedule="0 9 * * *") for _ in range(500)
    )
    processes = [
        workers.start("--concurrency", "0", LAP_CRON_BATCH_LIMIT="7") for _ in range(count)
    ]
    wait_for(lambda: Worker.objects.live().count() == count, seconds=60)

    Agent.objects.update(cron_next_fire_at=NINE)
    notify_workers()
    fires = CronFire.objects.filter(scheduled_for=NINE, outcome="started")
    wait_for(lambda: fires.count() == 500, seconds=60)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=30) for process in processes] == [0] * count, workers.logs()

    per_agent = Counter(Session.objects.values_list("agent_id", flat=True))
    assert len(per_agent) == 500
    assert set(per_agent.values()) == {1}
    assert CronFire.objects.count() == 500
    reported = [worker.counters for worker in Worker.objects.all()]
    assert sum(counters["cron_fired"] for counters in reported) == 500
    assert sum(counters["cron_considered"] for counters in reported) == 500


@pytest.fixture
def due_agent(make_agent: MakeAgent, set_clock: SetClock) -> Agent:
    set_clock(NINE - timedelta(minutes=1))
    agent = make_agent(cron_schedule="0 * * * *")
    set_clock(NINE + timedelta(seconds=1))
    return agent


def test_an_edit_that_waits_for_a_tick_starts_from_what_it_left(due_agent: Agent) -> None:
    """The tick is held after it has locked the agent; the edit then has to wait for it."""
    with table_locked("agent_sessions_session") as unlock:
        ticking = Background(tick)
        wait_for(lambda: waiting_for_locks() == 1)
        editing = Background(
            lambda: edit_agent(due_agent.id, {"cron_schedule": "30 * * * *"}, "test")
        )
        wait_for(lambda: waiting_for_locks() == 2)
        unlock()
        assert ticking.result().fired == 1
        edited = editing.result()

    change = ScheduleChange.objects.latest("id")
    assert edited.cron_next_fire_at == NINE + timedelta(minutes=30)
    assert change.unsettled_from is None
    assert tick().superseded == 0
    assert list(CronFire.objects.values_list("outcome", flat=True)) == ["started"]


def test_a_tick_passes_over_an_agent_that_is_being_edited(due_agent: Agent) -> None:
    """The edit is held before it can write its change: the due instant is then superseded."""
    with table_locked("agents_schedulechange") as unlock:
        editing = Background(
            lambda: edit_agent(due_agent.id, {"cron_schedule": "30 * * * *"}, "test")
        )
        wait_for(lambda: waiting_for_locks() == 1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM agents_agent FOR NO KEY UPDATE SKIP LOCKED")
            assert cursor.fetchall() == []
        unlock()
        editing.result()

    result = tick()
    assert (result.fired, result.superseded) == (0, 1)
    assert not Session.objects.exists()
    assert list(CronFire.objects.values_list("outcome", flat=True)) == ["superseded"]


def test_an_edit_that_waited_does_not_save_a_past_instant(
    due_agent: Agent, settings: Settings
) -> None:
    """Time passes while the edit waits for the lock: it counts from after the wait."""
    with row_locked(due_agent) as unlock:
        editing = Background(
            lambda: edit_agent(due_agent.id, {"cron_schedule": "*/5 * * * *"}, "test")
        )
        wait_for(lambda: waiting_for_locks() == 1)
        settings.LAP_CLOCK_OFFSET_SECONDS += 3600
        unlock()
        edited = editing.result()
    assert edited.cron_next_fire_at == NINE + timedelta(minutes=65)


def test_a_worker_with_a_skewed_machine_clock_decides_the_same(
    workers: Workers, make_agent: MakeAgent
) -> None:
    """Its Python believes it is 2031; instants and ledger follow the database all the same."""
    agent = make_agent(cron_schedule="* * * * *")
    instant = clock.now().replace(second=0, microsecond=0)
    Agent.objects.filter(id=agent.id).update(cron_next_fire_at=instant)
    worker = workers.start("--once", "--concurrency", "0", PYTHONPATH="tests/skewed")
    assert worker.wait(timeout=60) == 0, workers.logs()
    assert "believes it is 2031" in workers.logs()
    fire = CronFire.objects.get(scheduled_for=instant)
    agent.refresh_from_db()
    assert fire.outcome == "started"
    assert abs((fire.decided_at - clock.now()).total_seconds()) < 60
    assert agent.cron_next_fire_at is not None
    assert agent.cron_next_fire_at - instant <= timedelta(minutes=2)


class Background:
    """Runs something in a thread with a database connection of its own."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self._action = action
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def result(self) -> Any:
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()
        if self._error:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._action()
        except BaseException as error:
            self._error = error
        finally:
            connections.close_all()


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks"
            " WHERE NOT granted AND pid IN"
            " (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
        )
        return int(cursor.fetchone()[0])


@contextmanager
def table_locked(table: str) -> Iterator[Callable[[], None]]:
    yield from _locked(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")


@contextmanager
def row_locked(agent: Agent) -> Iterator[Callable[[], None]]:
    yield from _locked(f"SELECT 1 FROM agents_agent WHERE id = '{agent.id}' FOR UPDATE")


def _locked(statement: str) -> Iterator[Callable[[], None]]:
    """A lock held on a connection of its own until it is released, at the latest at the end."""
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(statement)
        yield other.rollback
    finally:
        other.close()
