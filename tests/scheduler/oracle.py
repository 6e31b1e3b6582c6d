"""A second, deliberately simple evaluator: Debian's cron, watched minute by minute.

It shares no code with scheduler.cron: it reads the expression with a parser of its own, and
walks through every UTC minute as the daemon would, looking at the clock on the wall.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
LATE_2026 = datetime(2026, 11, 22, 10, 17, tzinfo=UTC)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@dataclass(frozen=True)
class Tick:
    """One minute of a zone's clock."""

    at: datetime
    wall: datetime
    skipped: tuple[datetime, ...]
    """Wall minutes that the clock jumped over to get here, unless by three hours or more."""
    is_repeated: bool
    """The clock has shown this wall minute before."""


def walk(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Tick]:
    """Yield every minute of [start, end); start well before the change of interest."""
    seen: set[datetime] = set()
    at, previous = start, _wall(start - MINUTE, zone)
    while at < end:
        wall = _wall(at, zone)
        jump = wall - previous - MINUTE
        missing = jump // MINUTE if timedelta(0) < jump < timedelta(hours=3) else 0
        skipped = tuple(previous + n * MINUTE for n in range(1, missing + 1))
        yield Tick(at, wall, skipped, wall in seen)
        seen.add(wall)
        at, previous = at + MINUTE, wall


class Oracle:
    """An expression as sets of numbers, and the rule of time in its plainest form."""

    def __init__(self, expression: str) -> None:
        fields = expression.split()
        self.sets = [_numbers(text, *bounds) for text, bounds in zip(fields, BOUNDS, strict=True)]
        self.is_interval = fields[0].startswith("*") or fields[1].startswith("*")
        self.day_and = fields[2].startswith("*") or fields[4].startswith("*")

    def matches(self, wall: datetime) -> bool:
        minutes, hours, days, months, weekdays = self.sets
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
            return False
        by_date = wall.day in days
        by_week = wall.isoweekday() in weekdays or wall.isoweekday() % 7 in weekdays
        return (by_date and by_week) if self.day_and else (by_date or by_week)

    def runs(self, tick: Tick) -> bool:
        if self.is_interval:
            return self.matches(tick.wall)
        if any(map(self.matches, tick.skipped)):
            return True
        return not tick.is_repeated and self.matches(tick.wall)


def changes(zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """Return the first whole minutes with a new offset between two instants."""
    found, day = [], timedelta(days=1)
    while start < end:
        if start.astimezone(zone).utcoffset() != (start + day).astimezone(zone).utcoffset():
            found.append(_bisect(zone, start, start + day))
        start += day
    return found


def _bisect(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    before = low.astimezone(zone).utcoffset()
    while high - low > MINUTE:
        middle = low + (high - low) // MINUTE // 2 * MINUTE
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(UTC).astimezone(zone).replace(tzinfo=None, fold=0)


def _numbers(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return found
