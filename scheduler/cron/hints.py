"""The sentences of the strict parser: what is wrong, and what to write instead."""

import re
from collections.abc import Collection

from scheduler.cron.errors import echo

_SHAPE = "minute hour day-of-month month day-of-week, e.g. 0 9 * * 1-5"
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FOREIGN_CHARACTERS = {
    "?": "? is not supported; write * instead",
    "#": "# (nth weekday) is not supported; write plain weekdays such as 1 or MON",
    "@": f"names such as @daily are not supported; write five fields: {_SHAPE}",
}
_FOREIGN_LETTERS = (
    (r"[0-9]*L|L-?[0-9]*|LW|WL", "L (last) is not supported; write the days, e.g. 28-31"),
    (r"[0-9]+W|W[0-9]*", "W (nearest weekday) is not supported; write plain days, e.g. 15"),
    (r"[HR]\b.*", "H and R (a value chosen for you) are not supported; write a number"),
)

NOT_TEXT = f"it must be a string of five fields: {_SHAPE}"


class RejectedError(Exception):
    """Why the parser gave up; becomes the second half of a CronError."""


def too_long(length: int, limit: int) -> str:
    """Say that the expression has too many characters."""
    return f"it has {length} characters; write at most {limit}"


def bad_character(expression: str, allowed: re.Pattern[str]) -> str:
    """Say which character does not belong in a cron expression."""
    if macro := _MACROS.get(expression.lower().strip()):
        return f"names such as @daily are not supported; write {macro} instead"
    bad = next(character for character in expression if not allowed.fullmatch(character))
    if bad in _FOREIGN_CHARACTERS:
        return _FOREIGN_CHARACTERS[bad]
    if bad.isspace():
        return f"U+{ord(bad):04X} is no plain space; separate the fields with plain spaces"
    return f"the character {echo(bad)} is not allowed; write only digits, names and * / , -"


def field_count(count: int) -> str:
    """Say that there are not five fields."""
    if not count:
        return f"it is empty; write five fields: {_SHAPE}"
    more = ", without seconds, year or command" if count > 5 else ""
    return f"it has {count} field{'s' * (count > 1)}; write exactly five{more}: {_SHAPE}"


def empty_item(name: str, text: str) -> str:
    """Say that a comma has nothing before or after it."""
    return f"the {name} list {text} has an empty item; remove the extra comma"


def step_without_range(item: str, low: int, high: int) -> str:
    """Say that `n/step` needs a range."""
    start, _, step = item.partition("/")
    every = f" (or */{step})" if start.isdigit() and int(start) == low else ""
    return f"{item} has a step but no range; write {start}-{high}/{step}{every} instead"


def backward_range(item: str, first: int, last: int, low: int, high: int) -> str:
    """Say how to write a range that wraps around."""
    sunday_last = high == 7  # day-of-week has Sunday at both ends
    parts = [_span(first, high)]
    if not (sunday_last and last == 0):
        parts.append(_span(low + sunday_last, last))
    steps = ", and list the steps" if "/" in item else ""
    return f"the range {item} runs backwards; write {','.join(parts)} instead{steps}"


def no_number(name: str, item: str, text: str, names: Collection[str]) -> str:
    """Say that something is neither a number nor a name of its field."""
    for pattern, sentence in _FOREIGN_LETTERS:
        if re.fullmatch(pattern, text):
            return sentence
    if not text:
        return f"the {name} {item} is incomplete; write a number or a range such as 1-5"
    if text.isdigit():
        return f"the {name} {item} is too long; write numbers of at most two digits"
    if names:
        return f"{item} is no {name}; write numbers or {', '.join(names)}"
    return f"{item} is no {name}; write numbers, ranges, lists or *"


def out_of_range(name: str, number: int, low: int, high: int) -> str:
    """Say which numbers a field takes."""
    return f"{name} {number} is out of range; write {low} to {high}"


def bad_step(name: str, item: str, span: int) -> str:
    """Say which steps a field takes."""
    return f"the step of {item} is not usable; write a step from 1 to {span} in the {name} field"


def never(day: int, longest: int) -> str:
    """Say that a date does not exist in any year."""
    return f"day {day} never comes in its months; write a day up to {longest} or other months"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
