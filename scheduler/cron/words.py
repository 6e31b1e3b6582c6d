"""Our own sentences for schedules, built from the values and not from the notation."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from scheduler.cron.expression import Schedule

# fmt: off
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)
# fmt: on
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MOST_TIMES = 6


def sentence(schedule: Schedule) -> str:
    """Say when `schedule` runs, without its zone: `At 09:00, on day 15 or on Monday`."""
    return f"{_time(schedule)}, {_day(schedule)}{_month(schedule)}"


def listing(parts: Sequence[str]) -> str:
    """Join parts as in `a, b and c`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _time(schedule: Schedule) -> str:
    hours, minutes = schedule.hours, schedule.minutes
    if len(hours) * len(minutes) <= _MOST_TIMES:
        return "At " + listing([f"{hour:02}:{minute:02}" for hour in hours for minute in minutes])
    if len(minutes) == 60:
        return "Every minute" + ("" if len(hours) == 24 else f" of {_series(hours, 'hour')}")
    past = "every hour" if len(hours) == 24 else _series(hours, "hour")
    return f"At {_series(minutes, 'minute')} past {past}"


def _day(schedule: Schedule) -> str:
    every_day, every_weekday = len(schedule.days) == 31, len(schedule.weekdays) == 7
    days = f"on {_series(schedule.days, 'day')} of the month"
    weekdays = f"on {_weekdays(schedule.weekdays)}"
    if schedule.needs_both_days:
        return _both(None if every_day else days, None if every_weekday else weekdays)
    if every_day or every_weekday:
        return "every day"
    return f"{days} or {weekdays}" if schedule.has_dates else weekdays


def _both(days: str | None, weekdays: str | None) -> str:
    if days and weekdays:
        return f"{days} if that is {weekdays.removeprefix('on ')}"
    return days or weekdays or "every day"


def _month(schedule: Schedule) -> str:
    if len(schedule.months) == 12:
        return ""
    return f", in {_runs([month - 1 for month in schedule.months], _MONTHS.__getitem__)}"


def _weekdays(weekdays: Sequence[int]) -> str:
    from_monday = sorted((day - 1) % 7 for day in weekdays)
    return _runs(from_monday, lambda day: _WEEKDAYS[(day + 1) % 7])


def _series(values: Sequence[int], noun: str) -> str:
    """Name the values of a field: `minutes 0 through 10 and 30`, `every 2nd day from 1 to 31`."""
    steps = {after - before for before, after in pairwise(values)}
    if len(values) > 4 and len(steps) == 1 and steps != {1}:
        return f"every {_ordinal(steps.pop())} {noun} from {values[0]} through {values[-1]}"
    return f"{noun}{'s' * (len(values) > 1)} {_runs(values, str)}"


def _runs(values: Sequence[int], name: Callable[[int], str]) -> str:
    """Join names, three or more neighbours as `first through last`."""
    groups: list[list[int]] = []
    for value in values:
        if groups and value == groups[-1][-1] + 1:
            groups[-1].append(value)
        else:
            groups.append([value])
    return listing([text for group in groups for text in _group(group, name)])


def _group(group: Sequence[int], name: Callable[[int], str]) -> list[str]:
    if len(group) > 2:
        return [f"{name(group[0])} through {name(group[-1])}"]
    return [name(value) for value in group]


def _ordinal(number: int) -> str:
    tens = 10 <= number % 100 <= 20
    return f"{number}{'th' if tens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
