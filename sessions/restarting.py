"""Begins a session anew: the same row, its next attempt, a new sandbox."""

from __future__ import annotations

from uuid import UUID

from agents.models import Agent
from lap.core.clock import DatabaseClock
from lap.core.errors import Conflict
from lap.core.notify import notify_workers
from lap.core.transactions import claim_transaction
from sessions.models import Session, Status


def restart_session(session_id: UUID) -> Session:
    """Put a session that is ready or has ended back to ``creating``, and wake the workers.

    The stored thread becomes the first message of the new attempt. Whoever held the session
    loses it, because its writes name the attempt before; the sandbox before is ended by the next
    holder or by reconcile. Locks the agent, then the session. Raises Session.DoesNotExist;
    Conflict while it is creating or stopping, while another run of the agent is active, and when
    what a new sandbox would need is gone.
    """
    with claim_transaction():
        agent_id = Session.objects.values_list("agent_id", flat=True).get(id=session_id)
        try:
            Agent.objects.lock(agent_id)
        except Agent.DoesNotExist:
            raise Conflict("its agent was deleted") from None
        sessions = Session.objects.defer("env_vars", "attachments")
        session = sessions.select_for_update(no_key=True, of=("self",)).get(id=session_id)
        _require_restartable(session)
        _begin_anew(session)
        notify_workers()
    session.refresh_from_db(fields=["last_seen_at"])
    return session


def _require_restartable(session: Session) -> None:
    if session.status in (Status.CREATING, Status.STOPPING):
        raise Conflict(f"the session is {session.status}; wait until that is over")
    others = Session.objects.active_runs_of([session.agent_id]).exclude(id=session.id)
    if session.is_run and others.exists():
        raise Conflict("another run of this agent is active; wait for it, or stop it")
    if session.wiped_at is not None:
        raise Conflict("its variables and attachments are no longer kept; open a new session")


def _begin_anew(session: Session) -> None:
    """``sandbox_host`` stays: workers of that host take the session first, and end what runs."""
    columns = {
        "status": Status.CREATING,
        "attempt": session.attempt + 1,
        "tries": 0,
        "replays_thread": bool(session.thread),
        "phase": "",
        "phase_detail": "",
        "worker": None,
        "claimed_at": None,
        "sandbox_name": "",
        "sandbox_url": "",
        "harness_id": "",
        "harness_token": None,
        "callback_token_hash": "",
        "harness_session_id": "",
        "prompt_sent_at": None,
        "prompt_answered_at": None,
        "response": None,
        "stop_as": "",
        "failure_reason": None,
        "failure_kind": "",
        "started_at": None,
        "stopped_at": None,
        "last_seen_at": DatabaseClock(),
    }
    for name, value in columns.items():
        setattr(session, name, value)
    session.save(update_fields=columns)
