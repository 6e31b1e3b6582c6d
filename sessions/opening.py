"""Opens sessions for callers: one row, which any worker picks up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.crypto import salted_hmac

from agents.models import Agent
from agents.validation import merge_variables
from lap.core import clock
from lap.core.errors import Conflict
from lap.core.notify import notify_workers
from lap.core.secrets import SecretMap
from lap.core.transactions import claim_transaction
from sessions.models import Session, Trigger


def open_session(
    agent_id: UUID,
    *,
    actor: str,
    idempotency_key: str = "",
    initial_prompt: str = "",
    title: str = "",
    env_vars: Any = None,
    attachments: Sequence[dict[str, str]] = (),
) -> Session:
    """Insert a ``creating`` row for a conversation with a living agent, and wake the workers.

    With an idempotency key the same request, repeated, gives the session of the first one. The
    agent is not locked: a conversation is no run that overlap is judged by, and one that is
    opened while its agent is being deleted is stopped by the sweep for deleted agents. Raises
    Agent.DoesNotExist, ValidationError for variables that a sandbox cannot be given, Conflict
    for a key that was used with another request.
    """
    variables: Any = merge_variables(SecretMap(), {} if env_vars is None else env_vars)
    images: Any = list(attachments)
    session = Session(
        agent=Agent.objects.alive().get(id=agent_id),
        initial_prompt=initial_prompt,
        title=title,
        env_vars=variables or None,
        attachments=images or None,
        created_by=actor,
    )
    if not idempotency_key:
        return _insert(session)
    session.idempotency_key = idempotency_key
    session.idempotency_digest = _digest([initial_prompt, title, variables, images])
    return _insert_once(session)


def run_now(agent_id: UUID, *, actor: str, force: bool = False) -> Session:
    """Insert a ``manual`` run with the prompt, and the time limit, of the agent's scheduled runs.

    It works without a schedule and while one is disabled, and never moves the schedule. The
    agent's lock is held, so that the tick cannot start a run at the same moment. Raises
    Agent.DoesNotExist; Conflict while a run is active, unless forced.
    """
    with claim_transaction():
        agent = Agent.objects.lock(agent_id)
        if not force and Session.objects.active_runs_of([agent_id]).exists():
            raise Conflict("a run of this agent is active; wait for it, stop it, or send force")
        instant = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        return _insert(
            Session(
                agent=agent,
                trigger=Trigger.MANUAL,
                title=f"manual run at {instant}",
                initial_prompt=agent.cron_prompt or f"[manual] run at {instant}",
                run_timeout_seconds=agent.cron_run_timeout_seconds,
                created_by=actor,
            )
        )


def _insert(session: Session) -> Session:
    with transaction.atomic():
        session.save(force_insert=True)
        notify_workers()
    return session


def _insert_once(session: Session) -> Session:
    """Of two requests at once the unique key lets one insert; the other waits, then finds it."""
    earlier = _earlier(session)
    if earlier is None:
        try:
            return _insert(session)
        except IntegrityError:
            earlier = _earlier(session)
            if earlier is None:
                raise
    if earlier.idempotency_digest != session.idempotency_digest:
        raise Conflict("this Idempotency-Key was used with another request; use a new one")
    return earlier


def _earlier(session: Session) -> Session | None:
    of_agent = Session.objects.filter(agent=session.agent_id).defer("env_vars", "attachments")
    return of_agent.filter(idempotency_key=session.idempotency_key).first()


def _digest(request: list[Any]) -> str:
    """Tells requests apart. Keyed, because what it covers may be secret and easy to guess."""
    text = json.dumps(request, sort_keys=True)
    return salted_hmac("lap.idempotency", text, algorithm="sha256").hexdigest()
