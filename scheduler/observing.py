"""Measures what a tick has committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lap.core import clock, metrics
from scheduler.ledger import LedgerRow
from scheduler.outcome import Outcome

for _outcome in Outcome:
    metrics.fires.labels(_outcome)  # 0 until the first one: a rate needs a value before it


def observe_fires(rows: Sequence[LedgerRow]) -> None:
    """Count instants by outcome, and measure how late those are that started.

    To be called right after the commit: until then nobody else sees their sessions.
    """
    counts = Counter[str]()
    for row in rows:
        counts[row.outcome] += row.instants
    for outcome, count in counts.items():
        metrics.fires.labels(outcome).inc(count)
    started = [row.scheduled_for for row in rows if row.outcome == Outcome.STARTED]
    if started:
        visible_at = clock.now()
        for scheduled_for in started:
            metrics.fire_lateness.observe((visible_at - scheduled_for).total_seconds())
