"""The shapes on the wire: what a message may be, and what we answer."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import bad_request

ID_LIMIT = 200


@dataclass(frozen=True)
class Message:
    """One prompt, checked. ``size`` is its share of memory in bytes."""

    id: str
    parts: list[dict[str, Any]]
    model: dict[str, Any] | None = None
    size: int = 0

    @property
    def texts(self) -> list[str]:
        """The text parts, in order."""
        return [part["text"] for part in self.parts if part["type"] == "text"]


@dataclass
class Answer:
    """What a turn came to: the assistant message's text and how it ended."""

    text: str = ""
    error: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def aborted(self, reason: str | None) -> Answer:
        """The same, ended because somebody asked for it."""
        return replace(self, error=error("Aborted", reason or "aborted"))


def parse_message(body: dict[str, Any], size: int) -> Message:
    """Check a prompt's body; raises a 400 that says what is wrong."""
    model = body.get("model")
    if not (model is None or isinstance(model, dict)):
        raise bad_request("model must be an object {providerID, modelID}")
    try:
        parts = _parts(body.get("parts"))
        return Message(_message_id(body.get("messageID")), parts, clean(model), size)
    except RecursionError as error:
        raise bad_request("parts are nested too deeply") from error


def _message_id(value: Any) -> str:
    if value is None:
        return new_id("msg")
    if not isinstance(value, str) or not 0 < len(value) <= ID_LIMIT or not value.isprintable():
        raise bad_request(f"messageID must be 1 to {ID_LIMIT} printable characters")
    return value


def _parts(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise bad_request("parts must be a list with at least one part")
    for part in value:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise bad_request("each of parts must be an object with a type")
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise bad_request("a text part must have a text")
    parts: list[dict[str, Any]] = clean(value)
    return parts


def clean(value: Any) -> Any:
    """JSON without what a PostgreSQL text cannot hold: NUL and lone surrogates."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): clean(item) for key, item in value.items()}
    return value


def clean_text(text: str) -> str:
    """The text with NUL and lone surrogates replaced by U+FFFD."""
    safe = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return safe.replace("\0", "\N{REPLACEMENT CHARACTER}")


def user_message(session_id: str, message: Message) -> dict[str, Any]:
    """``{info, parts}`` of a prompt."""
    info = {**_info(message.id, session_id, "user"), "time": {"created": now_ms()}}
    if message.model:
        info["model"] = message.model
    return {"info": info, "parts": message.parts}


def pending_reply(session_id: str, parent_id: str) -> dict[str, Any]:
    """``{info, parts}`` of a turn that has begun: it has no ``completed`` yet."""
    info = {**_info(new_id("msg"), session_id, "assistant"), "parentID": parent_id}
    return {"info": {**info, "time": {"created": now_ms()}}, "parts": []}


def finished_reply(pending: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """The pending reply, completed."""
    info = {**pending["info"], **answer.facts}
    info["time"] = {**info["time"], "completed": now_ms()}
    if answer.error:
        info["error"] = answer.error
    part = {"id": new_id("prt"), "sessionID": info["sessionID"], "messageID": info["id"]}
    return {"info": info, "parts": [{**part, "type": "text", "text": answer.text}]}


def error(name: str, message: str) -> dict[str, Any]:
    """The shape of ``info.error``."""
    return {"name": name, "data": {"message": message}}


def new_id(prefix: str) -> str:
    """A fresh random id, like ``ses_3f…``."""
    return f"{prefix}_{uuid.uuid4().hex}"


def now_ms() -> int:
    """This machine's clock, in milliseconds since 1970."""
    return int(time.time() * 1000)


def _info(message_id: str, session_id: str, role: str) -> dict[str, Any]:
    return {"id": message_id, "sessionID": session_id, "role": role}
