"""A LAP that has been at work for a while: what the screenshots of the documentation show."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from agents.editing import create_agent, edit_agent
from agents.models import Agent
from lap.core import clock
from scheduler.cron import next_fires
from scheduler.models import CronFire
from sessions.models import Session

AGENTS: list[dict[str, Any]] = [
    {"name": "Release notes", "cron_schedule": "0 16 * * 5", "cron_timezone": "Europe/Paris"},
    {"name": "Dependency check", "cron_schedule": "0 6 * * 1"},
    {
        "name": "Inbox triage",
        "cron_schedule": "*/15 8-18 * * 1-5",
        "cron_timezone": "Europe/London",
    },
    {"name": "Nightly backup", "cron_schedule": "30 2 * * *", "cron_timezone": "Europe/Berlin"},
    {"name": "Data sync", "cron_schedule": "0 * * * *"},
    {
        "name": "Weekday report",
        "model": "anthropic/claude-sonnet-4-5",
        "harness_id": "opencode",
        "prompt": "You write a short report of what changed since the last one.",
        "cron_schedule": "0 9 * * 1-5",
        "cron_timezone": "America/Los_Angeles",
        "cron_prompt": "What changed in the repository since yesterday? Two sentences, please.",
        "repo_url": "git@example.com:team/site.git",
        "env_vars": {"REPORT_CHANNEL": "#site", "API_TOKEN": "not shown"},
    },
]
HERD = 24
FAILURE = "the model gateway answered 529: overloaded"
THREAD = [
    {
        "info": {"id": "m1", "sessionID": "s1", "role": "user"},
        "parts": [{"type": "text", "text": AGENTS[-1]["cron_prompt"]}],
    },
    {
        "info": {"id": "m2", "sessionID": "s1", "role": "assistant"},
        "parts": [
            {
                "type": "tool",
                "tool": "bash",
                "state": {
                    "status": "completed",
                    "input": {"command": "git -C repo log --since=yesterday --oneline"},
                    "output": "4f1c2aa Cache the price list\n9be0d13 Fix the date of invoices",
                },
            },
            {
                "type": "text",
                "text": "Two commits since yesterday:\n\n```\n4f1c2aa Cache the price list\n"
                "9be0d13 Fix the date of invoices\n```\n\nThe price list is now cached for an hour,"
                " and invoices carry the date of the order.",
            },
        ],
    },
]


def make_demo() -> Agent:
    """Agents with a history of some weeks; returns the one that the pictures show."""
    agents = [_agent(fields) for fields in AGENTS]
    for number in range(1, HERD + 1):
        _agent({"name": f"Customer digest {number:02}", "cron_schedule": "0 14 * * *"})
    edit_agent(agents[0].id, {"cron_enabled": False}, "ada")
    for agent in agents[1:]:
        _give_history(agent)
    Agent.objects.update(created_at=clock.now() - timedelta(days=70))
    return agents[-1]


def _agent(fields: dict[str, Any]) -> Agent:
    defaults = {"model": "none", "harness_id": "shell", "cron_prompt": "uptime"}
    return create_agent({**defaults, **fields}, actor="ada")


def _give_history(agent: Agent) -> None:
    """Of every ten instants one failed, and now and then one was skipped or missed."""
    for number, at in enumerate(_past(agent)):
        if number % 17 == 5:
            _fire(agent, at, "skipped_overlap", "the previous run is still active")
        elif number % 23 == 11:
            _fire(agent, at, "missed", "no worker ran within the catch-up window")
        else:
            _run(agent, at, seconds=18 + number * 7 % 40, is_failed=number % 10 == 7)
    last = Session.objects.filter(agent=agent).order_by("-created_at").first()
    Agent.objects.filter(id=agent.id).update(cron_last_fired_at=last and last.scheduled_for)


def _past(agent: Agent) -> Iterator[datetime]:
    """The schedule's last 34 instants before now, oldest first."""
    assert agent.cron_schedule
    now = clock.now()
    since = now - timedelta(days=60 if "* * *" not in agent.cron_schedule[-5:] else 2)
    past = [
        at for at in next_fires(agent.cron_schedule, agent.cron_timezone, since, 400) if at < now
    ]
    yield from past[-34:]


def _run(agent: Agent, at: datetime, *, seconds: int, is_failed: bool) -> None:
    created = at + timedelta(milliseconds=24)
    answered = created + timedelta(seconds=seconds)
    session = Session.objects.create(
        agent=agent,
        trigger="cron",
        scheduled_for=at,
        status="failed" if is_failed else "completed",
        phase="ready",
        initial_prompt=agent.cron_prompt or "",
        response=None if is_failed else "Two commits since yesterday.",
        thread=THREAD,
        failure_reason=FAILURE if is_failed else None,
        failure_kind="prompt" if is_failed else "",
        created_at=created,
        claimed_at=created,
        started_at=created + timedelta(milliseconds=610),
        prompt_sent_at=created + timedelta(milliseconds=640),
        prompt_answered_at=answered,
        stopped_at=answered + timedelta(milliseconds=180),
        created_by="schedule",
    )
    _fire(agent, at, "started", session=session)


def _fire(agent: Agent, at: datetime, outcome: str, reason: str = "", **columns: Any) -> None:
    decided = at + timedelta(milliseconds=21)
    CronFire.objects.create(
        agent=agent, scheduled_for=at, outcome=outcome, reason=reason, decided_at=decided, **columns
    )
