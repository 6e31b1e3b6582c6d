"""How long to wait before the next try."""

from __future__ import annotations

import random


class Pauses:
    """Seconds that double from ``first`` to ``longest``, spread so that workers do not meet."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def reset(self) -> None:
        self._next = self._first

    def next(self, at_least: float | None = None) -> float:
        """The next pause; never shorter than a server asked for."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return max(pause * random.uniform(0.5, 1), at_least or 0)  # noqa: S311
