"""Opens sessions for callers: one row, which any worker picks up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from agents.models import Agent
from agents.validation import merge_variables
from lap.core.notify import notify_workers
from lap.core.secrets import SecretMap
from sessions.models import Session


def open_session(
    agent_id: UUID,
    *,
    actor: str,
    initial_prompt: str = "",
    title: str = "",
    env_vars: Any = None,
    attachments: Sequence[dict[str, str]] = (),
) -> Session:
    """Insert a ``creating`` row for a conversation with a living agent, and wake the workers.

    The agent is not locked: a conversation is no run that overlap is judged by, and one that is
    opened while its agent is being deleted is stopped by the sweep for deleted agents. Raises
    Agent.DoesNotExist, ValidationError for variables that a sandbox cannot be given.
    """
    variables: Any = merge_variables(SecretMap(), {} if env_vars is None else env_vars)
    images: Any = list(attachments)
    with transaction.atomic():
        session = Session.objects.create(
            agent=Agent.objects.alive().get(id=agent_id),
            initial_prompt=initial_prompt,
            title=title,
            env_vars=variables or None,
            attachments=images or None,
            created_by=actor,
        )
        notify_workers()
    return session
