"""What ``POST /session`` asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.errors import bad_request
from harness.files import parse_files
from harness.messages import clean_text


@dataclass(frozen=True)
class Opening:
    """A checked request for a session. ``environment`` is what only this session's turns see."""

    title: str
    prompt: str | None
    platform_id: str | None
    files: list[tuple[list[str], str]]
    environment: dict[str, str] = field(repr=False)


def parse_opening(body: dict[str, Any]) -> Opening:
    """Check the body; raises a 400 that says what is wrong."""
    return Opening(
        title=_optional_text(body, "title") or "default",
        prompt=_optional_text(body, "prompt"),
        platform_id=_optional_text(body, "platform_session_id"),
        files=parse_files(body.get("files")),
        environment=_environment(body),
    )


def _environment(body: dict[str, Any]) -> dict[str, str]:
    """Whose session it is: a harness that was started ahead of it has no such variables."""
    callback = body.get("callback") or {}
    if not isinstance(callback, dict):
        raise bad_request("callback must be an object {url, token}")
    told = {
        "SESSION_ID": _optional_text(body, "platform_session_id"),
        "HARNESS_PROGRESS_TOKEN": _optional_text(callback, "token"),
    }
    return {name: value for name, value in told.items() if value}


def _optional_text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if not (value is None or isinstance(value, str)):
        raise bad_request(f"{name} must be a text")
    return clean_text(value) if value else None
