"""What a page says of a schedule right now."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from agents.listing import resumes
from agents.models import Agent
from scheduler.cron import CronError, headline, next_fires


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """A schedule as it is: ``enabled``, ``paused`` or ``blocked``; without one, ``status`` is "".

    ``next_at`` is None where no instant is to come; ``is_due`` tells that it has come and no
    worker has looked at it yet.
    """

    words: str
    status: str
    reason: str
    next_at: datetime | None
    is_due: bool
    lacks_script: bool
    """The shell harness runs the prompt as a script, and the default one is none."""


def state_of(agent: Agent, now: datetime) -> ScheduleState:
    """The state of an agent's schedule at ``now`` of the database's clock."""
    next_at = agent.cron_next_fire_at if agent.cron_enabled else None
    if next_at is not None and next_at <= now:
        next_at = next_run(agent, resumes(agent.id, next_at).first())
    status, reason = _status(agent, now)
    is_due = next_at is not None and next_at <= now
    lacks_script = status != "" and agent.harness_id == "shell" and not agent.cron_prompt
    return ScheduleState(schedule_words(agent), status, reason, next_at, is_due, lacks_script)


def next_run(agent: Agent, resumed_at: datetime | None) -> datetime | None:
    """The instant that runs next, if any; ``resumed_at`` is the latest resume since the stored one.

    The tick has yet to account for the pause that the stored one lies in then, and runs nothing
    from before its end.
    """
    if resumed_at is None or agent.cron_schedule is None:
        return agent.cron_next_fire_at
    with suppress(CronError):
        return next(iter(next_fires(agent.cron_schedule, agent.cron_timezone, resumed_at, 1)), None)
    return agent.cron_next_fire_at


def schedule_words(agent: Agent) -> str:
    """The schedule in a few words that end with its zone; as it is stored where it is invalid."""
    if not agent.cron_schedule:
        return "No schedule"
    with suppress(CronError):
        return headline(agent.cron_schedule, agent.cron_timezone)
    return f"not valid: {agent.cron_schedule} ({agent.cron_timezone})"


def _status(agent: Agent, now: datetime) -> tuple[str, str]:
    if not agent.cron_schedule:
        return "", ""
    if not agent.cron_enabled:
        return "paused", agent.cron_disabled_reason
    if agent.cron_blocked_until and agent.cron_blocked_until > now:
        return "blocked", agent.cron_blocked_reason
    return "enabled", ""
