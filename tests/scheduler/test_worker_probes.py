"""What a worker tells the kubelet, Prometheus and the log while it carries a run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from scheduler.models import CronFire
from scheduler.worker import CronWorker, Options
from scheduler.worker_probes import STALLED_SECONDS, WorkerCondition
from sessions.harness_client import http_client
from sessions.lease import Heartbeat
from sessions.models import Session, Worker
from tests.conftest import MakeAgent, SetClock
from tests.live import free_port
from tests.probes import Probed, database_away, migration_missing
from tests.processes import Sink, Workers, reload, wait_for

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
LEASE_SECONDS = 8
"""Half of it passes until the worker misses its database; it has to be back in the other half."""

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_worker_from_its_start_to_its_end(
    workers: Workers, sink: Sink, make_agent: MakeAgent, set_clock: SetClock
) -> None:
    set_clock(NINE - timedelta(minutes=1))
    make_agent(name="nightly", cron_schedule="0 9 * * *", cron_prompt=sink.script)
    set_clock(NINE)
    port = free_port()
    probed = Probed(f"http://127.0.0.1:{port}")
    with database_away():
        worker = workers.start(
            LAP_WORKER_PORT=str(port),
            LAP_LOG_FORMAT="json",
            LAP_LEASE_SECONDS=str(LEASE_SECONDS),
            LAP_DRAIN_SECONDS="60",
        )
        _it_waits_for_its_database(probed, workers)
    wait_for(lambda: sink.count)
    wait_for(probed.is_ready)
    session = Session.objects.get()

    _it_tells_what_it_did(probed)
    _it_misses_its_database(probed)
    _it_is_silent_when_stalled(probed, worker)
    _it_answers_while_it_drains(probed, worker, session)
    sink.release()
    assert worker.wait(timeout=30) == 0, workers.logs()
    assert reload(session).status == "completed"
    _every_line_of_the_run_names_it(workers.logs(), session)


def _it_waits_for_its_database(probed: Probed, workers: Workers) -> None:
    wait_for(lambda: "not currently accepting connections" in probed.reason("/readyz"))
    assert probed.get("/healthz").status_code == 200
    [line] = [json.loads(line) for line in workers.logs().splitlines()]
    assert line["level"] == "WARNING"
    assert line["message"].startswith("cannot start yet, trying again: connection failed")


def _it_tells_what_it_did(probed: Probed) -> None:
    samples = probed.samples()
    told = {name: samples[name] for name in EXPECTED}
    assert told == EXPECTED
    lateness = samples["lap_fire_lateness_seconds_sum"]
    to_ready = samples["lap_scheduled_to_ready_seconds_sum"]
    decided_at = CronFire.objects.get().decided_at
    assert abs((decided_at - NINE).total_seconds() - lateness) < 1
    assert lateness < to_ready < lateness + 20
    assert 0 < samples["lap_bringup_seconds_sum"] < to_ready
    assert samples["process_cpu_seconds_total"] > 0


EXPECTED = {
    "lap_fires_total started": 1,
    "lap_fires_total missed": 0,
    "lap_fire_lateness_seconds_count": 1,
    "lap_scheduled_to_ready_seconds_count": 1,
    "lap_bringup_seconds_count": 1,
    "lap_tick_seconds_count": 1,
    "lap_prompts_total sent": 1,
    "lap_live_sessions": 1,
    "lap_sessions_ended_total completed cron": 0,
    "lap_session_failures_total sandbox_lost": 0,
    "lap_loop_errors_total other tick": 0,
    "lap_instants_without_run missed": 0,
    "lap_database_up": 1,
    "lap_sessions_active ready cron": 1,
    "lap_queue_length": 0,
    "lap_workers_live": 1,
    "lap_oldest_due_seconds": 0,
}


def _it_misses_its_database(probed: Probed) -> None:
    """It is not ready, yet alive, and its metrics are told; later all is well again."""
    with database_away():
        assert wait_for(lambda: probed.reason("/readyz")) == "the database does not renew the lease"
        assert probed.get("/healthz").status_code == 200
        samples = probed.samples()
    assert samples["lap_database_up"] == 0
    assert samples["lap_live_sessions"] == 1
    assert samples["lap_loop_errors_total database tick"] > 0
    wait_for(probed.is_ready)


def _it_is_silent_when_stalled(probed: Probed, worker: subprocess.Popen[bytes]) -> None:
    with stopped(worker), pytest.raises(httpx.TimeoutException):
        probed.get("/healthz", seconds=0.3)
    assert probed.get("/healthz").status_code == 200


@contextmanager
def stopped(worker: subprocess.Popen[bytes]) -> Iterator[None]:
    worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGCONT)


def _it_answers_while_it_drains(
    probed: Probed, worker: subprocess.Popen[bytes], session: Session
) -> None:
    worker.send_signal(signal.SIGTERM)
    assert wait_for(lambda: probed.reason("/readyz")) == "draining"
    assert probed.get("/healthz").status_code == 200
    assert probed.samples()["lap_live_sessions"] == 1
    assert reload(session).status == "ready"
    assert worker.poll() is None


def _every_line_of_the_run_names_it(text: str, session: Session) -> None:
    lines = [json.loads(line) for line in text.splitlines()]
    of_run = [line for line in lines if "session" in line]
    expected = {
        "agent": str(session.agent_id),
        "agent_name": "nightly",
        "session": str(session.id),
        "scheduled_for": "2026-03-02T09:00:00.000Z",
    }
    assert all(expected.items() <= line.items() for line in of_run)
    messages = [line["message"] for line in of_run]
    assert {"creating sandbox", "ready", "completed"} <= set(messages)
    assert any("draining" in line["message"] for line in lines if "session" not in line)


def test_a_port_that_is_taken_is_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings.LAP_WORKER_PORT = taken.getsockname()[1]
        sentence = f"nothing can listen on 127.0.0.1 port {settings.LAP_WORKER_PORT}: Address"
        with pytest.raises(CommandError, match=sentence):
            call_command("run_cron_worker")


def test_a_worker_waits_for_migrations(caplog: pytest.LogCaptureFixture) -> None:
    """It has not registered when it is told to leave, and leaves in order."""
    with migration_missing("agents", "0002_list_indexes"):
        run_until_said(caplog, "migrations are missing: agents.0002")
    assert not Worker.objects.exists()


def run_until_said(caplog: pytest.LogCaptureFixture, sentence: str) -> None:
    """Runs a worker in this process until it has logged that; then it is told to leave."""

    async def run() -> None:
        async with http_client() as http:
            running = asyncio.create_task(CronWorker(Options(30, 1), http).run())
            async with asyncio.timeout(20):
                while sentence not in caplog.text:
                    await asyncio.sleep(0.02)
                os.kill(os.getpid(), signal.SIGTERM)
                await running

    asyncio.run(run())


def test_a_connection_that_is_not_configured_is_named(settings: Settings, tmp_path: Path) -> None:
    settings.LAP_SANDBOX_BACKEND = "kubernetes"
    settings.K8S_KUBECONFIG = str(tmp_path / "config")
    Path(settings.K8S_KUBECONFIG).write_text(KUBECONFIG)
    settings.K8S_CONTEXT = "other"
    with pytest.raises(CommandError, match="the connection to Kubernetes is not configured"):
        call_command("run_cron_worker")


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: one
contexts: [{name: one, context: {cluster: one, user: one}}]
clusters: [{name: one, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: one, user: {}}]
"""


