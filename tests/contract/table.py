"""Every route of the API with what it answers: ``method path is status``, by case."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.api import AGENTS, SESSIONS
from tests.contract.world import THREAD

AGENT = f"{AGENTS}/{{agent}}"
KIBIBYTE = 1024
BODY_LIMIT = 256 * KIBIBYTE
ATTACHMENTS_BODY_LIMIT = 28 * KIBIBYTE * KIBIBYTE
JSON = "application/json"


class Case(NamedTuple):
    """One request and its answer. Braces in paths and errors name ids of the world.

    ``error`` is the whole sentence, a list of the paths that are to blame, or None where the
    contract leaves the words open. ``body`` of bytes is sent as it is.
    """

    method: str
    path: str
    status: int
    body: Any = None
    error: str | list[str] | None = None
    content_type: str = JSON
    if_match: str | None = None
    answer: Any = None

    @property
    def operation(self) -> tuple[str, str]:
        return self.method, self.path

    def __str__(self) -> str:
        sent = "" if self.body is None else f" {self.body!s:.50}"
        return f"{self.method} {self.path}{sent} is {self.status}"


def session(name: str, action: str = "") -> str:
    return f"{SESSIONS}/{{{name}}}{action and '/'}{action}"


def unusable_bodies(method: str, path: str, limit: int = BODY_LIMIT) -> list[Case]:
    """What every route that reads a body refuses."""
    return [
        Case(method, path, 400, b"{"),
        Case(method, path, 400, b"\xff"),
        Case(method, path, 400, []),
        Case(method, path, 415, b"a=b", content_type="application/x-www-form-urlencoded"),
        Case(method, path, 413, b" " * (limit + 1)),
    ]


def unknown_agents(method: str, path: str, body: Any = None) -> list[Case]:
    """Ids that name no agent; ``path`` holds ``{agent}``."""
    return [
        Case(method, path.format(agent=name), 404, body, f"agent '{name}' not found")
        for name in ("{nobody}", "x", "{ready}", "a b")
    ]


def unknown_sessions(method: str, action: str = "", body: Any = None) -> list[Case]:
    return [
        Case(method, session("x", action).format(x=name), 404, body, f"session {name} not found")
        for name in ("{nobody}", "x", "{agent}", "a b")
    ]


READ_ONLY = {"model": "m", "cron_next_fire_at": "2030-01-01T00:00:00Z"}
BAD_PAIR = 'invalid cron_timezone "Mars" — must be an IANA name (e.g. America/Los_Angeles)'

AGENT_CASES = [
    Case("GET", AGENTS, 200),
    *(
        Case("GET", f"{AGENTS}?{query}", 200)
        for query in ("limit=0&offset=-1", "limit=x&sort=x&order=x", "search=%00", "sort=sessions")
    ),
    Case("PUT", AGENTS, 405),
    Case("DELETE", AGENTS, 405),
    Case("POST", AGENTS, 200, {"model": "m"}),
    Case("POST", AGENTS, 400, None, ["model"]),
    Case("POST", AGENTS, 400, {"model": 5}, ["model"]),
    Case("POST", AGENTS, 400, {"model": "m", "harness_id": "perl"}, ["harness_id"]),
    Case("POST", AGENTS, 400, {"model": "m", "env_vars": {"PORT": "1"}}, ["env_vars"]),
    Case("POST", AGENTS, 400, {"model": "m", "env_vars": {"A": "********"}}, ["env_vars"]),
    Case("POST", AGENTS, 400, {"model": "m", "cron_timezone": "Mars"}, BAD_PAIR),
    Case("POST", AGENTS, 400, READ_ONLY, ["cron_next_fire_at"]),
    *unusable_bodies("POST", AGENTS),
    Case("GET", AGENT, 200),
    Case("POST", AGENT, 405),
    *unknown_agents("GET", AGENT),
    Case("PATCH", AGENT, 200, {}),
    Case("PATCH", AGENT, 200, {"name": "n"}, if_match='"1"'),
    Case("PATCH", AGENT, 412, {"name": "n"}, if_match='"7"'),
    Case("PATCH", AGENT, 400, {"name": 5}, ["name"]),
    Case("PATCH", AGENT, 400, {"cron_enabled": "yes"}, ["cron_enabled"]),
    Case("PATCH", AGENT, 400, {"cron_last_fired_at": None}, ["cron_last_fired_at"]),
    Case("PATCH", AGENT, 400, {"cron_schedule": "* * * * *", "cron_timezone": "Mars"}, BAD_PAIR),
    *unknown_agents("PATCH", AGENT, {"name": "n"}),
    *unusable_bodies("PATCH", AGENT),
    Case("DELETE", AGENT, 204),
    Case("DELETE", AGENT, 412, if_match='"7"'),
    *unknown_agents("DELETE", AGENT),
]

OPEN, IMAGE = f"{AGENT}/session", {"mime_type": "image/png", "base64": "AAAA"}
OPENING_CASES = [
    *(Case("POST", OPEN, 200, body) for body in (None, {}, {"title": "t", "env_vars": {"A": "b"}})),
    Case("GET", OPEN, 405),
    Case("POST", OPEN, 400, {"initial_prompt": 5}, ["initial_prompt"]),
    Case("POST", OPEN, 400, {"env_vars": {"LITELLM_API_KEY": "k"}}, ["env_vars"]),
    Case("POST", OPEN, 400, {"initial_attachments": "x"}, ["initial_attachments"]),
    Case("POST", OPEN, 400, {"initial_attachments": [IMAGE] * 11}, ["initial_attachments"]),
    *unknown_agents("POST", OPEN, {}),
    *unusable_bodies("POST", OPEN, ATTACHMENTS_BODY_LIMIT),
]

FIRES, RUN_NOW, PREVIEW = f"{AGENT}/cron/fires", f"{AGENT}/cron/run", "/cron/preview"
CRON_CASES = [
    Case("GET", FIRES, 200, answer=[]),
    Case("POST", FIRES, 405),
    Case("GET", f"{FIRES}?outcome=x", 400, None, ["outcome"]),
    Case("GET", f"{FIRES}?before=x", 400, None, ["before"]),
    *unknown_agents("GET", FIRES),
    Case("POST", RUN_NOW, 200),
    Case("POST", RUN_NOW.replace("agent}", "busy}"), 200, {"force": True}),
    Case("POST", RUN_NOW.replace("agent}", "busy}"), 409),
    Case("POST", RUN_NOW.replace("agent}", "busy}"), 409, {"force": False}),
    Case("GET", RUN_NOW, 405),
    Case("POST", RUN_NOW, 400, {"force": "yes"}, ["force"]),
    *unknown_agents("POST", RUN_NOW, {}),
    *unusable_bodies("POST", RUN_NOW),
    Case("POST", PREVIEW, 200, {"cron_schedule": "0 9 * * *", "cron_timezone": "UTC"}),
    Case("GET", PREVIEW, 405),
    Case("POST", PREVIEW, 400, {"cron_schedule": "* * * * *", "cron_timezone": "Mars"}, BAD_PAIR),
    Case("POST", PREVIEW, 400, {"count": 51}, ["count"]),
    Case("POST", PREVIEW, 400, {"after": "soon"}, ["after"]),
    Case("POST", PREVIEW, 404, {"agent_id": "{nobody}"}, "agent '{nobody}' not found"),
    *unusable_bodies("POST", PREVIEW),
]

SESSION_CASES = [
    Case("GET", SESSIONS, 200),
    Case("POST", SESSIONS, 405),
    Case("GET", f"{SESSIONS}?limit=0", 200),
    *(
        Case("GET", f"{SESSIONS}?{name}=x", 400, None, [name])
        for name in ("agent_id", "trigger", "status", "before")
    ),
    Case("GET", session("ready"), 200),
    Case("PATCH", session("ready"), 405),
    *unknown_sessions("GET"),
    *(
        Case(method, path, 200, answer={"id": f"{{{name}}}", "status": status})
        for name, status in (
            ("creating", "deleted"), ("ready", "deleted"), ("stopping", "deleted"),
            ("running", "deleted"), ("completed", "completed"), ("dead", "dead"),
        )
        for method, path in (("DELETE", session(name)), ("POST", session(name, "stop")))
    ),
    *unknown_sessions("DELETE"),
    Case("GET", session("ready", "stop"), 405),
    *unknown_sessions("POST", "stop"),
]  # fmt: skip

SAY, HI = session("ready", "message"), {"text": "hi"}
TEXT_PART = {"type": "text", "text": "hi"}
NO_MESSAGES: list[Any] = [
    None, {}, {"text": None}, {"parts": None}, {"text": ""}, {"parts": []},
    {"text": "hi", "parts": [TEXT_PART]}, {"text": 5}, {"text": ["hi"]}, {"text": "\0"},
    {"parts": "hi"}, {"parts": TEXT_PART}, {"parts": ["hi"]}, {"parts": [{}]},
    {"parts": [{"type": 5}]}, {"parts": [{"type": ""}]}, {"parts": [TEXT_PART, None]},
]  # fmt: skip
CONVERSATION_CASES = [
    Case("GET", SAY, 405),
    *(Case("POST", SAY, 400, body) for body in NO_MESSAGES),
    *(
        Case("POST", session(name, "message"), 404, HI)
        for name in ("creating", "stopping", "completed", "dead", "run")
    ),
    *(Case("POST", session(name, "message"), 409, HI) for name in ("begun", "running")),
    *unknown_sessions("POST", "message", HI),
    *unusable_bodies("POST", SAY, ATTACHMENTS_BODY_LIMIT),
    Case("GET", session("creating", "messages"), 200, answer=[]),
    *(
        Case("GET", session(name, "messages"), 200, answer=THREAD)
        for name in ("completed", "dead", "run")
    ),
    Case("POST", session("ready", "messages"), 405),
    *unknown_sessions("GET", "messages"),
    *(
        Case("POST", session(name, "abort"), 200, answer={"ok": True})
        for name in ("creating", "completed", "dead")
    ),
    Case("GET", session("ready", "abort"), 405),
    *unknown_sessions("POST", "abort"),
    *(Case("POST", session(name, "restart"), 200) for name in ("completed", "dead")),
    *(
        Case("POST", session(name, "restart"), 409)
        for name in ("creating", "stopping", "begun", "run")
    ),
    Case("GET", session("ready", "restart"), 405),
    *unknown_sessions("POST", "restart"),
]  # fmt: skip

CALLING_CASES = [
    Case("POST", SAY, 502, HI, "harness request failed"),
    Case("POST", SAY, 502, {"parts": [TEXT_PART]}, "harness request failed"),
    Case("POST", session("ready", "restart"), 200),
]
"""They call a harness: no transaction may be open meanwhile."""

PLATFORM_CASES = [
    Case("GET", "/health/k8s", 200),
    Case("POST", "/health/k8s", 405),
    Case("GET", "/admin/stats", 200),
    Case("POST", "/admin/stats", 405),
]

CASES = [
    *AGENT_CASES,
    *OPENING_CASES,
    *CRON_CASES,
    *SESSION_CASES,
    *CONVERSATION_CASES,
    *PLATFORM_CASES,
]
