"""Rows for pages to show: agents in every state, runs with every kind of end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agents.editing import create_agent, disable_invalid
from agents.models import Agent
from lap.core import clock
from scheduler.models import CronFire
from sessions.models import Session, Worker

THREAD = [
    {
        "info": {"id": "m1", "sessionID": "s1", "role": "user"},
        "parts": [{"type": "text", "text": "How full is the disk?"}],
    },
    {
        "info": {"id": "m2", "sessionID": "s1", "role": "assistant"},
        "parts": [
            {
                "type": "tool",
                "tool": "bash",
                "state": {
                    "status": "completed", "input": {"command": "df -h /"}, "output": "40%"
                },
            },
            {"type": "text", "text": "It is **40 %** full:\n\n```\ndf -h /\n```"},
        ],
    },
]  # fmt: skip


@dataclass(frozen=True)
class World:
    agent: Agent
    session: Session
    """A run that the agent's schedule started, with a thread."""


def make_world() -> World:
    """An agent with a history, one without a schedule, a broken one, and a live worker."""
    now = clock.now()
    Worker.objects.create(host="here", pid=1, version="1", expires_at=now + timedelta(hours=1))
    agent = _agent(
        name="weekday report", prompt="Report.", env_vars={"COLOUR": "green"},
        cron_schedule="0 9 * * 1-5", cron_timezone="America/Los_Angeles",
    )  # fmt: skip
    _agent(name="on demand")
    broken = _agent(name="broken", cron_schedule="0 0 30 2 1")
    disable_invalid(broken.id, "it does not parse", now)
    _conversations(agent)
    return World(agent, _runs(agent))


def _agent(**fields: Any) -> Agent:
    return create_agent({"model": "none", "harness_id": "shell", **fields}, actor="test")


def _runs(agent: Agent) -> Session:
    """One that completed, one that failed, one skipped, a range of missed ones."""
    at = clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=9)
    completed = _run(agent, at, "completed", thread=THREAD, response="It is 40 % full.")
    _run(agent, at + timedelta(hours=1), "failed", failure_reason="exit status 3")
    _fire(agent, at + timedelta(hours=2), "skipped_overlap", reason="the previous run was active")
    _fire(
        agent, at + timedelta(hours=3), "missed", reason="no worker ran",
        scheduled_until=at + timedelta(hours=5), count=3,
    )  # fmt: skip
    return completed


def _run(agent: Agent, at: Any, status: str, **columns: Any) -> Session:
    session = Session.objects.create(
        agent=agent, trigger="cron", scheduled_for=at, status=status, initial_prompt="Report.",
        created_at=at + timedelta(seconds=1), started_at=at + timedelta(seconds=2),
        stopped_at=at + timedelta(minutes=1), **columns,
    )  # fmt: skip
    _fire(agent, at, "started", session=session)
    return session


def _fire(agent: Agent, at: Any, outcome: str, **columns: Any) -> None:
    CronFire.objects.create(
        agent=agent, scheduled_for=at, outcome=outcome, **{"decided_at": at, **columns}
    )


def _conversations(agent: Agent) -> None:
    now = clock.now()
    Session.objects.create(agent=agent, title="being brought up")
    Session.objects.create(
        agent=agent, title="ready for more", status="ready", started_at=now, last_seen_at=now
    )
