"""What operators ask of the whole fleet: who is next, what went wrong, who carries it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from itertools import chain
from math import ceil
from typing import Any, Final
from uuid import UUID

from django.db.models import Case, Count, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Left

from agents.listing import resumes
from agents.models import Agent
from agents.querysets import AgentQuerySet
from agents.schedule_state import next_run
from lap.core.clock import DatabaseClock
from scheduler.fleet import SCHEDULES_LIMIT, WINDOW, Shared
from scheduler.models import OUTCOME_LABELS, PROBLEMS, CronFire
from scheduler.outcome import Outcome
from scheduler.runs import ON_TIME, sentence
from sessions.failures import AS_ASKED
from sessions.models import Session, Trigger, Worker
from sessions.querysets import RUNS

COMING_LIMIT: Final = 10
PROBLEMS_LIMIT: Final = 20
PROBLEMS_AGE: Final = timedelta(days=7)
STOPPED_LIMIT: Final = 20
WORKERS_LIMIT: Final = 20
WORKERS_AGE: Final = timedelta(days=1)
SAMPLE_LIMIT: Final = 1000
SAMPLE_AGE: Final = timedelta(days=1)
REASON_LENGTH: Final = 300

_ENDED_BADLY: Final = ("failed", "dead")
_COUNTED: Final = {
    "cron_fired": "started", "cron_skipped_overlap": "skipped", "cron_missed": "missed",
    "cron_coalesced": "folded", "cron_paused": "paused", "cron_superseded": "superseded",
    "cron_invalid": "invalid", "cron_errors": "errors",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Coming:
    """An agent and the instant that it runs next.

    ``is_due`` tells that the instant has come and no worker has looked at it yet, ``is_overdue``
    that this is so for a minute.
    """

    agent: Agent
    at: datetime
    is_due: bool
    is_overdue: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """A run that failed, or an instant that did not start; ``at`` is when that was known.

    ``id`` is the session's, or the ledger row's.
    """

    id: UUID | int
    at: datetime
    agent_id: UUID
    agent_name: str
    is_agent_deleted: bool
    kind: str
    reason: str
    session_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker: ``live``, ``expired`` (it fell silent) or ``ended`` (it signed off).

    ``held`` sessions are its own now; ``done`` says what it did with the instants it looked at.
    """

    worker: Worker
    state: str
    held: int
    done: str


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long after their instants the newest scheduled runs were visible to workers."""

    count: int
    half: timedelta
    most: timedelta
    worst: timedelta


def running(now: datetime) -> AgentQuerySet:
    """Agents whose schedule runs: enabled, valid, not stepped aside. Rides on agent_cron_due."""
    is_free = Q(cron_blocked_until=None) | Q(cron_blocked_until__lte=now)
    return Agent.objects.filter(is_free, cron_enabled=True, cron_next_fire_at__isnull=False)


def shared_schedules(now: datetime) -> tuple[list[Shared], int]:
    """The schedules that run within a day, those of most agents first; how many were left out."""
    soon = running(now).filter(cron_next_fire_at__lt=now + WINDOW + timedelta(minutes=2))
    counted = (
        soon.order_by()
        .values_list("cron_schedule", "cron_timezone")
        .annotate(agents=Count("id"))
        .order_by("-agents", "cron_schedule", "cron_timezone")
    )
    found = [Shared(*row) for row in counted]
    return found[:SCHEDULES_LIMIT], len(found[SCHEDULES_LIMIT:])


def coming_up(now: datetime) -> list[Coming]:
    """The agents that run next. Rides on agent_cron_due.

    Twice as many are read: those that were just resumed still have an instant of their pause,
    and stand before others until a worker has looked at them.
    """
    columns = ("name", "cron_schedule", "cron_timezone", "cron_next_fire_at")
    resumed_at = Subquery(resumes(OuterRef("id"), OuterRef("cron_next_fire_at"))[:1])
    agents = running(now).only(*columns).annotate(resumed_at=resumed_at)
    first = agents.order_by("cron_next_fire_at")[: 2 * COMING_LIMIT]
    return sorted(_coming(first, now), key=lambda coming: coming.at)[:COMING_LIMIT]


def stopped_agents(now: datetime) -> list[Agent]:
    """Agents that stepped aside after an error or whose schedule no longer parses.

    Rides on agent_cron_blocked, and on agent_cron_due: an invalid schedule has no next instant.
    """
    columns = ("name", "cron_blocked_until", "cron_blocked_reason", "cron_disabled_reason")
    agents = Agent.objects.alive().only(*columns)
    blocked = agents.filter(cron_blocked_until__gt=now).order_by("cron_blocked_until")
    invalid = agents.filter(cron_enabled=False, cron_next_fire_at=None).exclude(
        cron_disabled_reason=""
    )
    return [*blocked[:STOPPED_LIMIT], *invalid.order_by("-updated_at")[:STOPPED_LIMIT]]


def latest_problems(now: datetime) -> list[Problem]:
    """What went wrong in the last seven days, newest first."""
    since = now - PROBLEMS_AGE
    ended = (_ended_badly(status, since) for status in _ENDED_BADLY)
    problems = chain(_not_started(since), *ended)
    return nlargest(PROBLEMS_LIMIT, problems, key=lambda problem: problem.at)


def workers() -> list[WorkerState]:
    """Live workers, then those that went within a day. Leases are judged by the database."""
    is_live = Q(ended_at=None, expires_at__gt=DatabaseClock())
    ran_out = Q(ended_at=None) | Q(ended_at__gte=F("expires_at"))
    state = Case(
        When(is_live, Value("live")), When(ran_out, Value("expired")), default=Value("ended")
    )
    seen = Worker.objects.filter(expires_at__gt=DatabaseClock() - WORKERS_AGE)
    rows: QuerySet[Any] = seen.annotate(state=state, held=Count("sessions"))
    live_first = rows.order_by(Case(When(is_live, 0), default=1), "-heartbeat_at")
    return [
        WorkerState(worker, worker.state, worker.held, _in_words(worker.counters))
        for worker in live_first[:WORKERS_LIMIT]
    ]


def lateness(now: datetime) -> Lateness | None:
    """Of the newest scheduled runs of a day; None without any. Rides on session_list_of_trigger."""
    newest = Session.objects.filter(trigger=Trigger.CRON, created_at__gte=now - SAMPLE_AGE)
    rows = newest.order_by("-created_at", "-id").values_list("created_at", "scheduled_for")
    late = sorted(created - scheduled for created, scheduled in rows[:SAMPLE_LIMIT] if scheduled)
    if not late:
        return None
    return Lateness(len(late), _percentile(late, 50), _percentile(late, 99), late[-1])


def _coming(agents: Iterable[Any], now: datetime) -> Iterator[Coming]:
    for agent in agents:
        at = next_run(agent, agent.resumed_at)
        if at is not None:
            yield Coming(agent, at, is_due=at <= now, is_overdue=now - at > ON_TIME)


def _not_started(since: datetime) -> Iterator[Problem]:
    """Rides on cron_fire_problems."""
    fires = CronFire.objects.filter(outcome__in=PROBLEMS, decided_at__gte=since)
    rows = fires.order_by("-decided_at").values_list(
        "id", "decided_at", "agent_id", "agent__name", "agent__deleted_at", "outcome", "reason"
    )
    for id_, at, agent_id, name, deleted_at, outcome, reason in rows[:PROBLEMS_LIMIT]:
        known = sentence(reason or OUTCOME_LABELS[Outcome(outcome)])
        yield Problem(id_, at, agent_id, name, deleted_at is not None, outcome, known)


def _ended_badly(status: str, since: datetime) -> Iterator[Problem]:
    """Runs that nobody asked to end. Rides on session_list_of_status."""
    sessions = Session.objects.filter(status=status, trigger__in=RUNS, created_at__gte=since)
    unasked = sessions.exclude(failure_kind__in=AS_ASKED)
    rows = unasked.order_by("-created_at", "-id").values_list(
        "id", "stopped_at", "agent_id", "agent__name", "agent__deleted_at",
        Left("failure_reason", REASON_LENGTH),
    )  # fmt: skip
    for id_, at, agent_id, name, deleted_at, reason in rows[:PROBLEMS_LIMIT]:
        known = sentence(reason or "")
        yield Problem(id_, at, agent_id, name, deleted_at is not None, status, known, id_)


def _in_words(counters: dict[str, int]) -> str:
    """``1,204 started, 3 skipped``; empty when nothing was done."""
    done = [(counters.get(name, 0), words) for name, words in _COUNTED.items()]
    return ", ".join(f"{number:,} {words}" for number, words in done if number)


def _percentile(ordered: Sequence[timedelta], percent: int) -> timedelta:
    """The smallest value that so many percent of the ordered values do not exceed."""
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]
