"""How fast the HTTP API answers when there is much: 100,000 agents beside 1,000.

    python -m bench.api [--agents 100000] [--sessions 1000000] [--requests 300] [--json]

Two databases on one PostgreSQL server with the settings of ``make run``, a web process for each
(throttling off), one client that asks one after the other. Every request goes to both, in turn,
so that the machine's noise meets both; agents and sessions are drawn at random. ``req/s`` is what
one caller without pauses gets. The ratios are large to small. The agents list counts its ``total``
and a search looks at every match, so these may grow; nothing else should.
"""

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg

from bench.fill import fill
from lap.postgres import Server

ROOT = Path(__file__).parents[1]
AGENTS = "/api/v1/managed_agents/agents"
SESSIONS = "/api/v1/managed_agents/sessions"
SAMPLE = 500
WARM_UP = 20
SMALL = 1000
KEY = "bench-master-key"

Ask = Callable[["Platform"], httpx.Response]


@dataclass
class Platform:
    """One web process, and what its database holds."""

    client: httpx.Client
    agents: list[str]
    sessions: list[str]
    cursors: list[str]
    busiest: str

    def agent(self) -> str:
        return f"{AGENTS}/{random.choice(self.agents)}"


def patch_schedule(at: Platform) -> httpx.Response:
    schedule = f"{random.randrange(60)} {random.randrange(24)} * * 1-5"
    return at.client.patch(at.agent(), json={"cron_schedule": schedule})


def search(at: Platform) -> httpx.Response:
    return at.client.get(f"{AGENTS}?search=digest {random.randrange(10, 100)}")


def deep_page(at: Platform) -> httpx.Response:
    return at.client.get(f"{SESSIONS}?before={random.choice(at.cursors)}")


REQUESTS: Mapping[str, Ask] = {
    "agents list (holds total)": lambda at: at.client.get(AGENTS),
    "agents list, by name": lambda at: at.client.get(f"{AGENTS}?sort=name&order=asc"),
    "agents list, search": search,
    "agent get": lambda at: at.client.get(at.agent()),
    "agent PATCH of schedule": patch_schedule,
    "session create": lambda at: at.client.post(f"{at.agent()}/session", json={"title": "bench"}),
    "session get": lambda at: at.client.get(f"{SESSIONS}/{random.choice(at.sessions)}"),
    "sessions, first page": lambda at: at.client.get(SESSIONS),
    "sessions, deep page": deep_page,
    "sessions of one agent": lambda at: at.client.get(f"{SESSIONS}?agent_id={at.busiest}"),
    "ledger, first page": lambda at: at.client.get(f"{AGENTS}/{at.busiest}/cron/fires"),
    "admin/stats (counts all)": lambda at: at.client.get("/api/v1/admin/stats"),
}


TEMPLATE = {
    "name": "Nightly report 1",
    "model": "provider/model",
    "env_vars": {"TOKEN": "secret", "REGION": "eu"},
    "cron_schedule": "0 9 * * *",
}


@contextmanager
def platform(server: Server, name: str, agents: int, sessions: int) -> Iterator[Platform]:
    """A migrated and filled database with its web process, as long as the block runs."""
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
    environment = {
        **os.environ,
        "DATABASE_URL": server.url(name),
        "LAP_DATA_DIR": str(server.data_dir.parent / name),
        "LAP_MASTER_KEY": KEY,
        "LAP_LOG_LEVEL": "ERROR",
        "LAP_API_RATE_PER_MINUTE": "0",
        "LAP_API_FAILURES_PER_MINUTE": "0",
    }
    manage = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(manage, cwd=ROOT, env=environment, check=True)
    with web(environment) as client, psycopg.connect(server.url(name), autocommit=True) as database:
        client.post(AGENTS, json=TEMPLATE).raise_for_status()
        cursor = database.cursor()
        fill(cursor, agents, sessions)
        cursor.execute("VACUUM ANALYZE")
        yield Platform(client, *sample(cursor, sessions))


