"""Claiming sessions, and writing to them only while they are held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Coalesce

from lap.core.clock import DatabaseClock
from lap.core.notify import notify_workers
from lap.core.transactions import claim_transaction
from sessions.models import Session, Worker


class SessionLost(Exception):
    """This worker no longer holds the session in the state it expected; it writes nothing."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One attempt of one session, held by one worker: the guard of every write to it."""

    worker_id: UUID
    session_id: UUID
    attempt: int

    def write(self, expected: str, **columns: Any) -> None:
        """Write the columns if the session is still held and in status ``expected``.

        Raises SessionLost when it is not: somebody asked it to stop, or took it over.
        """
        mine = Session.objects.filter(
            id=self.session_id, worker=self.worker_id, attempt=self.attempt, status=expected
        )
        if mine.update(last_seen_at=DatabaseClock(), **columns) != 1:
            raise SessionLost(self.session_id)

    def read(self) -> Session | None:
        """The session as it is now, with its agent; None when it is no longer held so."""
        found = load(self.worker_id, [self.session_id])
        return next((session for session in found if session.attempt == self.attempt), None)


def claim(worker: Worker, limit: int) -> list[Session]:
    """Take up to ``limit`` sessions that have work and that nobody live holds, oldest first.

    Workers whose lease ran out are declared dead first, so that what they held can be taken.
    ``started_at``, from which time limits count, is the attempt's first claim.
    """
    Worker.objects.end_expired()
    if limit <= 0:
        return []
    lost = timedelta(seconds=settings.LAP_HOST_LOST_SECONDS)
    claimable = Session.objects.claimable(Worker.objects.all(), worker.host, lost)
    with claim_transaction():
        locked = claimable.select_for_update(skip_locked=True, no_key=True, of=("self",))
        ids = list(locked.values_list("id", flat=True)[:limit])
        Session.objects.filter(id__in=ids).update(
            worker=worker.id,
            claimed_at=DatabaseClock(),
            started_at=Coalesce("started_at", DatabaseClock()),
        )
    return load(worker.id, ids)


def held(worker: Worker) -> dict[UUID, str]:
    """The status of each session that the worker holds. Rides on session_held."""
    return dict(Session.objects.filter(worker=worker.id).values_list("id", "status"))


def load(worker_id: UUID, session_ids: Sequence[UUID]) -> list[Session]:
    """Those of the sessions that the worker still holds, with their agents, oldest first.

    Each comes with its ``age``, the time since its first claim by the database's clock.
    """
    mine = Session.objects.filter(worker=worker_id, id__in=session_ids).select_related("agent")
    age = ExpressionWrapper(DatabaseClock() - F("started_at"), output_field=DurationField())
    return list(mine.annotate(age=age).order_by("created_at"))  # type: ignore[no-redef]


def fail(worker: Worker, session: Session) -> None:
    """Ask an attempt that the worker holds to end, after an error of the platform's own."""
    held = Session.objects.filter(id=session.id, attempt=session.attempt, worker=worker.id)
    held.request_stop(
        "internal error; the worker's log has the details", stop_as="failed", kind="internal"
    )


def hand_back(worker: Worker, session_ids: list[UUID] | None = None) -> int:
    """Give up sessions (all that are held, without a list) for other workers; how many."""
    held = Session.objects.filter(worker=worker.id)
    if session_ids is not None:
        held = held.filter(id__in=session_ids)
    with transaction.atomic():
        notify_workers()
        return held.update(worker=None)
