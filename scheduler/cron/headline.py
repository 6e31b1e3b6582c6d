"""A schedule in as few words as a list or a title has room for.

Made of the values, not of the notation, so that `0 9 * * 1-5` and `0 9 * * MON-FRI` read alike.
tests/scheduler/test_cron_headline.py holds the days and times it names against what runs.
"""

from collections.abc import Sequence
from itertools import pairwise

from scheduler.cron.describe import describe
from scheduler.cron.expression import Schedule, parse
from scheduler.cron.words import listing

_MOST_TIMES = 4
_IN_EVERY_MONTH = range(1, 29)
_WEEKDAYS = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays")
_SPANS = {(1, 2, 3, 4, 5): "Weekdays", (0, 6): "Weekends"}


def headline(expression: str, timezone: str) -> str:
    """Say briefly when a schedule runs: `Weekdays at 09:00 (Asia/Tokyo)`.

    The sentence of `describe` where there are no such few words. Raises CronError for a bad
    expression or zone.
    """
    schedule = parse(expression, timezone)
    words = _interval(schedule) or _at_times(schedule)
    return f"{words} ({timezone})" if words else describe(expression, timezone)


def _interval(schedule: Schedule) -> str | None:
    """Name what goes round the clock every day: `Every 5 minutes`, `Every hour at :30`."""
    if _days(schedule) != "Daily":
        return None
    if len(schedule.hours) == 24:
        return _past_the_hour(schedule.minutes)
    hours = _step(schedule.hours, 24)
    return f"Every {hours} hours" if hours and schedule.minutes == (0,) else None


def _past_the_hour(minutes: Sequence[int]) -> str | None:
    if len(minutes) == 1:
        return f"Every hour at :{minutes[0]:02}" if minutes[0] else "Every hour"
    if len(minutes) == 60:
        return "Every minute"
    step = _step(minutes, 60)
    return f"Every {step} minutes" if step else None


def _at_times(schedule: Schedule) -> str | None:
    days = _days(schedule)
    if not days or len(schedule.hours) * len(schedule.minutes) > _MOST_TIMES:
        return None
    times = [f"{hour:02}:{minute:02}" for hour in schedule.hours for minute in schedule.minutes]
    return f"{days} at {listing(times)}"


def _days(schedule: Schedule) -> str | None:
    """Name the days that one word or two stand for; None for all others."""
    every_day, every_weekday = len(schedule.days) == 31, len(schedule.weekdays) == 7
    if len(schedule.months) < 12:
        return None
    if every_day and every_weekday:
        return "Daily"
    if every_day and schedule.needs_both_days:
        named = [_WEEKDAYS[day] for day in schedule.weekdays]
        return _SPANS.get(schedule.weekdays) or (listing(named) if len(named) < 4 else None)
    if every_weekday and schedule.needs_both_days and len(schedule.days) == 1:
        [day] = schedule.days
        return f"Day {day} of every month" if day in _IN_EVERY_MONTH else None
    return None


def _step(values: Sequence[int], whole: int) -> int | None:
    """Return the step that leads through `values` and on into the next round, if one does."""
    steps = {after - before for before, after in pairwise((*values, values[0] + whole))}
    return steps.pop() if len(values) > 1 and len(steps) == 1 and values[0] == 0 else None
