"""Workers that die or stall at every step of a run, and the ones that take over."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from datetime import timedelta

import pytest

from agents.models import Agent
from lap.core import clock
from sessions.models import Session, Worker
from sessions.querysets import FINAL
from tests.conftest import MakeAgent
from tests.processes import (
    Sink,
    Workers,
    end_backends,
    held_backends,
    held_writes,
    stall,
    wait_for,
)

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

LEASE_LOST_EXIT = 75

# What a worker is about to write when it is caught: everything before it is committed.
STEPS = {
    "claimed": "OLD.worker_id IS NOT NULL AND OLD.sandbox_name = '' AND NEW.sandbox_name <> ''",
    "creating the sandbox": "OLD.phase = 'creating_sandbox' AND NEW.phase <> OLD.phase",
    "waiting for the harness": "OLD.phase = 'waiting_harness' AND NEW.phase <> OLD.phase",
    "harness ready": "OLD.phase = 'harness_ready' AND NEW.phase <> OLD.phase",
    "before the prompt": "OLD.prompt_sent_at IS NULL AND NEW.prompt_sent_at IS NOT NULL",
    "after the answer": "OLD.status = 'ready' AND NEW.status = 'stopping'",
    "sandbox ended": "OLD.status = 'stopping' AND NEW.status = 'completed'",
}


@pytest.fixture
def run(make_agent: MakeAgent, sink: Sink) -> Session:
    """A scheduled run whose script reports to the sink."""
    agent = make_agent(name="watched")
    return cron_session(agent, sink.script)


def cron_session(agent: Agent, script: str, **columns: object) -> Session:
    instant = clock.now().replace(second=0, microsecond=0)
    return Session.objects.create(
        agent=agent, trigger="cron", scheduled_for=instant, initial_prompt=script,
        **{"run_timeout_seconds": 120, **columns},
    )  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_worker_is_replaced_at_every_step(
    step: str, run: Session, sink: Sink, workers: Workers
) -> None:
    sink.release()
    with held_writes(STEPS[step]) as release:
        first = workers.start()
        caught = wait_for(held_backends, seconds=60)
        kill(first)
        end_backends(caught)
        release()
        workers.start()
        assert_completed_once(run, sink, workers)


@pytest.mark.parametrize("step", STEPS)
def test_a_stalled_worker_loses_its_sessions_and_writes_nothing(
    step: str, run: Session, sink: Sink, workers: Workers
) -> None:
    """Its last write may still arrive; when it wakes up after its lease, it leaves at once."""
    sink.release()
    with held_writes(STEPS[step]) as release:
        first = workers.start()
        wait_for(held_backends, seconds=60)
        stall(first)
        release()
    workers.start()
    wait_for(lambda: Worker.objects.filter(pid=first.pid, ended_at__isnull=False).exists())
    assert_completed_once(run, sink, workers)
    first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=30) == LEASE_LOST_EXIT, workers.logs()
    assert Session.objects.get(id=run.id).__dict__.items() >= unchanging(run).items()


@pytest.mark.parametrize("end", [subprocess.Popen.kill, stall])
def test_a_run_in_the_middle_of_its_script_is_taken_over(
    end: Callable[[subprocess.Popen[bytes]], None], run: Session, sink: Sink, workers: Workers
) -> None:
    """The turn goes on in the sandbox; the rescuer waits for its answer and sends nothing."""
    first = workers.start()
    wait_for(lambda: sink.count == 1, seconds=60)
    end(first)
    second = workers.start()
    wait_for(lambda: Worker.objects.filter(ended_at__isnull=False).exists(), seconds=60)
    wait_for(lambda: holder(run) == second.pid, seconds=60)
    sink.release()
    assert_completed_once(run, sink, workers)


def test_a_drained_worker_hands_its_run_over(run: Session, sink: Sink, workers: Workers) -> None:
    first = workers.start(LAP_DRAIN_SECONDS="0.5")
    wait_for(lambda: sink.count == 1, seconds=60)
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) == 0, workers.logs()
    run.refresh_from_db()
    assert (run.status, run.worker) == ("ready", None)
    workers.start()
    wait_for(lambda: holder(run) is not None, seconds=60)
    sink.release()
    assert_completed_once(run, sink, workers)


def test_a_draining_worker_finishes_within_its_grace(
    run: Session, sink: Sink, workers: Workers
) -> None:
    worker = workers.start(LAP_DRAIN_SECONDS="60")
    wait_for(lambda: sink.count == 1, seconds=60)
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: "draining" in workers.logs())
    sink.release()
    assert worker.wait(timeout=30) == 0
    run.refresh_from_db()
    assert run.status == "completed"


def test_a_second_signal_ends_the_wait(run: Session, sink: Sink, workers: Workers) -> None:
    worker = workers.start(LAP_DRAIN_SECONDS="600")
    wait_for(lambda: sink.count == 1, seconds=60)
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: "draining" in workers.logs())
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0
    run.refresh_from_db()
    assert (run.status, run.worker) == ("ready", None)


def test_a_run_past_its_limit_is_timed_out_before_the_first_tick(
    make_agent: MakeAgent, workers: Workers
) -> None:
    """What an outage left behind must not make the first instant after it overlap."""
    agent = make_agent(cron_schedule="* * * * *", cron_catchup_window_seconds=3600)
    long_ago = clock.now() - timedelta(hours=2)
    left = cron_session(agent, "true", run_timeout_seconds=60, started_at=long_ago)
    Session.objects.filter(id=left.id).update(scheduled_for=long_ago)
    Agent.objects.filter(id=agent.id).update(
        cron_next_fire_at=clock.now().replace(second=0, microsecond=0)
    )
    worker = workers.start("--once")
    assert worker.wait(timeout=60) == 0, workers.logs()
    left.refresh_from_db()
    assert (left.status, left.failure_kind) == ("failed", "timeout")
    newer = Session.objects.filter(agent=agent).exclude(id=left.id)
    assert {session.status for session in newer} == {"completed"} or {
        session.failure_kind for session in newer
    } == {"prompt"}
    assert newer.exists()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def holder(session: Session) -> int | None:
    worker = Worker.objects.filter(sessions=session).first()
    return worker.pid if worker else None


def assert_completed_once(session: Session, sink: Sink, workers: Workers) -> None:
    def ended() -> bool:
        session.refresh_from_db()
        return session.status in FINAL

    wait_for(ended, seconds=60)
    assert (session.status, session.failure_reason) == ("completed", None), workers.logs()
    assert session.response == "the sink let me go\n"
    assert sink.count == 1
    assert session.worker is None


def unchanging(session: Session) -> dict[str, object]:
    return {k: v for k, v in session.__dict__.items() if not k.startswith("_")}
