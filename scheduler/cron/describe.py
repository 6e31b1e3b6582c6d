"""A schedule as an English sentence.

cron-descriptor writes the sentences of the plain shapes. It is wrong or misleading about the
others (`*/40` is no "every 40 minutes", `9-9` no "between 09:00 and 09:59", `* 9,17` no
"at 09:00"), so those get a sentence of our own. tests/scheduler/test_cron_describe.py is the
table of what it says and what is true.
"""

import re
from functools import lru_cache

from cron_descriptor import ExpressionDescriptor, Options  # type: ignore[import-untyped, unused-ignore]

from scheduler.cron.expression import FIELDS, Field, Schedule, parse
from scheduler.cron.words import sentence

_NUMBER = r"[0-9]{1,2}"
_LIST = rf"{_NUMBER}(,{_NUMBER})+"
_RANGE = rf"{_NUMBER}-{_NUMBER}"
_TIMES = tuple(
    (re.compile(minute), re.compile(hour))
    for minute, hour in (
        (rf"{_NUMBER}", rf"{_NUMBER}|{_LIST}|{_RANGE}|\*/{_NUMBER}|\*"),
        (rf"{_LIST}", rf"{_RANGE}|\*"),
        (rf"{_RANGE}|\*/{_NUMBER}|\*", rf"{_NUMBER}|{_RANGE}|\*"),
    )
)
_DATES = re.compile(rf"{_NUMBER}|{_LIST}|{_RANGE}|\*")


@lru_cache(maxsize=2048)
def _describe(expression: str, timezone: str) -> str:
    schedule = parse(expression, timezone)
    plain = _plain(schedule)
    words = _their_sentence(plain) if plain else sentence(schedule)
    return f"{words} ({timezone})"


def describe(expression: str, timezone: str) -> str:
    """Say in English when a schedule runs: `At 09:00, Monday through Friday (Asia/Tokyo)`.

    Hours are wall-clock hours, 0 to 23, in the zone that ends the sentence. Raises CronError
    for a bad expression or zone.
    """
    parse(expression, timezone)
    return _describe(expression, timezone)


def _their_sentence(expression: str) -> str:
    # verbose: without it `0 9 * * *` would lose its ", every day"
    options = Options(use_24hour_time_format=True, verbose=True, locale_code="en_US")
    return str(ExpressionDescriptor(expression, options).get_description())


def _plain(schedule: Schedule) -> str | None:
    """Return the expression, in numbers, if cron-descriptor is known to describe it truly."""
    fields = [_in_numbers(*pair) for pair in zip(FIELDS, schedule.fields, strict=True)]
    minute, hour, day, month, weekday = fields
    plain = (
        any(m.fullmatch(minute) and h.fullmatch(hour) for m, h in _TIMES)
        and all(_DATES.fullmatch(text) for text in (day, month, weekday))
        and "*" in (day, weekday)
        and all(map(_is_plain, FIELDS, fields))
    )
    return " ".join(fields) if plain else None


def _in_numbers(column: Field, text: str) -> str:
    def number(match: re.Match[str]) -> str:
        word = match[0]
        return str(column.names[word]) if word in column.names else str(int(word))

    return re.sub(r"\w+", number, text)


def _is_plain(column: Field, text: str) -> bool:
    """Refuse `a-a`, ranges and lists of the whole field, and steps that do not divide it."""
    if text.startswith("*/"):
        step = int(text[2:])
        return column.span % step == 0 and 1 < step < column.span
    if "-" in text:
        first, last = map(int, re.findall(r"[0-9]+", text)[:2])
        return first < last and last - first + 1 < column.span
    return len(set(text.split(","))) == text.count(",") + 1
