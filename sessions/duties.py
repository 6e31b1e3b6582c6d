"""Work that one worker at a time does for all.

The lease is a row and every step one statement, so it also works behind a pooler that hands out
connections by transaction. The database's own clock judges, and nobody waits for a lock.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import connection
from django.db.models import DurationField, ExpressionWrapper, F

from lap.core.clock import DatabaseClock
from sessions.models import Duty

_TAKE = """
INSERT INTO agent_sessions_duty AS duty (name, worker_id, until)
VALUES (%(name)s, %(worker)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (name) DO UPDATE SET worker_id = excluded.worker_id, until = excluded.until
WHERE duty.until < clock_timestamp() OR NOT EXISTS (
    SELECT FROM agent_sessions_worker AS holder
    WHERE holder.id = duty.worker_id AND holder.ended_at IS NULL
)
"""


def take(name: str, worker_id: UUID, seconds: float) -> bool:
    """Take a duty for so long, unless it is still another worker's.

    Of two workers that try at once the second waits for the row, finds it taken and gets nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"name": name, "worker": worker_id, "seconds": seconds})
        return bool(cursor.rowcount)


def rest(name: str, worker_id: UUID, seconds: float) -> None:
    """The duty is done: it is due again in so many seconds. Not if somebody else took it over."""
    mine = Duty.objects.filter(name=name, worker=worker_id)
    mine.update(until=DatabaseClock() + timedelta(seconds=seconds))


def seconds_left(name: str) -> float:
    """Until the duty may be taken, at least 0."""
    left = ExpressionWrapper(F("until") - DatabaseClock(), output_field=DurationField())
    found = Duty.objects.filter(name=name).values_list(left, flat=True).first()
    return max(found.total_seconds(), 0.0) if found else 0.0
