"""Amounts of CPU and memory as Kubernetes writes them: ``100m``, ``2``, ``512Mi``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)(m|[kMGTPE]|[KMGTPE]i)?")
_POWERS: Final = {letter: power for power, letter in enumerate("KMGTPE", start=1)}


def amount(text: str) -> Decimal | None:
    """The number that a quantity stands for, in cores or bytes; None for what is no quantity."""
    if not (found := _QUANTITY.fullmatch(text)):
        return None
    return Decimal(found[1]) * _factor(found[2] or "")


def _factor(unit: str) -> Decimal:
    if unit == "m":
        return Decimal("0.001")
    base = Decimal(1024 if unit.endswith("i") else 1000)
    return base ** _POWERS.get(unit[:1].upper(), 0)
