"""What a schedule is about to do, for a person who is still editing it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.cron.describe import describe
from scheduler.cron.errors import CronError
from scheduler.cron.expression import Schedule, parse
from scheduler.cron.fires import matching_days, next_fires, times_of_day
from scheduler.cron.wall import (
    earliest_wall,
    end_of_gap,
    instants_of,
    make_up,
    steady_offset,
)
from scheduler.cron.zones import load

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Preview:
    """The answer of `preview`; all instants are aware, in UTC and in order."""

    description: str
    next: tuple[datetime, ...]
    notes: tuple[str, ...]
    """Sentences about what a clock change does to the coming runs."""
    added: tuple[datetime, ...] | None
    """Those of `next` that the former schedule would not run; None without a former one."""
    removed: tuple[datetime, ...] | None
    """Those of the former schedule's next instants that the new one does not run."""
    touched: frozenset[datetime]
    """Those of `next` that a clock change moved, repeated or keeps from being repeated."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a clock change does to scheduled times: a sentence, and the runs it is about."""

    note: str
    runs: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Window:
    """The instants later than `after`, up to and including `until`."""

    after: datetime
    until: datetime

    def holds(self, at: datetime) -> bool:
        """Tell whether instant `at` lies in the window."""
        return self.after < at <= self.until


def preview(
    expression: str,
    timezone: str,
    after: datetime,
    count: int,
    before: tuple[str, str] | None = None,
) -> Preview:
    """Describe a schedule and its next `count` instants strictly later than aware `after`.

    With `before`, the (expression, zone) that the schedule would replace, also say which
    coming runs the edit adds and removes. A former pair that cannot be used ran nothing.
    Raises CronError for a bad expression or zone, ValueError for a naive `after`.
    """
    new = (expression, timezone)
    coming = next_fires(*new, after, count)
    former = None if before is None else _next_if_usable(before, after, count)
    effects = list(_effects(parse(*new), after, coming[-1])) if coming else []
    return Preview(
        description=describe(*new),
        next=tuple(coming),
        notes=tuple(effect.note for effect in effects),
        added=None if before is None else _absent(coming, before, former or ()),
        removed=None if former is None else _absent(former, new, coming),
        touched=frozenset(coming).intersection(at for effect in effects for at in effect.runs),
    )


def _absent(
    instants: Sequence[datetime], pair: tuple[str, str], known: Sequence[datetime]
) -> tuple[datetime, ...]:
    """Return those of `instants` that `pair` does not run; its first runs are `known`."""

    def runs(at: datetime) -> bool:
        return at in known if known and at <= known[-1] else _runs_at(pair, at)

    return tuple(at for at in instants if not runs(at))


def _next_if_usable(pair: tuple[str, str], after: datetime, count: int) -> list[datetime]:
    try:
        return next_fires(*pair, after, count)
    except CronError:
        return []


def _runs_at(pair: tuple[str, str], at: datetime) -> bool:
    return at in _next_if_usable(pair, at - _INSTANT, 1)


def _effects(schedule: Schedule, after: datetime, until: datetime) -> Iterator[Effect]:
    """Yield what each clock change in (after, until] does to scheduled times."""
    zone = load(schedule.timezone)
    last_day = until.astimezone(zone).replace(tzinfo=None)
    for day in matching_days(schedule, earliest_wall(after.astimezone(UTC), zone)):
        if day > last_day:
            return
        if steady_offset(day, zone) is None:
            yield from _effects_of_day(schedule, zone, day, Window(after, until))


def _effects_of_day(
    schedule: Schedule, zone: ZoneInfo, day: datetime, window: Window
) -> Iterator[Effect]:
    shown = {wall: instants_of(wall, zone) for wall in _walls(schedule, day)}
    skipped = [wall for wall, at in shown.items() if not at]
    if skipped and window.holds(end_of_gap(skipped[0], zone)):
        yield _skipped(schedule, zone, skipped)
    repeated = {
        wall: at for wall, at in shown.items() if len(at) == 2 and any(map(window.holds, at))
    }
    if repeated:
        yield _repeated(schedule, repeated)


def _walls(schedule: Schedule, day: datetime) -> Iterator[datetime]:
    return (day + time for time in times_of_day(schedule))


def _skipped(schedule: Schedule, zone: ZoneInfo, walls: Sequence[datetime]) -> Effect:
    what = f"On {walls[0]:%Y-%m-%d} the clocks of {schedule.timezone} skip {_times(walls)}"
    run = [] if schedule.is_interval else make_up(walls[0], zone)
    if not run:
        return Effect(f"{what}: nothing runs for {_it(walls)}.", run)
    at = run[0].astimezone(zone)
    place = "its" if len(walls) == 1 else "their"
    return Effect(f"{what}: one run at {at:%H:%M} takes {place} place.", run)


def _repeated(schedule: Schedule, repeated: Mapping[datetime, Sequence[datetime]]) -> Effect:
    walls = list(repeated)
    how = "both times" if schedule.is_interval else "the first time only"
    verbs = ("comes twice", "runs") if len(walls) == 1 else ("come twice", "run")
    note = (
        f"On {walls[0]:%Y-%m-%d} {_times(walls)} {verbs[0]} in {schedule.timezone}: "
        f"{'it' if len(walls) == 1 else 'they'} {verbs[1]} {how}."
    )
    return Effect(note, [at for instants in repeated.values() for at in instants])


def _times(walls: Sequence[datetime]) -> str:
    shown = [f"{wall:%H:%M}" for wall in walls]
    if len(shown) > 3:
        return f"{shown[0]} to {shown[-1]} ({len(shown)} scheduled times)"
    return ", ".join(shown)


def _it(walls: Sequence[datetime]) -> str:
    return "it" if len(walls) == 1 else "them"
