"""The next instants of a schedule: croniter names the dates, the rule of time does the rest."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, product
from zoneinfo import ZoneInfo

from croniter import croniter

from scheduler.cron.expression import Schedule, parse
from scheduler.cron.wall import MINUTE, earliest_wall, runs_of, steady_offset
from scheduler.cron.zones import load

HORIZON_YEARS = 50
"""How far ahead a date is looked for; the rarest, a leap day on a given weekday, takes 40."""

_FEW = 64
_FIRST = datetime(1, 1, 3, tzinfo=UTC)
_LAST = datetime(9999, 12, 28)  # noqa: DTZ001  (a wall time)
"""Python's calendar less what a zone's offset may add."""


def next_fires(expression: str, timezone: str, after: datetime, count: int) -> list[datetime]:
    """Return the next `count` instants of a schedule, in order, in UTC.

    Each is strictly later than `after`, an aware datetime of any zone. Fewer come back only
    where the calendar ends (28 December 9999) or no date is found within HORIZON_YEARS,
    which cannot happen to a schedule that `parse` accepts. The answer depends
    on the arguments and the tzdata package alone. The list is the caller's own.

    The rule is that of Debian's cron(8), see docs/decisions/cron-rule.md. Raises
    CronError for a bad expression or zone, ValueError for a naive `after` or a negative count.
    """
    if not (isinstance(expression, str) and isinstance(timezone, str)):
        parse(expression, timezone)  # raises, where the cache would stumble over a list
    if after.tzinfo is None:
        raise ValueError("after must be an aware datetime")
    if after.tzinfo is not UTC:
        after = after.astimezone(UTC)
    memoised = _few_fires if count <= _FEW else _many_fires
    minute = after
    if after.second or after.microsecond:
        minute = after - timedelta(0, after.second, after.microsecond)
    fires = memoised(expression, timezone, minute, count)
    if fires and fires[0] <= after:  # where an offset has seconds, so has the instant
        fires = _fires(expression, timezone, after, count)
    return list(fires)


def matching_days(schedule: Schedule, first: datetime) -> Iterator[datetime]:
    """Yield the dates of `schedule` from the date of wall time `first` on, each as midnight.

    Ends with Python's calendar, or when HORIZON_YEARS hold no date.
    """
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    calendar = copy(_calendar(schedule.canonical.split(" ", 2)[2]))
    calendar.set_current(day - MINUTE)
    try:
        for day in calendar.all_next(datetime):
            if day > _LAST:
                return
            yield day
    except (OverflowError, ValueError):
        if day.year + HORIZON_YEARS < _LAST.year:
            raise


def times_of_day(schedule: Schedule) -> tuple[timedelta, ...]:
    """Return the times of a matching day, as time since its wall-clock midnight."""
    return _times(schedule.hours, schedule.minutes)


def _fires(expression: str, timezone: str, after: datetime, count: int) -> tuple[datetime, ...]:
    schedule = parse(expression, timezone)
    later = _later_than(after, _in_order(_passes(schedule, max(after, _FIRST))))
    return tuple(islice(later, count))


# Thousands of agents share a few schedules. A long answer is half a megabyte, so few are kept.
_few_fires = lru_cache(maxsize=8192)(_fires)
_many_fires = lru_cache(maxsize=16)(_fires)


def _passes(schedule: Schedule, after: datetime) -> Iterator[Sequence[datetime]]:
    """Yield for each scheduled wall time when it runs: once, twice or not at all."""
    if after.replace(tzinfo=None) > _LAST:
        return
    zone = load(schedule.timezone)
    start = earliest_wall(after, zone)
    for day in matching_days(schedule, start):
        times = times_of_day(schedule)
        yield from _passes_of(day, times[bisect_left(times, start - day) :], zone, schedule)


def _passes_of(
    day: datetime, times: Iterable[timedelta], zone: ZoneInfo, schedule: Schedule
) -> Iterator[Sequence[datetime]]:
    offset = steady_offset(day, zone)
    if offset is None:
        return (runs_of(day + time, zone, schedule) for time in times)
    midnight = (day - offset).replace(tzinfo=UTC)
    return ((midnight + time,) for time in times)


def _in_order(passes: Iterable[Sequence[datetime]]) -> Iterator[datetime]:
    """Merge what runs on the second pass of a repeated hour behind what runs on the first."""
    second: deque[datetime] = deque()
    for runs in passes:
        for run in islice(runs, 1):
            while second and second[0] <= run:
                yield second.popleft()
            yield run
        second.extend(islice(runs, 1, None))
    yield from second


def _later_than(after: datetime, instants: Iterable[datetime]) -> Iterator[datetime]:
    """Yield ascending instants later than `after`, once each: skipped times share one run."""
    for instant in instants:
        if instant > after:
            after = instant
            yield instant


@lru_cache(maxsize=512)
def _times(hours: tuple[int, ...], minutes: tuple[int, ...]) -> tuple[timedelta, ...]:
    return tuple(_MINUTES_OF_DAY[60 * hour + minute] for hour, minute in product(hours, minutes))


_MINUTES_OF_DAY = tuple(n * MINUTE for n in range(24 * 60))


@lru_cache(maxsize=1024)
def _calendar(days: str) -> "croniter[datetime]":
    """Return a prototype for the day fields of a schedule; copied before use, as it moves."""
    return croniter(
        f"0 0 {days}",
        datetime(2000, 1, 1),  # noqa: DTZ001  (naive: croniter sees wall time only)
        ret_type=datetime,
        max_years_between_matches=HORIZON_YEARS,
        implement_cron_bug=True,
    )
