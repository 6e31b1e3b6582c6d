"""Messages as harnesses tell them: ``{info, parts}``."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]


def is_message(value: Any) -> bool:
    """Whether a value has the shape of a message."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("info", {}), dict)
        and isinstance(value.get("parts"), list)
        and all(isinstance(part, dict) for part in value["parts"])
    )


def split_model(model: str) -> dict[str, str]:
    """``a/b`` is provider a, model b; a bare name belongs to litellm."""
    provider, _, name = model.rpartition("/")
    return {"providerID": provider or "litellm", "modelID": name}


def text_of(message: Message) -> str:
    """The text parts of a message, joined."""
    texts = (part.get("text") for part in message["parts"] if part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def is_completed(message: Message) -> bool:
    """Whether the turn that a message answers has ended."""
    time = message.get("info", {}).get("time")
    return isinstance(time, dict) and bool(time.get("completed"))


def error_of(message: Message) -> str | None:
    """What a turn failed with, from ``info.error``; None when it went well."""
    error = message.get("info", {}).get("error")
    if not error:
        return None
    data = error.get("data") if isinstance(error, dict) else None
    detail = data.get("message") if isinstance(data, dict) else None
    return str(detail or (error.get("name") if isinstance(error, dict) else error))
