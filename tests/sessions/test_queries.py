"""What may be written to sessions, and by whom."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from django.db import connections, transaction

from agents.editing import delete_agent
from lap.core import clock
from lap.core.threads import DatabaseThreads
from sessions.carried import Carried, Tools
from sessions.holding import Hold, SessionLost, claim, load
from sessions.lease import register
from sessions.models import Session, Worker
from sessions.sandboxes.local import LocalBackend
from sessions.sweeps import stop_deleted, stop_stranded
from tests.conftest import MakeAgent
from tests.processes import is_somebody_waiting, wait_for


@pytest.mark.django_db(transaction=True)
def test_a_stop_that_waited_does_not_undo_the_end(make_agent: MakeAgent) -> None:
    """The holder writes the final state while a sweep, which saw the old one, waits for the row."""
    agent = make_agent()
    session = Session.objects.create(agent=agent, status="ready")
    delete_agent(agent.id, "test")
    with transaction.atomic():
        Session.objects.filter(id=session.id).update(status="completed", stopped_at=clock.now())
        sweep = threading.Thread(target=sweep_and_close)
        sweep.start()
        wait_for(is_somebody_waiting)
    sweep.join(timeout=30)
    session.refresh_from_db()
    assert (session.status, session.failure_reason) == ("completed", None)


def sweep_and_close() -> None:
    stop_deleted()
    connections.close_all()


LEASE = timedelta(seconds=30)


@pytest.fixture
def session(make_agent: MakeAgent) -> Session:
    return Session.objects.create(agent=make_agent(), run_timeout_seconds=160)


@pytest.mark.django_db
def test_what_a_live_worker_holds_is_not_claimed(session: Session) -> None:
    first, second = register("here"), register("here")
    assert [claimed.id for claimed in claim(first, 10)] == [session.id]
    assert claim(second, 10) == []
    assert Worker.objects.renew(first.id, LEASE)


@pytest.mark.django_db
def test_what_an_expired_worker_holds_is_taken_over(session: Session) -> None:
    first, second = register("here"), register("here")
    claim(first, 10)
    begun = Session.objects.get().started_at
    Worker.objects.filter(id=first.id).update(expires_at=clock.now() - LEASE)
    [taken] = claim(second, 10)
    assert (taken.worker_id, taken.started_at) == (second.id, begun)
    assert not Worker.objects.renew(first.id, LEASE)
    with pytest.raises(SessionLost):
        Hold(first.id, session.id, 1).write("creating", phase="late")
    Hold(second.id, session.id, 1).write("creating", phase="in time")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("columns", "is_claimed"),
    [
        ({}, True),
        ({"status": "stopping", "stop_as": "dead"}, True),
        ({"status": "ready"}, False),
        ({"status": "ready", "initial_prompt": "hi"}, True),
        ({"status": "ready", "initial_prompt": "hi", "prompt_answered_at": True}, False),
        ({"status": "completed", "stopped_at": True}, False),
        ({"sandbox_host": "here"}, True),
        ({"sandbox_host": "a machine that nobody has seen for long"}, True),
        ({"sandbox_host": "elsewhere"}, False),
    ],
)
def test_what_there_is_to_do(
    session: Session, columns: dict[str, object], is_claimed: bool
) -> None:
    instants = {name: clock.now() for name, value in columns.items() if value is True}
    Session.objects.filter(id=session.id).update(**{**columns, **instants})
    register("elsewhere")
    assert bool(claim(register("here"), 10)) is is_claimed


@pytest.mark.django_db
def test_claims_are_bounded_and_oldest_first(make_agent: MakeAgent) -> None:
    agent = make_agent()
    made = [Session.objects.create(agent=agent, created_at=clock.now()) for _ in range(3)]
    worker = register("here")
    assert [claimed.id for claimed in claim(worker, 2)] == [made[0].id, made[1].id]
    assert claim(worker, 0) == []


@pytest.mark.django_db
def test_a_time_limit_counts_from_the_first_claim_however_often_it_is_loaded(
    session: Session,
) -> None:
    worker, threads = register("here"), DatabaseThreads("unused", 1)
    tools = Tools(LocalBackend(Path("/nowhere")), threads, httpx.AsyncClient())
    claim(worker, 1)
    Session.objects.update(started_at=clock.now() - timedelta(seconds=100))
    for _ in range(2):
        [loaded] = load(worker.id, [session.id])
        carried = Carried(loaded, worker.id, tools)
        assert carried.seconds_left(160) == pytest.approx(60, abs=5)
    assert carried.seconds_left(None) is None


@pytest.mark.django_db
def test_what_is_stranded_when_lap_stops_says_so(make_agent: MakeAgent) -> None:
    agent = make_agent()
    ready = {"agent": agent, "status": "ready", "sandbox_host": "here"}
    run = Session.objects.create(**ready, initial_prompt="echo hi")
    conversation = Session.objects.create(**ready)
    elsewhere = Session.objects.create(**{**ready, "sandbox_host": "elsewhere"})
    assert stop_stranded("here") == 2
    ends = {session.id: session.stop_as for session in Session.objects.all()}
    assert ends == {run.id: "failed", conversation.id: "dead", elsewhere.id: ""}
