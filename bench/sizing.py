"""What a worker costs and carries: the figures behind the sizing table of docs/deploy.md.

    python -m bench.sizing [--agents 10000] [--runs 500] [--json]

Part one: agents that are due at one instant, settled by one, two and four workers; milliseconds
from the instant until half, 99 % and all of their sessions are visible to another connection.
Part two: one worker with the Kubernetes backend on the tests' stand-in API server, whose pods run
real harnesses: memory and processor of the worker while it carries nothing, a fifth and all of
the runs, how many it brings up in a minute, and its connections. Everything shares one machine.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench.bringup import ROOT, wait_for
from bench.lateness import coming_minute, installation, move_clock
from tests.kubernetes.standin import StandIn

WORKERS = (1, 2, 4)
PATIENCE_SECONDS = 60
RUN_SECONDS = 120
SETTLE_SECONDS = 3


@contextmanager
def worker(*arguments: str, **environment: str) -> Iterator[psutil.Process]:
    from django.conf import settings

    offset = repr(settings.LAP_CLOCK_OFFSET_SECONDS)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_cron_worker", *arguments],
        cwd=ROOT,
        env={**os.environ, "LAP_CLOCK_OFFSET_SECONDS": offset, "LAP_LOG_LEVEL": "ERROR"}
        | environment,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def create_agents(count: int, schedule: str, **fields: Any) -> None:
    """Through the one function that edits; then all rows alike, since hashing is not measured."""
    from agents.editing import create_agent
    from agents.models import Agent

    made = create_agent(
        {"model": "none", "harness_id": "shell", "cron_schedule": schedule, **fields}, "bench"
    )
    others = [Agent(**{**columns_of(made), "name": f"agent {n}"}) for n in range(count - 1)]
    Agent.objects.bulk_create(others, batch_size=1000)


def columns_of(agent: Any) -> dict[str, Any]:
    names = [field.attname for field in agent._meta.concrete_fields if not field.primary_key]
    return {name: getattr(agent, name) for name in names}


def live_workers() -> int:
    from sessions.models import Worker

    return int(Worker.objects.live().count())


def herd(agents: int, count: int) -> dict[str, float]:
    """Milliseconds from the instant until shares of the sessions are visible."""
    from lap.core import clock

    minute = coming_minute()
    move_clock(minute - timedelta(seconds=20))
    create_agents(agents, f"{minute.minute} {minute.hour} * * *")
    move_clock(minute - timedelta(seconds=15))
    with ExitStack() as running:
        for _ in range(count):
            running.enter_context(worker("--concurrency", "0"))
        wait_for(lambda: live_workers() >= count)
        shares = {"p50_ms": 0.5, "p99_ms": 0.99, "all_ms": 1.0}
        seen = {}
        for name, share in shares.items():
            wait_for(partial(are_visible, agents * share))
            seen[name] = milliseconds(clock.now(), minute)
    clear()
    return seen


def are_visible(sessions: float) -> bool:
    from sessions.models import Session

    return bool(Session.objects.count() >= sessions)


def milliseconds(now: datetime, since: datetime) -> float:
    return round((now - since).total_seconds() * 1000, 1)


def clear() -> None:
    from agents.models import Agent, ScheduleChange
    from scheduler.models import CronFire
    from sessions.models import Duty, Session, Worker

    for model in (CronFire, Session, Duty, Worker, ScheduleChange, Agent):
        model.objects.all()._raw_delete("default")


def carry(runs: int, cluster: StandIn, folder: Path) -> list[dict[str, float]]:
    """One worker: idle, with a fifth of the runs, with all of them."""
    from django.db import connection

    kubernetes = {
        "LAP_SANDBOX_BACKEND": "kubernetes",
        "K8S_KUBECONFIG": str(cluster.kubeconfig(folder / "kubeconfig", user="worker")),
        "K8S_NAMESPACE": "default",
        "K8S_EXPOSE": "nodeport",
        "K8S_HARNESS_IMAGE": "example/harness:1",
        "K8S_WARM_POOL_SIZE": "0",
    }
    rows = []
    with worker(**kubernetes) as process:
        wait_for(live_workers)
        for count in (0, runs // 5, runs):
            begun = time.monotonic()
            start_runs(count)
            minutes = (time.monotonic() - begun) / 60
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lap@%'"
                    " AND pid <> pg_backend_pid()"
                )
                (connections,) = cursor.fetchone()
            rows.append(
                {
                    "runs": count,
                    "starts_a_minute": round(count / minutes) if count else 0,
                    "memory_mb": round(process.memory_info().rss / 1e6),
                    "cpu_percent": cpu_percent(process),
                    "connections": connections,
                }
            )
    return rows


def cpu_percent(process: psutil.Process) -> float:
    process.cpu_percent()
    time.sleep(SETTLE_SECONDS)
    return float(process.cpu_percent())


def start_runs(count: int) -> None:
    """Have so many runs that wait for their script."""
    from agents.models import Agent
    from sessions.models import Session
    from sessions.opening import run_now

    if not count:
        return
    have = Session.objects.count()
    create_agents(count - have, "0 0 1 1 *", cron_prompt=f"sleep {RUN_SECONDS}")
    for agent in Agent.objects.filter(sessions=None):
        run_now(agent.id, actor="bench")
    sent = Session.objects.filter(prompt_sent_at__isnull=False)
    wait_for(lambda: sent.count() >= count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with installation(), StandIn() as cluster:
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        # Runs that are cut off at the end leave their scripts where this goes with the rest.
        tempfile.tempdir = os.environ["LAP_DATA_DIR"]
        herds = [{"workers": count, **herd(options.agents, count)} for count in WORKERS]
        carried = carry(options.runs, cluster, Path(os.environ["LAP_DATA_DIR"]))
    if options.json:
        print(json.dumps({"agents": options.agents, "herds": herds, "carried": carried}))
        return
    print(f"{options.agents:,} agents at one instant")
    print_table(herds)
    print("one worker")
    print_table(carried)


def print_table(rows: list[dict[str, float]]) -> None:
    print("".join(f"{name:>17}" for name in rows[0]))
    for row in rows:
        print("".join(f"{value:>17,}" for value in row.values()))


if __name__ == "__main__":
    main()
