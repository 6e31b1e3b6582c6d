"""A thread as it is shown: bounded, escaped, what is no text folded away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.utils.safestring import SafeString

from lap.web.live import token_of
from sessions.environment import RUNS_SCRIPTS
from sessions.messages import error_of, is_completed, is_message
from sessions.models import Session
from sessions.prose import Block, blocks, render, split

MESSAGES_LIMIT: Final = 200
PARTS_LIMIT: Final = 100
SHOWN_LIMIT: Final = 6_000
"""Characters of a text that are shown before the rest is folded."""
TEXT_LIMIT: Final = 40_000
"""Characters of a text that are shown at all."""
FOLDED_LIMIT: Final = 10_000
"""Characters that are shown of what a tool was given, or gave."""
THREAD_LIMIT: Final = 600_000
"""Characters of HTML that a thread's messages, the newest first, may come to; each message too."""
TITLE_LIMIT: Final = 120
BOOKKEEPING: Final = frozenset({"step-start", "step-finish", "snapshot", "patch"})
"""Parts that harnesses keep for themselves."""


@dataclass(frozen=True, slots=True)
class Text:
    """``rest`` is folded; ``left_out`` counts the characters that are not shown."""

    start: SafeString
    rest: SafeString
    left_out: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A text of the message, or, with a title, something folded.

    The id changes with what is shown, so that a page may keep the elements it has.
    """

    id: str
    texts: list[Text]
    title: str = ""
    summary: str = ""
    status: str = ""

    @property
    def size(self) -> int:
        return sum(len(text.start) + len(text.rest) for text in self.texts)


@dataclass(frozen=True, slots=True)
class Shown:
    """A message. ``is_pending``: its turn has not ended, as far as it says."""

    role: str
    is_first: bool
    parts: list[Part]
    parts_left_out: int
    at: datetime | None = None
    took: timedelta | None = None
    error: str = ""
    is_pending: bool = False

    @property
    def label(self) -> str:
        if self.role == "user":
            return "Prompt" if self.is_first else "Message"
        return "Answer" if self.role == "assistant" else self.role.capitalize()

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


@dataclass(frozen=True, slots=True)
class ShownThread:
    """The newest messages, oldest first; ``left_out`` counts those before them."""

    messages: list[Shown] = field(default_factory=list)
    left_out: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether anything of it is not shown."""
        return bool(self.left_out) or any(
            message.parts_left_out or any(t.left_out for p in message.parts for t in p.texts)
            for message in self.messages
        )

    @property
    def is_working(self) -> bool:
        """Whether the last turn goes on, or has not begun to be answered."""
        last = self.messages[-1] if self.messages else None
        return last is not None and (last.is_pending or last.role == "user")


def show_thread(session: Session, thread: Sequence[Any]) -> ShownThread:
    """The thread of a session, as stored or as its harness tells it."""
    is_script = session.harness in RUNS_SCRIPTS
    newest: list[Shown] = []
    size = 0
    for index in range(len(thread) - 1, -1, -1):
        message = _message(index, thread[index], is_script)
        size += message.size
        if newest and (size > THREAD_LIMIT or len(newest) == MESSAGES_LIMIT):
            break
        newest.append(message)
    return ShownThread(newest[::-1], len(thread) - len(newest))


def _message(index: int, message: Any, is_script: bool) -> Shown:
    if not is_message(message):
        return Shown("unknown", index == 0, [_folded(f"m{index}", "message", message)], 0)
    info, parts = message.get("info", {}), message["parts"]
    shown, left_out = _parts(index, parts, is_script)
    at, took = _times(info)
    error = (error_of(message) or "")[:SHOWN_LIMIT]
    return Shown(
        str(info.get("role") or "unknown")[:TITLE_LIMIT], index == 0, shown, left_out, at, took,
        error, is_pending=not error and _is_begun(info) and not is_completed(message),
    )  # fmt: skip


def _is_begun(info: dict[str, Any]) -> bool:
    """Whether it is an answer that tells of its times, so that it may be seen to be unfinished."""
    return info.get("role") == "assistant" and isinstance(info.get("time"), dict)


def _parts(index: int, parts: list[Any], is_script: bool) -> tuple[list[Part], int]:
    """The parts that fit, and how many are left out."""
    shown: list[Part] = []
    size = 0
    for place, part in enumerate(parts):
        if size > THREAD_LIMIT or place == PARTS_LIMIT:
            return shown, len(parts) - place
        if found := _part(f"m{index}-{place}", part, is_script):
            size += found.size
            shown.append(found)
    return shown, 0


def _times(info: dict[str, Any]) -> tuple[datetime | None, timedelta | None]:
    time = info.get("time")
    begun, ended = (
        _instant(time.get(name) if isinstance(time, dict) else None)
        for name in ("created", "completed")
    )
    took = ended - begun if begun and ended and info.get("role") == "assistant" else None
    return begun, took


def _instant(milliseconds: Any) -> datetime | None:
    """A harness's clock may say anything; near the ends of the calendar no zone can show it."""
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return at if 2000 <= at.year < 2200 else None


def _part(id_: str, part: dict[str, Any], is_script: bool) -> Part | None:
    kind, text = part.get("type"), part.get("text")
    if kind in BOOKKEEPING:
        return None
    if kind in ("text", "reasoning") and isinstance(text, str):
        title = "Reasoning" if kind == "reasoning" else ""
        return _identified(id_, [_text(text, is_script)], title) if text.strip() else None
    if kind == "tool" and isinstance(part.get("state"), dict):
        return _tool(id_, str(part.get("tool") or "tool"), part["state"])
    return _folded(id_, str(kind or "part"), part)


def _tool(id_: str, name: str, state: dict[str, Any]) -> Part:
    told = [(label, state[label]) for label in ("input", "output", "error") if state.get(label)]
    return _identified(
        id_,
        [_folded_text(value, label.capitalize()) for label, value in told],
        title=name[:TITLE_LIMIT],
        summary=_summary(state),
        status=str(state.get("status") or "")[:TITLE_LIMIT],
    )


def _summary(state: dict[str, Any]) -> str:
    """What a tool says it did, else the first text of what it was given."""
    given = state.get("input")
    values = given.values() if isinstance(given, dict) else ()
    texts: Iterator[Any] = (value for value in (state.get("title"), *values))
    first = next((text for text in texts if isinstance(text, str) and text.strip()), "")
    line = " ".join(first[: TITLE_LIMIT * 2].split())
    return line if len(line) <= TITLE_LIMIT else f"{line[: TITLE_LIMIT - 1]}…"


def _folded(id_: str, title: str, value: Any) -> Part:
    return _identified(id_, [_folded_text(value)], title[:TITLE_LIMIT])


def _folded_text(value: Any, label: str = "") -> Text:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    shown = text[:FOLDED_LIMIT]
    code = render([Block(shown, is_code=True)])
    return Text(code, SafeString(), len(text) - len(shown), label)


def _text(text: str, is_code: bool) -> Text:
    shown = text[:TEXT_LIMIT]
    found = [Block(shown, is_code=True)] if is_code else list(blocks(shown))
    start, rest = split(found, SHOWN_LIMIT)
    return Text(render(start), render(rest), len(text) - len(shown))


def _identified(
    id_: str, texts: list[Text], title: str = "", summary: str = "", status: str = ""
) -> Part:
    return Part(f"{id_}-{token_of(texts, title, summary, status)}", texts, title, summary, status)
