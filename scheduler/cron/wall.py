"""Wall-clock times of a zone as UTC instants, and the rule for clock changes.

The rule is that of Debian's cron(8): "Local time changes of less than three hours, such as
those caused by the Daylight Saving changes, are handled in a special way. This only applies
to jobs that run at a specific time." Wall times are naive, instants are aware and in UTC.
"""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.cron.expression import Schedule

MINUTE = timedelta(minutes=1)
_CORRECTION = timedelta(hours=3)
"""A clock moved this far or farther was corrected: nothing is made up for."""
_DAY = timedelta(days=1)
_LONGEST_REPEAT = timedelta(hours=25)
"""No zone ever repeated more than 24 hours, nor changed twice within four days (tzdata 2026f)."""


def instants_of(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return when the clocks of `zone` show `wall`, in order: two in a fold, none in a gap."""
    first, second = readings(wall, zone)
    both = [first] if first == second else sorted((first, second))
    return [at for at in both if at.astimezone(zone).replace(tzinfo=None) == wall]


def readings(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return `wall` read with the offset before and the offset after a change (PEP 495)."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return first, second


def runs_of(wall: datetime, zone: ZoneInfo, schedule: Schedule) -> list[datetime]:
    """Return the instants at which `schedule` runs for its scheduled time `wall`, in order.

    An interval schedule runs whenever the clock shows `wall`. A fixed time that is repeated
    runs the first time only; one that is skipped runs at the first minute after the change.
    """
    shown = instants_of(wall, zone)
    if schedule.is_interval:
        return shown
    return shown[:1] or make_up(wall, zone)


def make_up(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return when a fixed time that the clock skips runs: the first minute after the change.

    Nothing when the clock moved by three hours or more: that was a correction.
    """
    before, after = readings(wall, zone)
    return [end_of_gap(wall, zone)] if before - after < _CORRECTION else []


def end_of_gap(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first whole minute that the clocks show after they skipped `wall`."""
    before, after = readings(wall, zone)
    minutes = range((before - after) // MINUTE)
    shown_after = bisect_left(minutes, True, key=lambda n: _is_shown(wall + n * MINUTE, zone))
    return instants_of(wall + shown_after * MINUTE, zone)[0]


def steady_offset(day: datetime, zone: ZoneInfo) -> timedelta | None:
    """Return the one offset from UTC of the calendar day that begins at wall time `day`.

    None when any of its times is skipped, repeated or has another offset. Exact because no
    zone changes twice within a day.
    """
    opening = day.replace(tzinfo=zone, fold=0).utcoffset()
    closing = (day + _DAY).replace(tzinfo=zone, fold=1).utcoffset()
    return opening if opening == closing else None


def earliest_wall(after: datetime, zone: ZoneInfo) -> datetime:
    """Return the earliest wall time that the clocks of `zone` show later than `after`.

    Usually what they show at `after`; earlier when they are about to be set back.
    """
    soon = (after + _LONGEST_REPEAT).astimezone(zone).utcoffset()
    now = after.astimezone(zone).utcoffset()
    assert now is not None and soon is not None  # noqa: PT018  (a ZoneInfo always has one)
    return after.replace(tzinfo=None) + min(now, soon)


def _is_shown(wall: datetime, zone: ZoneInfo) -> bool:
    return bool(instants_of(wall, zone))
