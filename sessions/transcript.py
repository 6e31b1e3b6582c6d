"""Tells a thread again, as the first message of a restarted session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

LIMIT: Final = 100_000
"""Characters of the transcript; of a longer thread the end is told."""
_OPENING: Final = "This session was restarted in a new sandbox. What was said before:"


def transcript(thread: Sequence[Any]) -> str:
    """The thread as text, ``role: text`` by message; what is no text is named by its type."""
    told = "\n\n".join(_message(message) for message in thread)
    cut = told if len(told) <= LIMIT else f"…{told[-LIMIT:]}"
    return f"{_OPENING}\n\n{cut}"


def as_comment(text: str) -> str:
    """The text for a harness whose messages are scripts: told, and not run a second time."""
    return "".join(f"# {line}\n" for line in text.splitlines())


def _message(message: Any) -> str:
    role = message.get("info", {}).get("role", "unknown")
    return f"{role}: {' '.join(_parts(message))}"


def _parts(message: Any) -> Iterator[str]:
    for part in message["parts"]:
        text = part.get("text")
        yield text if isinstance(text, str) else f"[{part.get('type')}]"
