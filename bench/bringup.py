"""How long LAP takes from claiming a session to its being ready on Kubernetes: cold beside warm.

    python -m bench.bringup [--sessions 100] [--json]

A real worker process, PostgreSQL, and the stand-in API server of the tests, whose controllers and
pods take no time and run real harnesses: what is measured is LAP's own share, with the answers of
API server and harness. Sessions come one at a time, cold and warm in turn. The worker's own
histogram says how long each took.
"""

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from bench.lateness import installation
from tests.kubernetes.standin import StandIn

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 30
REFILL_SECONDS = 0.2
"""A pool is refilled a little later: the stand-in's work for it must not be measured."""


@contextmanager
def worker(cluster: StandIn, folder: Path) -> Iterator[str]:
    """The address of its metrics."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_cron_worker"],
        cwd=ROOT,
        env=os.environ
        | {
            "LAP_SANDBOX_BACKEND": "kubernetes",
            "LAP_RECONCILE_SECONDS": "0.5",
            "K8S_KUBECONFIG": str(cluster.kubeconfig(folder / "kubeconfig", user="worker")),
            "K8S_NAMESPACE": "default",
            "K8S_EXPOSE": "nodeport",
            "K8S_HARNESS_IMAGE": "example/harness:1",
            "LAP_LOG_LEVEL": "ERROR",
            "LAP_WORKER_PORT": str(port),
        },
    )
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS} s in vain")
        time.sleep(0.01)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def bring_up(metrics: str, agent_id: UUID, env: dict[str, str] | None = None) -> float:
    """Milliseconds from the session's claim to its being ready."""
    from sessions.models import Session
    from sessions.opening import open_session
    from sessions.stopping import stop_session

    before = bringup_seconds(metrics)
    session_id = open_session(agent_id, actor="bench", env_vars=env).id
    row = Session.objects.filter(id=session_id)
    wait_for(lambda: row.filter(status="ready", worker=None).exists())
    after = bringup_seconds(metrics)
    stop_session(session_id, "measured")
    wait_for(lambda: row.filter(stopped_at__isnull=False).exists())
    return (after - before) * 1000


def bringup_seconds(metrics: str) -> float:
    """What all bring-ups of the worker have taken so far."""
    found = re.search(r"^lap_bringup_seconds_sum (\S+)$", httpx.get(metrics).text, re.MULTILINE)
    assert found
    return float(found[1])


def answers(metrics: str) -> bool:
    try:
        return httpx.get(metrics).is_success
    except httpx.TransportError:
        return False


def warm_members(cluster: StandIn) -> int:
    pools = cluster.objects("sandboxwarmpools")
    return sum(pool.get("status", {}).get("readyReplicas", 0) for pool in pools)


def measure(cluster: StandIn, metrics: str, sessions: int) -> dict[str, list[float]]:
    from agents.editing import create_agent

    agent = create_agent({"model": "none", "harness_id": "shell"}, "bench").id
    wait_for(lambda: answers(metrics))
    bring_up(metrics, agent)
    found: dict[str, list[float]] = {"cold": [], "warm": []}
    for number in range(sessions):
        found["cold"].append(bring_up(metrics, agent, {"NUMBER": str(number)}))
        wait_for(lambda: warm_members(cluster))
        found["warm"].append(bring_up(metrics, agent))
    return found


def summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "sessions": len(ordered),
        "p50_ms": round(statistics.median(ordered), 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99) - 1], 1),
        "max_ms": round(ordered[-1], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with installation(), StandIn() as cluster:
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        cluster.claims.queue.delay_seconds = 0
        cluster.pools.queue.delay_seconds = REFILL_SECONDS
        with worker(cluster, Path(os.environ["LAP_DATA_DIR"])) as metrics:
            found = measure(cluster, metrics, options.sessions)
    rows = {name: summary(values) for name, values in found.items()}
    if options.json:
        print(json.dumps(rows))
        return
    base = rows["warm"]["p50_ms"]
    print(f"{'':<8}{'sessions':>9}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}{'ratio':>8}")
    for name, row in rows.items():
        print(
            f"{name:<8}{row['sessions']:>9}{row['p50_ms']:>10}{row['p99_ms']:>10}"
            f"{row['max_ms']:>10}{row['p50_ms'] / base:>8.2f}"
        )


if __name__ == "__main__":
    main()
