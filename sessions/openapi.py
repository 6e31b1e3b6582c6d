"""The operations on sessions in the OpenAPI schema."""

from __future__ import annotations

from typing import Any, Final

from agents.openapi import AGENT, AGENT_ID, NO_AGENT, PAGE_LIMIT
from agents.openapi_fields import VARIABLES
from lap.core.api.schema import Errors, operation, path_id, query, request_header
from lap.core.api.schema_components import JsonSchema
from lap.core.api.schema_serializers import describe
from sessions.models import Status, Trigger
from sessions.serializers import (
    ATTACHMENT_LIMIT_BYTES,
    IMAGES,
    Attachment,
    SessionFields,
    SessionSerializer,
)

SESSION: Final = "0d3b4b4e-3c07-4f0e-8a0b-8f4b7c1f9a52"
SESSION_ID: Final = path_id("session_id", "Id of a session.")
NO_SESSION: Final[Errors] = {404: f"session {SESSION} not found"}
BEFORE: Final = query(
    "before", {"type": "string"}, "Where the page begins: a cursor from `Link`, as it was given."
)
LINK: Final = {"Link": 'The address of the next page, `<…>; rel="next"`; absent on the last one.'}

EXAMPLE: Final[dict[str, Any]] = {
    "id": SESSION,
    "agent_id": AGENT,
    "sandbox_url": None,
    "tty_url": None,
    "tty_token": None,
    "status": "creating",
    "task_arn": None,
    "response": None,
    "created_at": "2026-03-02T08:15:04.201337Z",
    "last_seen_at": None,
    "idle_timeout_ms": 86_400_000,
    "failure_reason": None,
    "phase": None,
    "phase_detail": None,
    "trigger": "api",
    "title": "Ticket 4711",
    "scheduled_for": None,
    "started_at": None,
    "stopped_at": None,
    "failure_kind": None,
    "created_by": "key dashboard",
}
_RUN: Final = EXAMPLE | {
    "status": "completed",
    "response": "Three commits yesterday: …",
    "trigger": "cron",
    "title": None,
    "scheduled_for": "2026-03-02T08:00:00Z",
    "created_at": "2026-03-02T08:00:00.031207Z",
    "started_at": "2026-03-02T08:00:02.480012Z",
    "last_seen_at": "2026-03-02T08:01:40.112009Z",
    "stopped_at": "2026-03-02T08:01:41.630554Z",
    "created_by": "schedule",
}
_ENDED: Final[JsonSchema] = {
    "type": "object",
    "required": ["id", "status"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "status": {
            "type": "string",
            "enum": ["deleted", "completed", "failed", "dead"],
            "description": "`deleted` while it is being stopped, else how it had ended before.",
        },
    },
}

describe(
    Attachment,
    "Attachment",
    {
        "name": {"description": "A file name."},
        "mime_type": {
            "enum": [*(f"image/{kind}" for kind in IMAGES), *IMAGES],
            "description": "The kind of image.",
        },
        "base64": {
            "type": "string",
            "contentEncoding": "base64",
            "minLength": 1,
            "maxLength": (ATTACHMENT_LIMIT_BYTES + 2) // 3 * 4,
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
            "description": "The image, at most 5 MB.",
        },
    },
)
describe(
    SessionFields,
    "Session",
    {
        "initial_prompt": {"description": "The first message, sent when the sandbox is ready."},
        "title": {"description": "A title for people."},
        "env_vars": {
            **VARIABLES,
            "description": (
                "Environment variables of this session, added to the agent's; at most 16,384 "
                "bytes as JSON."
            ),
        },
        "initial_attachments": {
            "description": "Images that go with the first message, at most 20 MB in all."
        },
    },
)
describe(
    SessionSerializer,
    "Session",
    {
        "id": {"description": "The session's id."},
        "agent_id": {"description": "The agent's id."},
        "sandbox_url": {"description": "Address of the sandbox, once there is one."},
        "tty_url": {"description": "Sandboxes have no terminal yet."},
        "tty_token": {"description": "Sandboxes have no terminal yet."},
        "status": {
            "enum": Status.values,
            "description": "`completed`, `failed` and `dead` are final.",
        },
        "task_arn": {"description": "The sandbox's name."},
        "response": {"description": "The text of the answer to the first message."},
        "created_at": {"description": "When it was opened."},
        "last_seen_at": {"description": "When it was last in use."},
        "idle_timeout_ms": {"description": "A conversation idle for so long is stopped."},
        "failure_reason": {"description": "Why it failed or died."},
        "phase": {"description": "How far its bring-up is."},
        "phase_detail": {"description": "More about the phase."},
        "trigger": {
            "enum": Trigger.values,
            "description": "What opened it: a caller, a schedule, or a caller in its place.",
        },
        "title": {"description": "Its title."},
        "scheduled_for": {"description": "The instant of its schedule that it is the run of."},
        "started_at": {"description": "When a worker first took it up."},
        "stopped_at": {"description": "When it ended."},
        "failure_kind": {"description": "The kind of failure, for programs."},
        "created_by": {"description": "Who opened it: `key <name>`, `master key`, `schedule`."},
    },
)

