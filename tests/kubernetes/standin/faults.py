"""Faults, settable while the stand-in runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from tests.kubernetes.standin import statuses
from tests.kubernetes.standin.calls import Call

Kind = Literal["error", "throttle", "unavailable", "cut", "cut-after"]
"""500, 429, 503, or the connection cut before or after the request was carried out."""

ERRORS = {
    "error": statuses.internal_error,
    "unavailable": statuses.unavailable,
}


class ConnectionCut(Exception):
    """The connection is to be cut now."""


@dataclass
class Faults:
    """Shares are of all calls that ``applies`` to; the rest of them goes on unharmed."""

    latency_seconds: float = 0.0
    error_share: float = 0.0
    throttle_share: float = 0.0
    cut_share: float = 0.0
    cut_after_share: float = 0.0
    retry_after_seconds: int = 1
    applies: Callable[[Call], bool] = field(default=lambda call: True)
    random: random.Random = field(default_factory=lambda: random.Random(7))
    is_unavailable: bool = False
    """Every call gets 503."""
    _once: list[tuple[Kind, dict[str, str]]] = field(default_factory=list)

    def once(self, kind: Kind, **fields: str) -> None:
        """Harm the next call whose fields (verb, resource, name …) are these."""
        self._once.append((kind, fields))

    def clear(self) -> None:
        """No more faults."""
        self.latency_seconds = 0.0
        self.error_share = self.throttle_share = self.cut_share = self.cut_after_share = 0.0
        self.is_unavailable = False
        self._once.clear()

    def pick(self, call: Call) -> Kind | None:
        """What this call suffers."""
        for number, (kind, fields) in enumerate(self._once):
            if all(getattr(call, name) == value for name, value in fields.items()):
                del self._once[number]
                return kind
        if self.is_unavailable:
            return "unavailable"
        return self._roll() if self.applies(call) else None

    async def before(self, kind: Kind | None, call: Call) -> None:
        """Wait, and raise what spares the request its carrying out."""
        call.injected = kind or ""
        if self.latency_seconds and self.applies(call):
            await asyncio.sleep(self.latency_seconds)
        if kind == "throttle":
            raise statuses.too_many_requests(self.retry_after_seconds)
        if kind == "cut":
            raise ConnectionCut
        if kind in ERRORS:
            raise ERRORS[kind]()

    def _roll(self) -> Kind | None:
        dice = self.random.random()
        shares: list[tuple[Kind, float]] = [
            ("error", self.error_share),
            ("throttle", self.throttle_share),
            ("cut", self.cut_share),
            ("cut-after", self.cut_after_share),
        ]
        for kind, share in shares:
            if dice < share:
                return kind
            dice -= share
        return None
