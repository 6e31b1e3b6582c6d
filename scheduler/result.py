"""What a tick did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from scheduler.ledger import LedgerRow
from scheduler.outcome import Outcome

_COUNTERS = {
    Outcome.STARTED: "fired",
    Outcome.SKIPPED_OVERLAP: "skipped_overlap",
    Outcome.MISSED: "missed",
    Outcome.COALESCED: "coalesced",
    Outcome.PAUSED: "paused",
    Outcome.SUPERSEDED: "superseded",
    Outcome.INVALID_SCHEDULE: "invalid",
}


@dataclass(slots=True)
class TickResult:
    """How many agents were considered, and how many instants came to which outcome."""

    considered: int = 0
    fired: int = 0
    skipped_overlap: int = 0
    missed: int = 0
    coalesced: int = 0
    paused: int = 0
    superseded: int = 0
    invalid: int = 0
    errors: int = 0

    def add(self, other: TickResult) -> None:
        self._increase(asdict(other))

    def count(self, rows: Sequence[LedgerRow]) -> None:
        """Count inserted ledger rows, a range by its instants."""
        counts = Counter[str]()
        for row in rows:
            counts[_COUNTERS[Outcome(row.outcome)]] += row.instants
        self._increase(counts)

    def _increase(self, counts: dict[str, int] | Counter[str]) -> None:
        for name, value in counts.items():
            setattr(self, name, getattr(self, name) + value)

    def __str__(self) -> str:
        return ", ".join(f"{n} {name}" for name, n in asdict(self).items() if n)

    def counters(self) -> dict[str, int]:
        """By the names that log lines and metrics use: ``cron_considered``, ``cron_fired``, …"""
        return {f"cron_{name}": value for name, value in asdict(self).items()}
