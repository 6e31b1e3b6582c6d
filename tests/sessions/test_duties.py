"""One worker at a time does what is done for all."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connections, transaction

from lap.core import clock
from sessions import duties
from sessions.lease import register, sign_off
from sessions.models import Duty, Worker
from tests.processes import is_somebody_waiting, wait_for

NAME = "reconcile"
AGO = timedelta(seconds=1)


def holder() -> UUID | None:
    return Duty.objects.get(name=NAME).worker_id


@pytest.mark.django_db
def test_a_duty_is_one_workers_until_it_is_due_again() -> None:
    first, second = register("here"), register("there")
    assert duties.seconds_left(NAME) == 0
    assert duties.take(NAME, first.id, 300)
    assert not duties.take(NAME, second.id, 300)
    assert not duties.take(NAME, first.id, 300)
    assert 290 < duties.seconds_left(NAME) <= 300
    duties.rest(NAME, first.id, 60)
    assert 50 < duties.seconds_left(NAME) <= 60
    assert not duties.take(NAME, second.id, 300)
    assert duties.take("another", second.id, 300)


@pytest.mark.django_db
def test_a_duty_that_is_due_is_anybodys() -> None:
    first, second = register("here"), register("there")
    duties.take(NAME, first.id, 300)
    Duty.objects.update(until=clock.now() - AGO)
    assert duties.seconds_left(NAME) == 0
    assert duties.take(NAME, second.id, 300)
    assert holder() == second.id


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["signed off", "declared dead", "deleted"])
def test_a_worker_that_has_ended_has_no_duties(end: str) -> None:
    first, second = register("here"), register("there")
    duties.take(NAME, first.id, 300)
    if end == "signed off":
        sign_off(first)
    elif end == "declared dead":
        Worker.objects.filter(id=first.id).update(expires_at=clock.now() - AGO)
        assert not duties.take(NAME, second.id, 300)
        Worker.objects.end_expired()
    else:
        Worker.objects.filter(id=first.id).delete()
    assert duties.take(NAME, second.id, 300)
    assert holder() == second.id


@pytest.mark.django_db
def test_who_lost_a_duty_does_not_put_it_off() -> None:
    first, second = register("here"), register("there")
    duties.take(NAME, first.id, 0)
    duties.take(NAME, second.id, 300)
    duties.rest(NAME, first.id, 0)
    assert duties.seconds_left(NAME) > 290


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_new", [True, False], ids=["nobody had it", "it is due"])
def test_of_two_that_take_a_duty_at_once_one_gets_it(is_new: bool) -> None:
    """The second one waits for the row that the first has not committed yet."""
    first, second = register("here"), register("there")
    if not is_new:
        Duty.objects.create(name=NAME, worker=second, until=clock.now() - AGO)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            assert duties.take(NAME, first.id, 300)
            other = threads.submit(_take_and_close, second.id)
            wait_for(is_somebody_waiting)
        assert other.result(30) is False
    assert holder() == first.id


@pytest.mark.django_db(transaction=True)
def test_of_many_that_take_a_duty_at_once_one_gets_it() -> None:
    workers = [register(f"host {n}") for n in range(8)]
    start = threading.Barrier(len(workers))

    def attempt(worker: Worker) -> bool:
        start.wait(30)
        return _take_and_close(worker.id)

    with ThreadPoolExecutor(len(workers)) as threads:
        attempts: dict[UUID, Future[bool]] = {
            worker.id: threads.submit(attempt, worker) for worker in workers
        }
    winners = [id_ for id_, taken in attempts.items() if taken.result()]
    assert winners == [holder()]


def _take_and_close(worker_id: UUID) -> bool:
    try:
        return duties.take(NAME, worker_id, 300)
    finally:
        connections.close_all()