def sample(cursor: psycopg.Cursor, sessions: int) -> tuple[list[str], list[str], list[str], str]:
    """Random agents, sessions and deep cursors, and the agent with the most sessions."""
    deep = f"SELECT created_at, id FROM run WHERE i BETWEEN {sessions * 0.5} AND {sessions * 0.9}"
    busiest = "SELECT agent_id FROM run GROUP BY agent_id ORDER BY count(*) DESC LIMIT 1"
    return (
        [str(id_) for (id_,) in some(cursor, "SELECT id FROM agents_agent")],
        [str(id_) for (id_,) in some(cursor, "SELECT id FROM run")],
        [page_cursor(at, id_) for at, id_ in some(cursor, deep)],
        str(cursor.execute(busiest).fetchall()[0][0]),
    )


def some(cursor: psycopg.Cursor, query: str) -> list[tuple[Any, ...]]:
    return cursor.execute(f"{query} ORDER BY random() LIMIT {SAMPLE}".encode()).fetchall()


def page_cursor(at: datetime, id_: UUID) -> str:
    """What a ``Link`` header would hold: see lap.core.api.paging.Cursor."""
    text = f"{at.astimezone(UTC).isoformat()} {id_}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@contextmanager
def web(environment: Mapping[str, str]) -> Iterator[httpx.Client]:
    """A client of a web process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "lap.asgi:application", "--port", str(port)]
    process = subprocess.Popen([*command, "--log-level", "error"], cwd=ROOT, env=environment)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=60,
            trust_env=False,
        ) as client:
            wait_for_answer(client)
            yield client
    finally:
        process.terminate()
        process.wait()


def wait_for_answer(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            client.get(AGENTS)
            return
        time.sleep(0.1)
    raise TimeoutError("the web process does not answer")


def measure(pair: Sequence[Platform], requests: int) -> dict[str, list[list[float]]]:
    """Milliseconds of every request, by name: of the small platform, of the large one."""
    times: dict[str, list[list[float]]] = {name: [[], []] for name in REQUESTS}
    for number in range(-WARM_UP, requests):
        for name, ask in REQUESTS.items():
            for side in (0, 1) if number % 2 else (1, 0):
                begun = time.perf_counter()
                ask(pair[side]).raise_for_status()
                if number >= 0:
                    times[name][side].append((time.perf_counter() - begun) * 1000)
    return times


def summary(small: list[float], large: list[float]) -> dict[str, float]:
    row: dict[str, float] = {}
    for size, times in (("small", sorted(small)), ("large", sorted(large))):
        row[f"{size}_per_second"] = round(1000 / statistics.fmean(times), 1)
        row[f"{size}_p50_ms"] = round(statistics.median(times), 2)
        row[f"{size}_p99_ms"] = round(times[max(int(len(times) * 0.99) - 1, 0)], 2)
    for figure in ("p50", "p99"):
        row[f"{figure}_ratio"] = round(row[f"large_{figure}_ms"] / row[f"small_{figure}_ms"], 2)
    return row


def run(agents: int, sessions: int, requests: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="lap-bench-") as folder, ExitStack() as running:
        server = Server(Path(folder) / "postgres")
        running.callback(server.remove)
        server.start()
        pair = [
            running.enter_context(platform(server, "small", SMALL, SMALL)),
            running.enter_context(platform(server, "large", agents, sessions)),
        ]
        times = measure(pair, requests)
    return {name: summary(*of_name) for name, of_name in times.items()}


def show(rows: Mapping[str, Mapping[str, float]], agents: int, sessions: int) -> None:
    print(f"{SMALL:,} agents and sessions beside {agents:,} agents and {sessions:,} sessions; ms")
    print(
        f"{'':<26}{'req/s':>8}{'p50':>8}{'p99':>8}{'req/s':>10}{'p50':>8}{'p99':>8}{'ratios':>14}"
    )
    for name, row in rows.items():
        small, large = (
            f"{row[f'{size}_per_second']:>8}{row[f'{size}_p50_ms']:>8}{row[f'{size}_p99_ms']:>8}"
            for size in ("small", "large")
        )
        print(f"{name:<26}{small}  {large}{row['p50_ratio']:>8}{row['p99_ratio']:>6}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, default=100_000)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=300, help="of each kind and size")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    rows = run(options.agents, options.sessions, options.requests)
    if options.json:
        print(json.dumps(rows))
    else:
        show(rows, options.agents, options.sessions)


if __name__ == "__main__":
    main()
