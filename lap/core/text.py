"""Text from outside, made fit for PostgreSQL."""

import math
import re
from typing import Any

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(value: Any) -> Any:
    """The same JSON value with U+FFFD for what PostgreSQL cannot store: NUL, lone surrogates."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    return value


def finite(text: str) -> float:
    """A JSON number with a fraction. Raises ValueError for one that is too large to be kept."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
