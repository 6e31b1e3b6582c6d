"""The strict parser: what a five-field cron expression is, before any library sees it.

The grammar is that of Debian's crontab(5) without its extensions: items `*`, `*/n`, `a`,
`a-b`, `a-b/n`, in comma lists; numbers of at most two digits, or three-letter names.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from scheduler.cron import hints
from scheduler.cron.errors import CronError
from scheduler.cron.hints import RejectedError
from scheduler.cron.zones import load

MAX_LENGTH = 100
"""Characters that an expression may have."""

_ALLOWED = re.compile(r"[0-9A-Za-z*/,\- ]*")
_NUMBER = re.compile(r"[0-9]{1,2}")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAYS_IN_MONTH = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five columns: its name in sentences, its bounds, its names for numbers."""

    name: str
    low: int
    high: int
    span: int
    """How many different values it has: the largest step that makes sense."""
    names: Mapping[str, int] = field(default_factory=dict)


FIELDS = (
    Field("minute", 0, 59, 60),
    Field("hour", 0, 23, 24),
    Field("day-of-month", 1, 31, 31),
    Field("month", 1, 12, 12, {name: at for at, name in enumerate(_MONTHS, 1)}),
    Field("day-of-week", 0, 7, 7, {name: at for at, name in enumerate(_WEEKDAYS)}),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron expression and a time zone that were found good, taken apart."""

    expression: str
    """As the user typed it."""
    timezone: str
    """As the user typed it: an exact member of `zones.NAMES`."""
    fields: tuple[str, ...]
    """The five fields as typed, in upper case."""
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    """Of the month."""
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    """0 is Sunday, 6 is Saturday."""

    @property
    def is_interval(self) -> bool:
        """True when minute or hour begins with `*`: the schedule follows elapsed time.

        Otherwise its times are fixed, and Debian cron(8) moves them around clock changes.
        """
        return self.fields[0][0] == "*" or self.fields[1][0] == "*"

    @property
    def needs_both_days(self) -> bool:
        """True when day-of-month AND day-of-week must match: either begins with `*`.

        This is Vixie's and Debian's rule, see crontab(5).
        """
        return self.fields[2][0] == "*" or self.fields[4][0] == "*"

    @property
    def longest_month(self) -> int:
        """How many days the longest of its months can have."""
        return max(_DAYS_IN_MONTH[month] for month in self.months)

    @property
    def has_dates(self) -> bool:
        """False when its days of the month never come in its months (31 February)."""
        return self.days[0] <= self.longest_month

    @property
    def canonical(self) -> str:
        """The same instants with every field that does not begin with `*` as a list.

        Libraries read `9-9` as the whole field; a list leaves them no choice. Days that
        never come (`31 2 0`) become `*`: libraries would search decades for them.
        """
        values = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        fields = (*self.fields[:2], self.fields[2] if self.has_dates else "*", *self.fields[3:])
        return " ".join(map(_canonical_field, FIELDS, fields, values))


@lru_cache(maxsize=2048)
def _parse(expression: str, timezone: str) -> Schedule:
    fields = _fields(expression)
    schedule = Schedule(expression, timezone, fields, *map(_values, FIELDS, fields))
    if schedule.needs_both_days and not schedule.has_dates:
        raise RejectedError(hints.never(schedule.days[0], schedule.longest_month))
    load(timezone)
    return schedule


def parse(expression: str, timezone: str) -> Schedule:
    """Take a five-field cron expression and an IANA time zone apart.

    Raises CronError, a sentence for the user that names the bad value, for anything that
    the rule does not accept, values that are no strings included. A date that can never
    come (`0 0 30 2 *`) is refused; `0 0 31 2 0` is not, it means Sundays in February.
    """
    if not isinstance(expression, str):
        raise CronError.schedule(expression, hints.NOT_TEXT)
    if not isinstance(timezone, str):
        raise CronError.timezone(timezone)
    try:
        return _parse(expression, timezone)
    except RejectedError as rejected:
        raise CronError.schedule(expression, str(rejected)) from None


def _fields(expression: str) -> tuple[str, ...]:
    if len(expression) > MAX_LENGTH:
        raise RejectedError(hints.too_long(len(expression), MAX_LENGTH))
    if not _ALLOWED.fullmatch(expression):
        raise RejectedError(hints.bad_character(expression, _ALLOWED))
    fields = tuple(expression.upper().split())
    if len(fields) != len(FIELDS):
        raise RejectedError(hints.field_count(len(fields)))
    return fields


def _values(column: Field, text: str) -> tuple[int, ...]:
    week = column.high == 7  # 7 is Sunday, like 0
    return tuple(sorted({n % 7 if week else n for n in _numbers(column, text)}))


def _numbers(column: Field, text: str) -> Iterable[int]:
    for item in text.split(","):
        if not item:
            raise RejectedError(hints.empty_item(column.name, text))
        yield from _item(column, item)


def _item(column: Field, item: str) -> range:
    base, slash, step = item.partition("/")
    if base == "*":
        first, last = column.low, column.high
    else:
        first, last = _bounds(column, item, base, stepped=bool(slash))
    return range(first, last + 1, _step(column, item, step) if slash else 1)


def _bounds(column: Field, item: str, base: str, *, stepped: bool) -> tuple[int, int]:
    low, dash, high = base.partition("-")
    first = _number(column, item, low)
    if not dash:
        if stepped:
            raise RejectedError(hints.step_without_range(item, column.low, column.high))
        return first, first
    last = _number(column, item, high)
    if last < first:
        raise RejectedError(hints.backward_range(item, first, last, column.low, column.high))
    return first, last


def _number(column: Field, item: str, text: str) -> int:
    if text in column.names:
        return column.names[text]
    if not _NUMBER.fullmatch(text):
        raise RejectedError(hints.no_number(column.name, item, text, column.names))
    if not column.low <= (number := int(text)) <= column.high:
        raise RejectedError(hints.out_of_range(column.name, number, column.low, column.high))
    return number


def _step(column: Field, item: str, text: str) -> int:
    if not _NUMBER.fullmatch(text) or not 1 <= (step := int(text)) <= column.span:
        raise RejectedError(hints.bad_step(column.name, item, column.span))
    return step


def _canonical_field(column: Field, text: str, values: tuple[int, ...]) -> str:
    listed = ",".join(map(str, values))
    if text[0] != "*":
        return listed
    head, comma, _ = text.partition(",")
    if head in ("*", "*/1"):
        return "*"
    return f"{head},{listed}" if comma else head