open_session = operation(
    "open_session",
    tag="sessions",
    summary="Opens a session",
    description=(
        "Answers at once; a worker brings up the sandbox. Ask for the session until it is "
        "`ready`. With an `Idempotency-Key`, the same request sent again gives the same session."
    ),
    parameters=[
        AGENT_ID,
        request_header(
            "Idempotency-Key",
            {"type": "string", "maxLength": 200, "pattern": "^[!-~]*$"},
            "The caller's own name for this request; empty: none. With another body it is a 409.",
        ),
    ],
    request=SessionFields,
    request_examples={
        "With a first message": {
            "initial_prompt": "What is in this picture?",
            "title": "Ticket 4711",
            "env_vars": {"TICKET": "4711"},
            "initial_attachments": [
                {"name": "dot.png", "mime_type": "image/png", "base64": "iVBORw0KGgo="}
            ],
        },
        "Nothing is required": {},
    },
    response=SessionSerializer,
    response_examples={"A new session": EXAMPLE},
    means="The session, `creating`.",
    errors={**NO_AGENT, 409: "this Idempotency-Key was used with another request; use a new one"},
)
list_sessions = operation(
    "list_sessions",
    tag="sessions",
    summary="Lists sessions, newest first",
    parameters=[
        query("agent_id", {"type": "string", "format": "uuid"}, "Only those of this agent."),
        query("trigger", {"type": "string", "enum": Trigger.values}, "Only those opened by it."),
        query("status", {"type": "string", "enum": Status.values}, "Only those in this status."),
        PAGE_LIMIT,
        BEFORE,
    ],
    response=SessionSerializer(many=True),
    response_examples={"A scheduled run": _RUN},
    response_headers=LINK,
    means="One page.",
    errors={400: [{"path": "trigger", "message": "must be one of api, cron, manual"}]},
)
get_session = operation(
    "get_session",
    tag="sessions",
    summary="Shows a session",
    parameters=[SESSION_ID],
    response=SessionSerializer,
    response_examples={"A scheduled run": _RUN, "A new session": EXAMPLE},
    means="The session.",
    errors=NO_SESSION,
)
delete_session = operation(
    "delete_session",
    tag="sessions",
    summary="Stops a session",
    description="May be repeated. The session can be read further on.",
    parameters=[SESSION_ID],
    response=_ENDED,
    response_examples={"A live session": {"id": SESSION, "status": "deleted"}},
    means="It is stopping, or had ended before.",
    errors=NO_SESSION,
)
stop_session = operation(
    "stop_session",
    tag="sessions",
    summary="Stops a session, as DELETE does",
    parameters=[SESSION_ID],
    response=_ENDED,
    response_examples={"A session that had ended": {"id": SESSION, "status": "completed"}},
    means="It is stopping, or had ended before.",
    errors=NO_SESSION,
)
