"""Edits that meet at the agent's lock, from real connections of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction

from agents.models import Agent, ScheduleChange
from scheduler.cron import next_fires
from tests.api import AGENTS, Answer, Api, sentence_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def agent() -> Agent:
    return Agent.objects.create(model="m", harness_id="shell")


@contextmanager
def _held(agent: Agent) -> Iterator[None]:
    with transaction.atomic():
        Agent.objects.lock(agent.id)
        yield


def _wait_for_waiting(count: int) -> None:
    """Until so many connections wait for a lock (pg_stat_activity is frozen in a transaction)."""
    deadline = time.monotonic() + 20
    query = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(query)
            if cursor.fetchone()[0] >= count:
                return
        time.sleep(0.01)
    raise AssertionError(f"{count} connections never waited")


def _in_a_thread(call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    finally:
        connection.close()


def _send(pool: ThreadPoolExecutor, agent: Agent, fields: dict[str, Any]) -> Future[Answer]:
    return pool.submit(_in_a_thread, lambda: Api().patch(f"{AGENTS}/{agent.id}", fields))


def test_edits_are_serialised_and_each_judges_the_pair_it_leaves(agent: Agent) -> None:
    """Each half is fine with the row that both saw; together they would not be."""
    Agent.objects.update(cron_schedule="0 0 30 2 *", cron_enabled=False, cron_disabled_reason="x")
    with ThreadPoolExecutor(2) as pool:
        with _held(agent):
            first = _send(pool, agent, {"cron_schedule": "0 9 * * *"})
            _wait_for_waiting(1)
            second = _send(pool, agent, {"cron_enabled": True})
            _wait_for_waiting(2)
        assert first.result().status == 200
        assert second.result().status == 200, "it saw the row that the first one left"
    stored = Agent.objects.get()
    assert (stored.cron_schedule, stored.cron_enabled, stored.version) == ("0 9 * * *", True, 3)
    assert ScheduleChange.objects.count() == 2


def test_an_edit_that_waited_is_refused_for_what_the_other_left(agent: Agent) -> None:
    """The zone is judged with the schedule that came first; the loser changes nothing."""
    pair = {"cron_schedule": "0 9 * * *", "cron_timezone": "Asia/Tokyo"}
    with ThreadPoolExecutor(3) as pool:
        with _held(agent):
            first = _send(pool, agent, pair)
            _wait_for_waiting(1)
            second = _send(pool, agent, {"cron_timezone": "Mars/Phobos"})
            _wait_for_waiting(2)
            third = _send(pool, agent, {"cron_schedule": "0 10 * * *"})
            _wait_for_waiting(3)
        assert first.result().status == 200
        assert second.result().error == sentence_of("0 9 * * *", "Mars/Phobos")
        assert third.result().status == 200
    stored = Agent.objects.get()
    assert (stored.cron_schedule, stored.cron_timezone) == ("0 10 * * *", "Asia/Tokyo")
    change = ScheduleChange.objects.latest("id")
    assert [stored.cron_next_fire_at] == next_fires(
        "0 10 * * *", "Asia/Tokyo", change.changed_at, 1
    )


def test_of_two_edits_of_one_version_one_is_refused(agent: Agent) -> None:
    def edit(name: str) -> Callable[[], Answer]:
        return lambda: Api().patch(f"{AGENTS}/{agent.id}", {"name": name}, If_Match='"1"')

    with ThreadPoolExecutor(2) as pool:
        with _held(agent):
            sent = [pool.submit(_in_a_thread, edit(name)) for name in ("a", "b")]
            _wait_for_waiting(2)
        assert sorted(answer.result().status for answer in sent) == [200, 412]
    assert Agent.objects.get().version == 2


def test_many_edits_lose_nothing(agent: Agent) -> None:
    """Eight callers, ten edits each: every one is counted, every change is kept."""
    start = threading.Barrier(8)

    def edit(caller: int) -> Answer:
        start.wait()
        for n in range(10):
            fields = {"cron_schedule": f"{caller * 7 + n % 2} * * * *"}
            answer = Api().patch(f"{AGENTS}/{agent.id}", fields)
            assert answer.status == 200
            assert answer.body | fields == answer.body
        return answer

    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(_in_a_thread, partial(edit, caller)) for caller in range(8)]
        assert all(answer.result() for answer in done)
    stored = Agent.objects.get()
    changes = list(ScheduleChange.objects.order_by("id"))
    assert stored.version == 1 + len(changes)
    assert changes[-1].schedule_after == stored.cron_schedule
    for before, after in pairwise(changes):
        assert (after.schedule_before, after.next_fire_before) == (
            before.schedule_after, before.next_fire_after,
        )  # fmt: skip
