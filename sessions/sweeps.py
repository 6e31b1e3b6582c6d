"""What rows tell by themselves: sessions that nobody uses, carries or may keep.

Each sweep is one question of the database; none of them touches a sandbox.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import DurationField, Exists, ExpressionWrapper, F, OuterRef, Q, Value
from django.db.models.expressions import CombinedExpression

from lap.core.clock import DatabaseClock
from sessions.models import Session, Status, Worker
from sessions.querysets import HAS_WORK, HOLDS_SECRETS


def ago(seconds: float) -> CombinedExpression:
    """That long before now, by the database's own clock."""
    return DatabaseClock() - timedelta(seconds=seconds)


def stop_idle() -> int:
    """Ask conversations to end that nobody has used for ``LAP_SESSION_IDLE_SECONDS``."""
    idle = Session.objects.filter(
        ~HAS_WORK,
        status=Status.READY,
        last_seen_at__lt=ago(settings.LAP_SESSION_IDLE_SECONDS),
    )
    return idle.request_stop("idle timeout", kind="idle")


def stop_timed_out() -> int:
    """Ask runs past their limit to end that no live worker holds: a holder times out its own."""
    limit = ExpressionWrapper(
        F("run_timeout_seconds") * Value(timedelta(seconds=1)), output_field=DurationField()
    )
    late = Session.objects.active().filter(_nobodys(), started_at__lt=DatabaseClock() - limit)
    return late.request_stop("timed out while no worker ran", stop_as="failed", kind="timeout")


def stop_stuck() -> int:
    """Ask bring-ups past ``LAP_BRINGUP_TIMEOUT_SECONDS`` to end that no live worker holds.

    The limit counts from the first claim: who still waits in the queue is not late.
    """
    limit = settings.LAP_BRINGUP_TIMEOUT_SECONDS
    stuck = Session.objects.filter(_nobodys(), status=Status.CREATING, started_at__lt=ago(limit))
    reason = f"the sandbox was not ready within {limit:g} s, and no worker carried it on"
    return stuck.request_stop(reason, stop_as="failed", kind="bringup_timeout")


def stop_deleted() -> int:
    """Ask the sessions of deleted agents to end."""
    orphaned = Session.objects.filter(agent__deleted_at__isnull=False)
    return orphaned.request_stop("its agent was deleted", kind="agent_deleted")


def stop_stranded(host: str) -> int:
    """Ask sessions to end whose sandboxes on this host are about to be ended with LAP itself."""
    ready = Session.objects.filter(status=Status.READY, sandbox_host=host)
    reason, kind = "LAP was stopped before it ended", "platform_stopped"
    failed = ready.filter(HAS_WORK).request_stop(reason, stop_as="failed", kind=kind)
    return failed + ready.request_stop(reason, kind=kind)


def wipe_secrets() -> int:
    """Forget variables and attachments ``LAP_SESSION_SECRETS_SECONDS`` after a session's end.

    Until then a restart may need them. A restart at the same moment wins: its session is no
    longer final when this statement has waited for it. Rides on session_secrets.
    """
    old = Session.objects.filter(
        HOLDS_SECRETS, stopped_at__lt=ago(settings.LAP_SESSION_SECRETS_SECONDS)
    )
    return old.update(env_vars=None, attachments=None, wiped_at=DatabaseClock())


def _nobodys() -> Q:
    """Sessions that no live worker holds."""
    ended = Worker.objects.filter(id=OuterRef("worker"), ended_at__isnull=False)
    return Q(worker=None) | Q(Exists(ended))
