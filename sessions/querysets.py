"""The questions that are asked of sessions and workers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q

from lap.core.clock import DatabaseClock

if TYPE_CHECKING:
    from sessions.models import Session, Worker  # noqa: F401

ACTIVE = ("creating", "ready", "stopping")
FINAL = ("completed", "failed", "dead")
RUNS = ("cron", "manual")

HAS_FIRST_MESSAGE = Q(has_prompt=True) | Q(replays_thread=True)

HAS_WORK = Q(status__in=("creating", "stopping")) | (
    Q(status="ready", prompt_answered_at=None) & HAS_FIRST_MESSAGE
)
"""A session that a worker has something to do for. Idle conversations are nobody's."""

IS_ACTIVE_RUN = Q(status__in=ACTIVE, trigger__in=RUNS)
"""A scheduled or manual run that has not ended: what overlap is judged by."""


HOLDS_SECRETS = Q(status__in=FINAL) & (Q(env_vars__isnull=False) | Q(attachments__isnull=False))
"""A session that has ended and still keeps what only a restart would need."""


class WorkerQuerySet(models.QuerySet["Worker"]):
    def live(self) -> WorkerQuerySet:
        return self.filter(ended_at=None, expires_at__gt=DatabaseClock())

    def end_expired(self) -> int:
        """Declare workers dead whose lease ran out; how many there were.

        A worker that renews at the same moment holds its row: this statement then waits, judges
        the renewed row again and leaves it alone.
        """
        expired = self.filter(ended_at=None, expires_at__lte=DatabaseClock())
        return expired.update(ended_at=DatabaseClock())

    def renew(self, worker_id: UUID, lease: timedelta) -> bool:
        """Push a worker's lease forward; False when it has been taken for dead."""
        mine = self.filter(id=worker_id, ended_at=None, expires_at__gt=DatabaseClock())
        return bool(mine.update(heartbeat_at=DatabaseClock(), expires_at=DatabaseClock() + lease))


class SessionQuerySet(models.QuerySet["Session"]):
    def active(self) -> SessionQuerySet:
        return self.filter(status__in=ACTIVE)

    def active_runs_of(self, agent_ids: list[UUID]) -> SessionQuerySet:
        """Runs that keep the next instant from starting. Rides on session_active_run."""
        return self.filter(IS_ACTIVE_RUN, agent_id__in=agent_ids)

    def claimable(self, workers: WorkerQuerySet, host: str, lost: timedelta) -> SessionQuerySet:
        """Sessions with work that nobody live holds, for a worker that reaches ``host``.

        Sandboxes of another host are left to the workers of that host, unless none of them has
        been seen for as long as ``lost``. Rides on session_has_work.
        """
        nobodys = Q(worker=None) | Exists(
            workers.filter(id=OuterRef("worker"), ended_at__isnull=False)
        )
        seen = workers.filter(
            host=OuterRef("sandbox_host"), heartbeat_at__gt=DatabaseClock() - lost
        )
        within_reach = Q(sandbox_host__in=["", host]) | ~Exists(seen)
        return self.filter(HAS_WORK, nobodys, within_reach).order_by("created_at")

    def request_stop(self, reason: str, *, stop_as: str = "dead", kind: str = "") -> int:
        """Ask whoever holds these sessions, or the next worker, to end them; how many there were.

        The only thing that somebody who does not hold a session may write to it. The rows are
        locked first, by id, and judged again after the wait: a session that has ended meanwhile
        stays as it ended.
        """
        with transaction.atomic():
            stoppable = self.filter(status__in=("creating", "ready")).order_by("id")
            locked = stoppable.select_for_update(no_key=True, of=("self",))
            ids = list(locked.values_list("id", flat=True))
            return self.model._default_manager.filter(id__in=ids).update(
                status="stopping", stop_as=stop_as, failure_reason=reason, failure_kind=kind
            )
