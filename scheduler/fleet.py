"""What all agents are about to do within a day. Pure: no database and no clock, only values.

Agents share schedules: what costs time is counted once per schedule and day, and kept. A schedule
that is new costs about 0.3 ms a day, one that runs every minute ten times as much; so the first
answer of a process grows with the number of distinct schedules, never with the number of agents.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from scheduler.cron import CronError, load_zone, next_fires, parse

SCHEDULES_LIMIT: Final = 2000
"""Distinct schedules that are looked at, those of most agents first: bounds the first answer."""

WINDOW: Final = timedelta(days=1)
QUARTER: Final = timedelta(minutes=15)
HERD_AGENTS: Final = 10
HERD_TIMES_MEAN: Final = 5
HERDS: Final = 5

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
_MINUTES: Final = WINDOW // _MINUTE
_PER_QUARTER: Final = QUARTER // _MINUTE
_PREFERRED_MINUTE: Final = 7


class Shared(NamedTuple):
    """A schedule and how many agents have it."""

    expression: str
    timezone: str
    agents: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How many runs begin in each of the 1,440 minutes from ``start`` on."""

    start: datetime
    minutes: Sequence[int]
    schedules: Sequence[Shared]

    @property
    def runs(self) -> int:
        return sum(self.minutes)

    def at(self, minute: int) -> datetime:
        """The instant of a minute, in UTC."""
        return self.start + minute * _MINUTE

    def runs_at(self, instant: datetime) -> int:
        """How many runs begin at a whole minute; none outside of the plan."""
        minute = (instant - self.start) // _MINUTE
        return self.minutes[minute] if 0 <= minute < _MINUTES else 0


@dataclass(frozen=True, slots=True)
class Slot:
    """The runs from ``start`` to before ``end``."""

    start: datetime
    end: datetime
    runs: int


@dataclass(frozen=True, slots=True)
class Herd:
    """Many agents in one minute, and the schedule to move: of those easily moved the commonest.

    ``instead`` is that schedule at the quietest minute of its hour; empty where all of them run
    in many minutes of an hour.
    """

    at: datetime
    agents: int
    schedule: Shared
    instead: str


def plan(schedules: Sequence[Shared], now: datetime) -> Plan:
    """The day that begins with the next minute, and the schedules that have instants in it."""
    start = now.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
    midnight = start.replace(hour=0, minute=0)
    minutes = [runs for day in (midnight, midnight + _DAY) for runs in _runs_of_day(schedules, day)]
    first = (start - midnight) // _MINUTE
    there = [schedule for schedule in schedules if _is_within(schedule, midnight, first)]
    return Plan(start, minutes[first : first + _MINUTES], there)


def quarters(plan: Plan) -> list[Slot]:
    """The plan by quarters of an hour; the first and the last one may be cut off."""
    first = -(plan.start.minute % _PER_QUARTER)
    starts = range(first, _MINUTES, _PER_QUARTER)
    return [_slot(plan, start, start + _PER_QUARTER) for start in starts]


def heat(plan: Plan, zone: tzinfo) -> list[list[int]]:
    """Runs by hour of the day and minute of the hour on the clocks of a zone: 24 rows of 60.

    An hour that the clocks show twice holds the runs of both, one that they skip holds none.
    """
    grid = [[0] * 60 for _ in range(24)]
    for minute, runs in enumerate(plan.minutes):
        if runs:
            local = plan.at(minute).astimezone(zone)
            grid[local.hour][local.minute] += runs
    return grid


def herds(plan: Plan) -> list[Herd]:
    """The busiest minutes that stand out: many agents, and many times the mean."""
    least = max(HERD_AGENTS, HERD_TIMES_MEAN * plan.runs / _MINUTES)
    busiest = Counter({minute: runs for minute, runs in enumerate(plan.minutes) if runs >= least})
    return [_herd(plan, plan.at(minute), runs) for minute, runs in busiest.most_common(HERDS)]


def _runs_of_day(schedules: Sequence[Shared], midnight: datetime) -> list[int]:
    runs = [0] * (_DAY // _MINUTE)
    for expression, timezone, agents in schedules:
        for minute in _minutes_of_day(expression, timezone, midnight):
            runs[minute] += agents
    return runs


def _is_within(schedule: Shared, midnight: datetime, first: int) -> bool:
    """Whether it runs within a day from a minute after midnight on."""
    today, tomorrow = (
        _minutes_of_day(schedule.expression, schedule.timezone, day)
        for day in (midnight, midnight + _DAY)
    )
    return (bool(today) and today[-1] >= first) or (bool(tomorrow) and tomorrow[0] < first)


@lru_cache(maxsize=3 * SCHEDULES_LIMIT)
def _minutes_of_day(expression: str, timezone: str, midnight: datetime) -> Sequence[int]:
    """The minutes of a day of UTC in which a schedule runs; none when it no longer parses."""
    try:
        schedule = parse(expression, timezone)
        size = len(schedule.minutes) * len(schedule.hours) + 1
        instants = next_fires(expression, timezone, midnight - _MINUTE, size)
        while instants and len(instants) % size == 0 and instants[-1] < midnight + _DAY:
            instants += next_fires(expression, timezone, instants[-1], size)
    except CronError:
        return array("H")
    return array("H", ((at - midnight) // _MINUTE for at in instants if at < midnight + _DAY))


def _slot(plan: Plan, first: int, end: int) -> Slot:
    return Slot(plan.at(first), plan.at(end), sum(plan.minutes[max(first, 0) : end]))


def _herd(plan: Plan, at: datetime, agents: int) -> Herd:
    midnight = at.replace(hour=0, minute=0)
    minute = (at - midnight) // _MINUTE
    there = (
        schedule
        for schedule in plan.schedules
        if _holds(_minutes_of_day(schedule.expression, schedule.timezone, midnight), minute)
    )
    most = max(there, key=lambda schedule: (_has_one_minute(schedule), schedule.agents))
    return Herd(at, agents, most, _elsewhere(plan, at, most))


def _has_one_minute(schedule: Shared) -> bool:
    """Whether it runs in one minute of an hour: such a schedule is easily moved."""
    return schedule.expression.split()[0].isdigit()


def _holds(minutes: Sequence[int], minute: int) -> bool:
    place = bisect_left(minutes, minute)
    return place < len(minutes) and minutes[place] == minute


def _elsewhere(plan: Plan, at: datetime, schedule: Shared) -> str:
    """The schedule at the quietest minute of its hour; of those the first after the seventh."""
    if not _has_one_minute(schedule):
        return ""
    hour = at - at.astimezone(load_zone(schedule.timezone)).minute * _MINUTE

    def crowd(minute: int) -> tuple[int, bool, int]:
        runs = plan.runs_at(hour + minute * _MINUTE)
        return runs, minute % 5 == 0, (minute - _PREFERRED_MINUTE) % 60

    return " ".join([str(min(range(60), key=crowd)), *schedule.expression.split()[1:]])
