"""The one way an agent, and with it its schedule, is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from agents.models import SCHEDULE_COLUMNS, Agent, ScheduleChange
from agents.validation import merge_variables, validate_pair
from lap.core import clock
from lap.core.errors import StaleVersion
from lap.core.notify import notify_workers
from lap.core.transactions import claim_transaction
from scheduler.cron import next_fires

COLUMNS = tuple(field.name for field in Agent._meta.concrete_fields)
EDITABLE = frozenset(field.name for field in Agent._meta.concrete_fields if field.editable)
"""The columns that a user may write; all others are the server's."""


def create_agent(fields: Mapping[str, Any], actor: str, agent_id: UUID | None = None) -> Agent:
    """Create an agent, its schedule counted from now.

    Raises ValidationError, and IntegrityError where ``agent_id`` is the id of another one.
    """
    with claim_transaction():
        agent = Agent(id=agent_id or uuid4(), created_by=actor)
        _assign(agent, fields)
        agent.full_clean(validate_unique=False, validate_constraints=False)
        now = clock.now()
        _reschedule(agent, now)
        agent.save(force_insert=True)
        agent.refresh_from_db()
        if agent.cron_schedule:
            _write_change(agent, Agent(), now, actor)
        return agent


def edit_agent(
    agent_id: UUID, fields: Mapping[str, Any], actor: str, *, version: int | None = None
) -> Agent:
    """Change the named columns of an agent, under its lock, all or nothing.

    The lock serialises edits with each other and with the tick: an edit that waited sees what
    the other left, and judges the pair of schedule and zone that it leaves behind. ``version``
    is the one the caller has seen. Raises Agent.DoesNotExist, ValidationError, StaleVersion.
    """
    with claim_transaction():
        agent = Agent.objects.lock(agent_id)
        if version is not None and agent.version != version:
            raise StaleVersion(agent.version)
        before = copy(agent)
        _assign(agent, fields)
        if _changed(before, agent, EDITABLE):
            _apply(agent, before, actor)
        return agent


def delete_agent(agent_id: UUID, actor: str) -> None:
    """Mark an agent as deleted and clear its schedule; its history stays.

    Raises Agent.DoesNotExist.
    """
    with claim_transaction():
        agent = edit_agent(agent_id, {"cron_schedule": None}, actor)
        agent.deleted_at = clock.now()
        agent.save(update_fields=["deleted_at"])
        notify_workers()


def disable_invalid(agent_id: UUID, reason: str, now: datetime) -> None:
    """Switch off a schedule that no longer parses. The caller holds the agent's lock."""
    agent = Agent.objects.get(id=agent_id)
    before = copy(agent)
    agent.cron_enabled = False
    agent.cron_next_fire_at = None
    agent.cron_disabled_reason = reason[:500]
    _save(agent, before, now, actor="worker")


def _assign(agent: Agent, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if name not in EDITABLE:
            raise TypeError(f"{name} is not an editable column of Agent")
        if name == "env_vars":
            value = merge_variables(agent.env_vars, value)
        if name == "cron_schedule" and isinstance(value, str) and not value.strip():
            value = None
        setattr(agent, name, value)


def _apply(agent: Agent, before: Agent, actor: str) -> None:
    """Judge the edited agent; count its next instant anew where the schedule changed.

    Switching on alone leaves the next instant as it is, so that the tick can account for what
    lay in the pause; only where there is none, after an invalid schedule, it is counted anew.
    """
    if _is_rescheduled(before, agent) or agent.cron_enabled:
        agent.cron_disabled_reason = ""
    _judge(agent, before)
    now = clock.now()
    is_lost = agent.cron_next_fire_at is None and _is_resumed(before, agent)
    if is_lost or _is_rescheduled(before, agent):
        _reschedule(agent, now)
    _save(agent, before, now, actor)


def _judge(agent: Agent, before: Agent) -> None:
    """Refuse what the edit changes to something bad. Raises ValidationError.

    What it leaves alone may have been stored under older rules, and must not keep anybody from
    switching the agent's schedule off, nor from deleting it. The pair is judged as a whole
    whenever a part of it changes or it is switched on, but not when it is cleared.
    """
    is_set = _is_rescheduled(before, agent) or _is_resumed(before, agent)
    if _changed(before, agent, ["cron_timezone"]) or (is_set and agent.cron_schedule is not None):
        validate_pair(agent.cron_schedule, agent.cron_timezone)
    agent.clean_fields(exclude=set(COLUMNS).difference(_changed(before, agent, EDITABLE)))


def _reschedule(agent: Agent, now: datetime) -> None:
    """Set the next instant: the schedule's first one strictly later than ``now``, if any."""
    agent.cron_blocked_until = None
    agent.cron_blocked_reason = ""
    agent.cron_next_fire_at = None
    if agent.cron_schedule is not None and not agent.cron_disabled_reason:
        following = next_fires(agent.cron_schedule, agent.cron_timezone, now, 1)
        agent.cron_next_fire_at = following[0] if following else None


def _save(agent: Agent, before: Agent, now: datetime, actor: str) -> None:
    agent.version += 1
    agent.updated_at = now
    agent.save(update_fields=_changed(before, agent, COLUMNS))
    if _changed(before, agent, SCHEDULE_COLUMNS):
        _write_change(agent, before, now, actor)


def _write_change(agent: Agent, before: Agent, now: datetime, actor: str) -> None:
    """Keep what was changed and wake the workers, which may have been asleep for longer."""
    due = before.cron_next_fire_at
    cuts_off = due is not None and due <= now and _is_rescheduled(before, agent)
    ScheduleChange.objects.create(
        agent=agent,
        changed_at=now,
        actor=actor,
        reason=agent.cron_disabled_reason,
        schedule_before=before.cron_schedule,
        schedule_after=agent.cron_schedule,
        timezone_before=before.cron_timezone,
        timezone_after=agent.cron_timezone,
        enabled_before=before.cron_enabled,
        enabled_after=agent.cron_enabled,
        next_fire_before=due,
        next_fire_after=agent.cron_next_fire_at,
        policies_before=_policies(before),
        policies_after=_policies(agent),
        unsettled_from=due if cuts_off else None,
    )
    notify_workers()


def _policies(agent: Agent) -> dict[str, Any]:
    kept_in_columns = {"cron_schedule", "cron_timezone", "cron_enabled"}
    return {k: v for k, v in agent.schedule_values().items() if k not in kept_in_columns}


def _is_rescheduled(before: Agent, after: Agent) -> bool:
    return bool(_changed(before, after, ("cron_schedule", "cron_timezone")))


def _is_resumed(before: Agent, after: Agent) -> bool:
    return after.cron_enabled and not before.cron_enabled


def _changed(before: Agent, after: Agent, names: Iterable[str]) -> list[str]:
    return [name for name in names if getattr(before, name) != getattr(after, name)]
