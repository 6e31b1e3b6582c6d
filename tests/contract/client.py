"""A client that knows the contract only: HTTP, JSON, and what answers look like."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

AGENT = frozenset({
    "id", "name", "model", "prompt", "harness_id",
    "supports_tui", "repo_url", "branch", "pfp_url",
    "mcp_servers", "env_vars", "attached_skill_ids", "allow_out",
    "deny_out", "sandbox_files", "preload_memory_limit",
    "cron_schedule", "cron_timezone", "cron_enabled",
    "cron_overlap_policy", "cron_last_fired_at", "cron_next_fire_at",
    "created_at",
})  # fmt: skip
LISTED_AGENT = AGENT | {"session_count", "has_active_session"}
SESSION = frozenset({
    "id", "agent_id", "sandbox_url", "tty_url", "tty_token",
    "status", "task_arn", "response", "created_at",
    "last_seen_at", "idle_timeout_ms", "failure_reason", "phase",
    "phase_detail", "trigger", "title", "scheduled_for",
    "started_at", "stopped_at", "failure_kind",
})  # fmt: skip
STATUSES = frozenset({"creating", "ready", "stopping", "completed", "failed", "dead"})
FINAL = frozenset({"completed", "failed", "dead"})
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
POLL_SECONDS = 0.1


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> Any:
        return self.body["error"]


class Client:
    """Calls the routes below ``/api/v1`` with one key; ``timeout`` is in seconds."""

    def __init__(self, url: str, key: str, timeout: float = 60.0) -> None:
        self._host = urlsplit(url).netloc
        self._key = key
        self._timeout = timeout

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        connection = HTTPConnection(self._host, timeout=self._timeout)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        known = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request(method, f"/api/v1{path}", sent, known | named)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        return Answer(
            response.status, json.loads(content) if content else None, dict(response.headers)
        )

    def get(self, path: str) -> Answer:
        return self("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        return self("POST", path, body)

    def patch(self, path: str, body: Any) -> Answer:
        return self("PATCH", path, body)

    def delete(self, path: str) -> Answer:
        return self("DELETE", path)

    def create_agent(self, **fields: Any) -> dict[str, Any]:
        """A new agent on the shell harness."""
        sent = {"model": "none", "harness_id": "shell", **fields}
        return good_agent(self.post("/managed_agents/agents", sent))

    def open_session(self, agent_id: str, body: Any = None) -> dict[str, Any]:
        """A new session; it has status ``creating`` at once."""
        opened = good_session(self.post(f"/managed_agents/agents/{agent_id}/session", body))
        assert opened["status"] == "creating"
        return opened

    def session(self, session_id: str) -> dict[str, Any]:
        return good_session(self.get(path_of(session_id)))

    def wait(
        self, session_id: str, is_reached: Callable[[dict[str, Any]], Any], seconds: float = 60.0
    ) -> dict[str, Any]:
        """Poll until the session is where the caller wants it; fails loudly if it never is."""
        deadline = time.monotonic() + seconds
        while not is_reached(session := self.session(session_id)):
            assert time.monotonic() < deadline, f"waited {seconds} s in vain: {session}"
            time.sleep(POLL_SECONDS)
        return session

    def wait_status(self, session_id: str, *statuses: str) -> dict[str, Any]:
        """Poll until the session has one of these statuses; another final one fails at once."""

        def is_there(session: dict[str, Any]) -> bool:
            assert session["status"] in {*statuses, *(STATUSES - FINAL)}, session
            return session["status"] in statuses

        return self.wait(session_id, is_there)


def path_of(session_id: str, action: str = "") -> str:
    return f"/managed_agents/sessions/{session_id}{action and '/'}{action}"


def good_agent(answer: Answer) -> dict[str, Any]:
    """The agent in a successful answer, whose shape is checked."""
    return _good(answer, AGENT)


def good_session(answer: Answer) -> dict[str, Any]:
    """The session in a successful answer, whose shape is checked."""
    session = _good(answer, SESSION)
    assert session["status"] in STATUSES
    assert session["trigger"] in {"api", "cron", "manual"}
    return session


def check_timestamps(row: Mapping[str, Any]) -> None:
    """Times are ISO 8601 UTC with ``Z``, or null."""
    for name, value in row.items():
        if name.endswith(("_at", "_for")) and value is not None:
            assert TIMESTAMP.fullmatch(value), f"{name}: {value}"


def texts_of(message: Mapping[str, Any]) -> str:
    """The text of a harness's message ``{parts: […], …}``."""
    return "\n".join(part["text"] for part in message["parts"] if part["type"] == "text")


def _good(answer: Answer, names: frozenset[str]) -> dict[str, Any]:
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    assert names <= body.keys(), f"missing: {names - body.keys()}"
    check_timestamps(body)
    return body
