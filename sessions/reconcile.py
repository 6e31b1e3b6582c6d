"""Brings sandboxes and rows back together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper, F, Q, Value
from django.db.models.expressions import CombinedExpression

from lap.core.clock import DatabaseClock
from lap.core.threads import DatabaseThreads
from sessions.models import Session, Status
from sessions.querysets import HAS_WORK, HOLDS_SECRETS
from sessions.sandboxes.base import Sandbox, SandboxBackend, SandboxError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReconcileResult:
    """What one pass found and did."""

    inspected: int = 0
    stopped: int = 0
    idle_killed: int = 0
    ghost_killed: int = 0
    secrets_wiped: int = 0


async def reconcile(backend: SandboxBackend, database: DatabaseThreads) -> ReconcileResult:
    """One pass. Sandboxes are listed before the rows are read.

    So a sandbox that a row owns by then is never taken for an orphan. When the listing fails
    the pass is given up: an API failure says nothing about any session.
    """
    try:
        sandboxes = await backend.list()
    except SandboxError as error:
        log.warning("reconcile gave up: %s", error)
        return ReconcileResult()
    orphans, ghosts = await database(_compare, sandboxes, backend.host)
    return ReconcileResult(
        inspected=len(sandboxes),
        stopped=sum([await _stop(backend, name) for name in orphans]),
        ghost_killed=ghosts,
        idle_killed=await database(stop_idle),
        secrets_wiped=await database(wipe_secrets),
    )


async def _stop(backend: SandboxBackend, name: str) -> bool:
    try:
        await backend.stop(name)
    except SandboxError as error:
        log.warning("orphaned sandbox %s does not end: %s", name, error)
        return False
    log.info("stopped orphaned sandbox %s", name)
    return True


def _ago(seconds: float) -> CombinedExpression:
    return DatabaseClock() - timedelta(seconds=seconds)


def _compare(sandboxes: Sequence[Sandbox], host: str) -> tuple[list[str], int]:
    """Names of sandboxes that no row owns, and how many conversations lost their sandbox."""
    rows = Session.objects.active().filter(id__in=[s.session_id for s in sandboxes])
    owned = {f"s-{id_}-{attempt}" for id_, attempt in rows.values_list("id", "attempt")}
    orphans = [s.name for s in sandboxes if s.name not in owned]
    running = [s.session_id for s in sandboxes if s.is_running and s.name in owned]
    ghosts = (
        Session.objects.filter(~HAS_WORK, status=Status.READY, sandbox_host=host)
        .filter(last_seen_at__lt=_ago(settings.LAP_RECONCILE_GRACE_SECONDS))
        .exclude(id__in=running)
    )
    return orphans, ghosts.request_stop("sandbox disappeared", kind="sandbox_lost")


def stop_idle() -> int:
    """Ask conversations to end that nobody has used for ``LAP_SESSION_IDLE_SECONDS``."""
    idle = Session.objects.filter(
        ~HAS_WORK,
        status=Status.READY,
        last_seen_at__lt=_ago(settings.LAP_SESSION_IDLE_SECONDS),
    )
    return idle.request_stop("idle timeout", kind="idle")


def wipe_secrets() -> int:
    """Forget variables and attachments ``LAP_SESSION_SECRETS_SECONDS`` after a session's end.

    Until then a restart may need them. A restart at the same moment wins: its session is no
    longer final when this statement has waited for it. Rides on session_secrets.
    """
    old = Session.objects.filter(
        HOLDS_SECRETS, stopped_at__lt=_ago(settings.LAP_SESSION_SECRETS_SECONDS)
    )
    return old.update(env_vars=None, attachments=None, wiped_at=DatabaseClock())


def stop_timed_out() -> int:
    """Ask runs past their limit to end that no live worker holds: a holder times out its own."""
    limit = ExpressionWrapper(
        F("run_timeout_seconds") * Value(timedelta(seconds=1)), output_field=DurationField()
    )
    nobodys = Q(worker=None) | Q(worker__ended_at__isnull=False)
    late = Session.objects.active().filter(nobodys, started_at__lt=DatabaseClock() - limit)
    ids = list(late.values_list("id", flat=True))
    return Session.objects.filter(id__in=ids).request_stop(
        "timed out while no worker ran", stop_as="failed", kind="timeout"
    )


def stop_stranded(host: str) -> int:
    """Ask sessions to end whose sandboxes on this host are about to be ended with LAP itself."""
    ready = Session.objects.filter(status=Status.READY, sandbox_host=host)
    reason, kind = "LAP was stopped before it ended", "platform_stopped"
    failed = ready.filter(HAS_WORK).request_stop(reason, stop_as="failed", kind=kind)
    return failed + ready.request_stop(reason, kind=kind)


def stop_deleted() -> int:
    """Ask the sessions of deleted agents to end."""
    orphaned = Session.objects.filter(agent__deleted_at__isnull=False)
    return orphaned.request_stop("its agent was deleted", kind="agent_deleted")