@pytest.mark.parametrize(
    ("is_leaving", "alive", "ready"),
    [(False, "the schedules have not been looked at for 0 s", ""), (True, "", "draining")],
)
def test_condition(is_leaving: bool, alive: str, ready: str) -> None:
    """While it drains a worker does not look at schedules any more, and that is no illness."""
    leaving = asyncio.Event()
    if is_leaving:
        leaving.set()
    condition = WorkerCondition(-STALLED_SECONDS, leaving)
    with beating() as heartbeat:
        condition.registered(heartbeat)
        assert asyncio.run(condition.alive()) == alive
        assert asyncio.run(condition.ready()) == ready


def test_a_worker_that_waits_lives() -> None:
    """However long: a restart would not change what it waits for."""
    condition = WorkerCondition(-STALLED_SECONDS, asyncio.Event())
    assert asyncio.run(condition.ready()) == "not registered yet"
    condition.waiting("migrations are missing: a.0001")
    assert asyncio.run(condition.alive()) == ""
    assert asyncio.run(condition.ready()) == "migrations are missing: a.0001"


@contextmanager
def beating() -> Iterator[Heartbeat]:
    heartbeat = Heartbeat(Worker(), on_lost=lambda: None)
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()


def test_a_heartbeat_that_has_stopped_is_no_life() -> None:
    condition = WorkerCondition(30, asyncio.Event())
    heartbeat = Heartbeat(Worker(), on_lost=lambda: None)
    condition.registered(heartbeat)
    assert asyncio.run(condition.alive()) == "the heartbeat has stopped"
    heartbeat.start()
    assert asyncio.run(condition.alive()) == ""
    assert asyncio.run(condition.ready()) == ""
    heartbeat.stop()
    assert asyncio.run(condition.alive()) == "the heartbeat has stopped"
