"""Two LAPs side by side, a small one and a large one, that are asked the same in turn.

Two databases on one PostgreSQL server with the settings of ``make run``, a web process for each
(throttling off), one client that asks one after the other. Every request goes to both, in turn,
so that the machine's noise meets both; agents and sessions are drawn at random. ``req/s`` is what
one caller without pauses gets. The ratios are large to small.
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
SAMPLE = 500
WARM_UP = 20
KEY = "bench-master-key"
USER = "bench"
PASSWORD = "bench-password"

TEMPLATE = {
    "name": "Nightly report 1",
    "model": "provider/model",
    "env_vars": {"TOKEN": "secret", "REGION": "eu"},
    "cron_schedule": "0 9 * * *",
}


@dataclass
class Platform:
    """One web process, and what its database holds."""

    client: httpx.Client
    agents: list[str]
    sessions: list[str]
    cursors: list[str]
    busiest: str

    def agent(self) -> str:
        return random.choice(self.agents)

    def session(self) -> str:
        return random.choice(self.sessions)


Ask = Callable[[Platform], httpx.Response]
Size = tuple[int, int]
"""How many agents, how many sessions."""


def command(doc: str, asked: Mapping[str, Ask], small: Size, large: Size, requests: int) -> None:
    """Read the options, compare, print. ``large`` and ``requests`` are their defaults."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--agents", type=int, default=large[0])
    parser.add_argument("--sessions", type=int, default=large[1])
    parser.add_argument("--requests", type=int, default=requests, help="of each kind and size")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    large = (options.agents, options.sessions)
    rows = compare(small, large, asked, options.requests)
    if options.json:
        print(json.dumps(rows))
    else:
        show(rows, small, large)


def compare(
    small: Size, large: Size, asked: Mapping[str, Ask], requests: int
) -> dict[str, dict[str, float]]:
    """Milliseconds and ratios of every request, by name."""
    with tempfile.TemporaryDirectory(prefix="lap-bench-") as folder, ExitStack() as running:
        server = Server(Path(folder) / "postgres")
        running.callback(server.remove)
        server.start()
        pair = [
            running.enter_context(platform(server, "small", *small)),
            running.enter_context(platform(server, "large", *large)),
        ]
        times = measure(pair, asked, requests)
    return {name: summary(*of_name) for name, of_name in times.items()}


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
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        "LAP_LOG_LEVEL": "ERROR",
        "LAP_API_RATE_PER_MINUTE": "0",
        "LAP_API_FAILURES_PER_MINUTE": "0",
    }
    manage(environment, "migrate", "--verbosity", "0")
    manage(environment, "createsuperuser", "--noinput", "--username", USER, "--email", "")
    with web(environment) as client, psycopg.connect(server.url(name), autocommit=True) as database:
        log_in(client)
        client.post(AGENTS, json=TEMPLATE).raise_for_status()
        cursor = database.cursor()
        fill(cursor, agents, sessions)
        cursor.execute("VACUUM ANALYZE")
        yield Platform(client, *sample(cursor, sessions))


def manage(environment: Mapping[str, str], *command: str) -> None:
    manage_py = [sys.executable, "manage.py", *command]
    subprocess.run(manage_py, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def log_in(client: httpx.Client) -> None:
    """Give the client the cookie of a user, and the token that its forms need."""
    client.get("/login/")
    token = {"csrfmiddlewaretoken": client.cookies["csrftoken"]}
    client.post("/login/", data={**token, "username": USER, "password": PASSWORD})
    client.headers["X-CSRFToken"] = client.cookies["csrftoken"]


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


def measure(
    pair: Sequence[Platform], asked: Mapping[str, Ask], requests: int
) -> dict[str, list[list[float]]]:
    """Milliseconds of every request, by name: of the small platform, of the large one."""
    times: dict[str, list[list[float]]] = {name: [[], []] for name in asked}
    for number in range(-WARM_UP, requests):
        for name, ask in asked.items():
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


def show(rows: Mapping[str, Mapping[str, float]], small: Size, large: Size) -> None:
    """Print the table."""
    sizes = [f"{agents:,} agents and {sessions:,} sessions" for agents, sessions in (small, large)]
    print(f"{sizes[0]} beside {sizes[1]}; ms")
    print(
        f"{'':<30}{'req/s':>8}{'p50':>8}{'p99':>8}{'req/s':>10}{'p50':>8}{'p99':>8}{'ratios':>14}"
    )
    for name, row in rows.items():
        left, right = (
            f"{row[f'{size}_per_second']:>8}{row[f'{size}_p50_ms']:>8}{row[f'{size}_p99_ms']:>8}"
            for size in ("small", "large")
        )
        print(f"{name:<30}{left}  {right}{row['p50_ratio']:>8}{row['p99_ratio']:>6}")
