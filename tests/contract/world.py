"""Rows in every state that a route tells apart, and the keys of callers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from django.core.management import call_command

from agents.editing import create_agent
from agents.models import Agent
from lap.core import clock
from lap.core.secrets import hash_token
from sessions.models import Session, Worker
from tests.api import NOBODY

START = datetime(2026, 3, 1, tzinfo=UTC)
REFUSING = "http://127.0.0.1:9"
"""Where nobody listens."""
TOKEN = "the callback token of the creating session"
THREAD = [
    {
        "info": {"id": "m1", "sessionID": "h1", "role": "user"},
        "parts": [{"type": "text", "text": "hi"}],
    }
]


def build_world() -> dict[str, str]:
    """The names that paths of the table use, and the ids that they stand for."""
    idle, busy = (
        create_agent({"model": "none", "harness_id": "shell", "name": name}, "test")
        for name in ("idle", "busy")
    )
    now = clock.now()
    Worker.objects.create(
        host="here", pid=1, version="1", expires_at=now + timedelta(hours=1), backend="local",
        backend_elapsed_ms=1.5, backend_checked_at=now,
    )  # fmt: skip
    ended: dict[str, Any] = {"stopped_at": START, "thread": THREAD, "harness_session_id": "h1"}
    live: dict[str, Any] = {"sandbox_name": "s", "sandbox_url": REFUSING, "harness_token": "t"}
    run: dict[str, Any] = {"trigger": "cron", "agent": busy}
    rows = {
        "creating": _session(idle, callback_token_hash=hash_token(TOKEN)),
        "stopping": _session(idle, status="stopping", stop_as="dead"),
        "ready": _session(idle, status="ready", harness_session_id="h1", **live),
        "completed": _session(idle, status="completed", **ended),
        "dead": _session(idle, status="dead", **ended),
        "begun": _session(**run, scheduled_for=START),
        "running": _session(
            **run, scheduled_for=START + timedelta(hours=1), status="ready",
            harness_session_id="h1", **live,
        ),
        "run": _session(
            **run, scheduled_for=START + timedelta(hours=2), status="completed", **ended
        ),
    }  # fmt: skip
    ids = {name: str(session.id) for name, session in rows.items()}
    return {"agent": str(idle.id), "busy": str(busy.id), "nobody": NOBODY, **ids}


def new_key(scope: str) -> str:
    """A fresh API key of that scope, made as a user makes it."""
    key, explained = StringIO(), StringIO()
    call_command("create_api_key", f"{scope} only", "--scope", scope, stdout=key, stderr=explained)
    return key.getvalue().strip()


def _session(agent: Agent, **columns: Any) -> Session:
    return Session.objects.create(agent=agent, **columns)
