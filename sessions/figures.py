"""Figures of the whole installation, counted by the database when somebody scrapes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import Error, connection, transaction
from django.db.models import Count, Exists, OuterRef, Q, Sum
from prometheus_client import Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.models import Agent
from lap.core import clock
from lap.core.threads import DatabaseThreads
from sessions.models import Session, Trigger, Worker
from sessions.querysets import ACTIVE, HAS_WORK

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 2.0
"""Longer than that a probe or a scrape does not wait for the database."""
WITHOUT_RUN: Final = ("missed", "coalesced")
"""Outcomes of instants that passed while nobody looked, and got no run of their own."""
RECENT: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """``active`` counts by trigger and status; ``oldest_due_seconds`` is 0 when nothing is due.

    ``without_run`` counts the instants decided within ``RECENT`` by outcome.
    """

    active: dict[tuple[str, str], int]
    waiting: int
    workers: int
    oldest_due_seconds: float
    without_run: dict[str, int]


async def exposition(database: DatabaseThreads) -> bytes:
    """What this process and the database count, in Prometheus' text format.

    Without an answer of the database within ``ANSWER_SECONDS`` there is ``lap_database_up 0`` in
    the place of its figures.
    """
    figures: Figures | None = None
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            figures = await database(read_figures)
    except (TimeoutError, Error) as error:
        log.warning("the database does not tell its figures: %r", error)
    return generate_latest() + generate_latest(_Families(figures))


def read_figures() -> Figures:
    """Each statement has a time limit. Raises django.db.Error."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            limit = f"{ANSWER_SECONDS:g}s"
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [limit])
        active, waiting = _sessions()
        workers = Worker.objects.live().count()
        return Figures(active, waiting, workers, _oldest_due_seconds(), without_run())


def _sessions() -> tuple[dict[tuple[str, str], int], int]:
    """Active sessions, and how many of them have work that nobody live does.

    Rides on session_active.
    """
    is_held = Exists(Worker.objects.live().filter(id=OuterRef("worker")))
    counted = Session.objects.active().order_by().values_list("trigger", "status")
    rows = counted.annotate(count=Count("*"), waiting=Count("id", filter=HAS_WORK & ~Q(is_held)))
    active = dict.fromkeys(((trigger, st) for trigger in Trigger.values for st in ACTIVE), 0)
    active |= {(trigger, status): count for trigger, status, count, _ in rows}
    return active, sum(row[3] for row in rows)


def _oldest_due_seconds() -> float:
    """Agents that stepped aside are not due. Rides on agent_cron_due."""
    now = clock.now()
    oldest = Agent.objects.due(now).values_list("cron_next_fire_at", flat=True).first()
    return (now - oldest).total_seconds() if oldest else 0.0


def without_run() -> dict[str, int]:
    """Told by the database: a worker that has just started knows nothing of what it found.

    Rides on cron_fire_without_run.
    """
    fires = Agent._meta.get_field("cron_fires").related_model._default_manager
    recent = fires.filter(outcome__in=WITHOUT_RUN, decided_at__gt=clock.now() - RECENT)
    counted = recent.order_by().values_list("outcome").annotate(Sum("count"))
    return dict.fromkeys(WITHOUT_RUN, 0) | dict(counted)


class _Families(Collector):
    def __init__(self, figures: Figures | None) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        yield _gauge("lap_database_up", "Whether the database answered this scrape.", bool(figures))
        if figures is None:
            return
        active = GaugeMetricFamily(
            "lap_sessions_active", "Sessions that have not ended.", labels=["trigger", "status"]
        )
        for labels, count in figures.active.items():
            active.add_metric(labels, count)
        yield active
        yield _gauge("lap_queue_length", "Sessions that wait for a worker.", figures.waiting)
        yield _gauge("lap_workers_live", "Workers with a valid lease.", figures.workers)
        yield _gauge(
            "lap_oldest_due_seconds",
            "How late the oldest instant is that no tick has settled.",
            figures.oldest_due_seconds,
        )
        without_run = GaugeMetricFamily(
            "lap_instants_without_run",
            "Instants decided within the last hour that passed while nobody looked.",
            labels=["outcome"],
        )
        for outcome, count in figures.without_run.items():
            without_run.add_metric([outcome], count)
        yield without_run


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
