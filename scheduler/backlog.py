"""Lists the instants that are due, in bounded chunks."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler.cron import next_fires
from scheduler.decide import Backlog

_MINUTE = timedelta(minutes=1)


def due_instants(
    expression: str, timezone: str, first: datetime, until: datetime, limit: int
) -> Backlog:
    """The instants from ``first`` to ``until``, both included, at most ``limit`` of the oldest.

    Asks for two before it asks for many: on an ordinary day one instant is due, and all agents
    that share a schedule share the memoised answer. Raises CronError.
    """
    before = first - _MINUTE
    instants = next_fires(expression, timezone, before, 2)
    if len(instants) == 2 and instants[-1] <= until:
        instants = next_fires(expression, timezone, before, limit + 1)
    due = [instant for instant in instants if first <= instant <= until][:limit]
    following = instants[len(due)] if len(instants) > len(due) else None
    return Backlog(due, following)
