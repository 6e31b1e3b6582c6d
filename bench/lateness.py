"""How late a scheduled session is visible to others: LAP's worker beside polling.

    python -m bench.lateness [--fires 100] [--json]

A sleeping worker is sent a PATCH to ``* * * * *``; the next full minute must fire. Lateness is
the moment at which another connection learns of the committed row, less the nominal instant,
both by the database's clock. The clock is moved to a second or so before the minute, so that a
fire does not take one; from there it runs in real time. For the pollers, whose long sleeps only
add idle time, it is moved to the look itself, at an even spread of phases.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from lap.postgres import Server

LEAD_SECONDS = (0.8, 1.5)


@contextmanager
def installation() -> Iterator[None]:
    """A PostgreSQL server of its own, with the settings that ``make run`` uses."""
    with tempfile.TemporaryDirectory(prefix="lap-bench-") as folder:
        server = Server(Path(folder) / "postgres")
        os.environ |= {
            "DATABASE_URL": server.url(),
            "LAP_DATA_DIR": folder,
            "LAP_LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "lap.settings",
        }
        server.start()
        try:
            yield
        finally:
            server.remove()


def coming_minute() -> datetime:
    """A full minute that lies a little ahead, by the database's own clock."""
    from django.conf import settings

    from lap.core import clock

    settings.LAP_CLOCK_OFFSET_SECONDS = 0
    return clock.now().replace(second=0, microsecond=0) + timedelta(minutes=2)


def move_clock(to: datetime) -> None:
    from django.conf import settings

    from lap.core import clock

    settings.LAP_CLOCK_OFFSET_SECONDS += (to - clock.now()).total_seconds()


def reschedule(agent_id: UUID, schedule: str | None) -> None:
    from agents.editing import edit_agent

    edit_agent(agent_id, {"cron_schedule": schedule}, "bench")


def wait_until_visible(agent_id: UUID, minute: datetime) -> float:
    """Seconds from the instant until this connection sees its row."""
    from lap.core import clock
    from scheduler.models import CronFire

    while not CronFire.objects.filter(agent=agent_id, scheduled_for=minute).exists():
        time.sleep(0.001)
    return (clock.now() - minute).total_seconds()


async def of_worker(agents: list[UUID]) -> list[float]:
    """Lateness of the real worker, asleep before each PATCH."""
    import httpx

    from scheduler.worker import CronWorker, Options

    async with httpx.AsyncClient() as http:
        worker = CronWorker(Options(tick_seconds=30, concurrency=0), http)
        working = asyncio.create_task(worker.run())
        lateness = [await asyncio.to_thread(one_fire, agent) for agent in agents]
        signal.raise_signal(signal.SIGTERM)
        await working
    return lateness


def one_fire(agent_id: UUID) -> float:
    minute = coming_minute()
    move_clock(minute - timedelta(seconds=random.uniform(*LEAD_SECONDS)))
    reschedule(agent_id, "* * * * *")
    try:
        return wait_until_visible(agent_id, minute)
    finally:
        reschedule(agent_id, None)


def of_poll(agents: list[UUID], period: float) -> list[float]:
    """Lateness of a loop that looks every ``period`` seconds, at evenly spread phases."""
    from scheduler.tick import tick

    lateness = []
    for number, agent_id in enumerate(agents):
        minute = coming_minute()
        move_clock(minute - timedelta(seconds=1))
        reschedule(agent_id, "* * * * *")
        move_clock(minute + timedelta(seconds=period * (number + 0.5) / len(agents)))
        tick()
        lateness.append(wait_until_visible(agent_id, minute))
        reschedule(agent_id, None)
    return lateness


def create_agents(count: int) -> list[UUID]:
    from agents.editing import create_agent

    fields = {"model": "none", "harness_id": "shell"}
    return [create_agent(fields, "bench").id for _ in range(count)]


def measure(fires: int) -> dict[str, list[float]]:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    return {
        "LAP worker": asyncio.run(of_worker(create_agents(fires))),
        "poll every 1 s": of_poll(create_agents(fires), 1),
        "poll every 30 s": of_poll(create_agents(fires), 30),
    }


def summary(lateness: list[float]) -> dict[str, float]:
    """Milliseconds."""
    ordered = sorted(lateness)
    return {
        "fires": len(ordered),
        "p50_ms": round(statistics.median(ordered) * 1000, 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99) - 1] * 1000, 1),
        "max_ms": round(ordered[-1] * 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fires", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with installation():
        rows = {name: summary(values) for name, values in measure(options.fires).items()}
    if options.json:
        print(json.dumps(rows))
        return
    base = rows["LAP worker"]["p50_ms"]
    print(f"{'':<16}{'fires':>6}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}{'ratio':>9}")
    for name, row in rows.items():
        print(
            f"{name:<16}{row['fires']:>6}{row['p50_ms']:>10}{row['p99_ms']:>10}"
            f"{row['max_ms']:>10}{row['p50_ms'] / base:>9.1f}"
        )


if __name__ == "__main__":
    main()
