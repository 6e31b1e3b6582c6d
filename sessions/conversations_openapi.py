"""The operations on conversations in the OpenAPI schema."""

from __future__ import annotations

from typing import Any, Final

from lap.core.api.schema import operation
from lap.core.api.schema_components import CALLBACK, JsonSchema
from lap.core.api.schema_serializers import describe
from sessions.callbacks import PHASES
from sessions.conversation_serializers import PARTS_LIMIT, TYPE_LIMIT, MessageFields, PhaseFields
from sessions.openapi import EXAMPLE, NO_SESSION, SESSION_ID
from sessions.serializers import SessionSerializer

_PART: Final[JsonSchema] = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"type": "string", "minLength": 1, "maxLength": TYPE_LIMIT}},
    "if": {"properties": {"type": {"const": "text"}}},
    "then": {"required": ["text"], "properties": {"text": {"type": "string"}}},
}
_MESSAGE: Final[JsonSchema] = {
    "type": "object",
    "description": "A message as the harness tells it; `info` and `parts` may hold more.",
    "required": ["parts"],
    "properties": {
        "info": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "sessionID": {"type": "string"},
                "role": {"type": "string"},
            },
        },
        "parts": {"type": "array", "items": {"type": "object"}},
    },
}
_OK: Final[JsonSchema] = {
    "type": "object",
    "required": ["ok"],
    "properties": {"ok": {"type": "boolean", "const": True}},
}
_ASKED: Final[dict[str, Any]] = {
    "info": {"id": "msg_4f1c", "sessionID": "ses_90ab", "role": "user"},
    "parts": [{"type": "text", "text": "uptime -p"}],
}
_REPLY: Final[dict[str, Any]] = {
    "info": {
        "id": "msg_5d2e",
        "sessionID": "ses_90ab",
        "role": "assistant",
        "parentID": "msg_4f1c",
    },
    "parts": [{"type": "text", "text": "up 3 days, 4 hours\n"}],
}
_NO_HARNESS: Final = {502: "harness request failed"}

describe(
    MessageFields,
    "Message",
    {
        "text": {"minLength": 1, "description": "The message, when it is one text."},
        "parts": {
            "type": ["array", "null"],
            "minItems": 1,
            "maxItems": PARTS_LIMIT,
            "items": _PART,
            "description": "The message in the harness's own parts, passed on as they are.",
        },
    },
    oneOf=[
        {
            "required": ["text"],
            "properties": {"text": {"type": "string"}, "parts": {"type": "null"}},
        },
        {
            "required": ["parts"],
            "properties": {"parts": {"type": "array"}, "text": {"type": "null"}},
        },
    ],
)
describe(
    PhaseFields,
    "Phase",
    {
        "phase": {"type": "string", "enum": list(PHASES), "description": "How far it is."},
        "detail": {"description": "More about it, for people."},
    },
)

send_message = operation(
    "send_message",
    tag="sessions",
    summary="Sends a message and waits for the reply",
    description=(
        "The reply is the harness's own, as it is. A turn may take half an hour; it goes on in "
        "the sandbox when the connection breaks, and is then found in the thread. A refused "
        "connection to the sandbox ends the session as `dead`."
    ),
    parameters=[SESSION_ID],
    request=MessageFields,
    needs_body=True,
    request_examples={
        "A text": {"text": "uptime -p"},
        "Parts": {"parts": [{"type": "text", "text": "uptime -p"}]},
    },
    response=_MESSAGE,
    response_examples={"A reply": _REPLY},
    means="The reply.",
    errors={**NO_SESSION, 409: "a run takes no messages until it has ended", **_NO_HARNESS},
)
list_messages = operation(
    "list_messages",
    tag="sessions",
    summary="Shows the thread of a session",
    description="Empty until the harness has a session; after the end, the thread that was kept.",
    parameters=[SESSION_ID],
    response={"type": "array", "items": _MESSAGE},
    response_examples={"A prompt and its reply": [_ASKED, _REPLY]},
    means="Every message, oldest first.",
    errors={**NO_SESSION, **_NO_HARNESS},
)
abort_turn = operation(
    "abort_turn",
    tag="sessions",
    summary="Ends what the harness is doing",
    parameters=[SESSION_ID],
    response=_OK,
    response_examples={"Ended": {"ok": True}},
    means="Nothing runs any more, or nothing did.",
    errors={**NO_SESSION, **_NO_HARNESS},
)
restart_session = operation(
    "restart_session",
    tag="sessions",
    summary="Begins a session anew in a new sandbox",
    description=(
        "The same session, its next attempt. The thread so far is told to the new sandbox as its "
        "first message; a run is given its prompt again. Variables and attachments are kept for a "
        "day after the end."
    ),
    parameters=[SESSION_ID],
    response=SessionSerializer,
    response_examples={"A session that begins anew": EXAMPLE},
    means="The session, `creating`.",
    errors={**NO_SESSION, 409: "the session is stopping; wait until that is over"},
)
report_phase = operation(
    "report_phase",
    tag="sandbox",
    summary="Reports from inside a sandbox how far it is",
    description="With the session's `HARNESS_PROGRESS_TOKEN`. Once it is ready nothing changes.",
    parameters=[SESSION_ID],
    request=PhaseFields,
    request_examples={"Cloning": {"phase": "cloning_repo", "detail": "receiving objects: 40 %"}},
    response=_OK,
    response_examples={"Heard": {"ok": True}},
    means="Heard.",
    security=CALLBACK,
)
