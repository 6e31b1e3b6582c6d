"""Every page that people can open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.urls import reverse

from tests.browser.world import World


@dataclass(frozen=True)
class Place:
    """A page: ``shows`` is a text of its content, ``section`` its link in the navigation."""

    name: str
    url: Callable[[World], str]
    shows: str
    section: str = ""
    status: int = 200
    is_public: bool = False
    is_ours: bool = True


def _plain(name: str) -> Callable[[World], str]:
    return lambda world: reverse(name)


def _of_agent(name: str) -> Callable[[World], str]:
    return lambda world: reverse(name, args=[world.agent.id])


def _of_session(name: str) -> Callable[[World], str]:
    return lambda world: reverse(name, args=[world.session.id])


def _of_fire(name: str) -> Callable[[World], str]:
    return lambda world: reverse(name, args=[world.session.cron_fire.pk])


OURS = [
    Place("login", _plain("login"), "Log in", is_public=True),
    Place("agents", _plain("agents"), "weekday report", "Agents"),
    Place("new agent", _plain("new-agent"), "Harness", "Agents"),
    Place("agent", _of_agent("agent"), "Weekdays at 09:00", "Agents"),
    Place("edit agent", _of_agent("edit-agent"), "Edit weekday report", "Agents"),
    Place("delete agent", _of_agent("delete-agent"), "weekday report", "Agents"),
    Place("edit schedule", _of_agent("edit-schedule"), "America/Los_Angeles", "Agents"),
    Place("new session", _of_agent("new-session"), "New conversation", "Agents"),
    Place("run now", _of_agent("run-agent"), "Run weekday report now", "Agents"),
    Place("runs", _of_agent("runs"), "Exit status 3", "Agents"),
    Place("sessions", _plain("sessions"), "weekday report", "Sessions"),
    Place("session", _of_session("session"), "How full is the disk?", "Sessions"),
    Place("fleet", _plain("fleet"), "weekday report", "Fleet"),
    Place("not found", lambda world: "/nowhere/", "/nowhere/", status=404),
]
THEIRS = [
    Place("admin", _plain("admin:index"), "Agents", is_ours=False),
    Place("admin agents", _plain("admin:agents_agent_changelist"), "weekday report", is_ours=False),
    Place("admin agent", _of_agent("admin:agents_agent_change"), "weekday report", is_ours=False),
    Place("admin new agent", _plain("admin:agents_agent_add"), "Add agent", is_ours=False),
    Place(
        "admin sessions", _plain("admin:agent_sessions_session_changelist"), "weekday report",
        is_ours=False,
    ),
    Place(
        "admin session", _of_session("admin:agent_sessions_session_change"), "weekday report",
        is_ours=False,
    ),
    Place("admin fires", _plain("admin:scheduler_cronfire_changelist"), "missed", is_ours=False),
    Place("admin fire", _of_fire("admin:scheduler_cronfire_change"), "started", is_ours=False),
    Place("admin keys", _plain("admin:access_apikey_changelist"), "API keys", is_ours=False),
]  # fmt: skip
WITH_EMPTY_STATES = ("agents", "sessions", "fleet")
API_DOCS = Place("API", _plain("api:docs"), "LAP", is_public=True, is_ours=False)
