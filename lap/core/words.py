"""How values are said on pages and in the admin alike."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

NOTHING: Final = "—"


def span(length: timedelta | None) -> str:
    """A length of time: ``0.42 s``, ``12 s``, ``3 min 5 s``, ``2 h 5 min``, ``3 d 2 h``."""
    if length is None:
        return NOTHING
    seconds = length.total_seconds()
    if seconds < 10:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next(place for place, (value, _) in enumerate(units) if value)
    shown = [(value, unit) for value, unit in units[first : first + 2] if value]
    return " ".join(f"{value} {unit}" for value, unit in shown)
