"""How far a session has come, as steps with the times that are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sessions.models import Session, Status
from sessions.querysets import FINAL

WORDS: Final = {
    "created": ("Created", "Created"),
    "claimed": ("Picked up by a worker", "Waiting for a worker"),
    "creating_sandbox": ("Sandbox created", "Creating the sandbox"),
    "pod_pending": ("Pod scheduled", "Waiting for a place for the pod"),
    "pod_running": ("Pod started", "Starting the pod"),
    "cloning_repo": ("Repository cloned", "Cloning the repository"),
    "installing_deps": ("Dependencies installed", "Installing dependencies"),
    "harness_listening": ("Harness listening", "Harness listening"),
    "waiting_harness": ("Harness started", "Waiting for the harness"),
    "harness_ready": ("Harness session opened", "Opening a session in the harness"),
    "ready": ("Ready", "Ready"),
    "sent": ("Prompt sent", "Sending the prompt"),
    "answered": ("Answered", "Waiting for the answer"),
    "open": ("Open for messages", "Open for messages"),
    "ended": ("Ended", "Ending"),
}
"""What a step is called when it is over, and while it goes on."""

_ALWAYS: Final = ("creating_sandbox", "waiting_harness", "harness_ready")
_BRING_UP: Final = (
    "creating_sandbox", "pod_pending", "pod_running", "cloning_repo", "installing_deps",
    "harness_listening", "waiting_harness", "harness_ready",
)  # fmt: skip
"""The row keeps only the latest: phases that not every sandbox has are shown while they last."""


class Mark(StrEnum):
    DONE = "done"
    NOW = "now"
    BROKEN_OFF = "broken off"
    LATER = "to come"


@dataclass(frozen=True, slots=True)
class Step:
    mark: Mark
    words: str
    at: datetime | None = None
    detail: str = ""


def doing(session: Session) -> str:
    """What a session that is being brought up is doing, in words; empty for any other."""
    if session.status != Status.CREATING:
        return ""
    if session.phase == "retrying":
        return "Trying again"
    return WORDS[session.phase][1] if session.phase in _BRING_UP else ""


def steps(session: Session) -> list[Step]:
    """From creation to end. Of one that ended early, the steps that it never came to are left out.

    The times of the bring-up's phases are not kept, so that only those of the others are told.
    """
    path = _path(session)
    at = path.index(_latest(session))
    if session.status in (Status.STOPPING, *FINAL):
        return [*_cut_short(session, path[: at + 1])]
    marks = [Mark.DONE] * at + [Mark.NOW] + [Mark.LATER] * (len(path) - at - 1)
    return [_step(session, name, mark) for name, mark in zip(path, marks, strict=True)]


def _cut_short(session: Session, path: list[str]) -> Iterator[Step]:
    *before, latest = path
    yield from (_step(session, name, Mark.DONE) for name in before)
    if latest != "ended":
        yield _step(session, latest, Mark.DONE if latest == "open" else Mark.BROKEN_OFF)
    yield _step(session, "ended", Mark.DONE if session.status in FINAL else Mark.NOW)


def _path(session: Session) -> list[str]:
    """The names of the steps; those of a bring-up that is over are not worth a line each."""
    shown = () if _is_up(session) else (*_ALWAYS, session.phase)
    bring_up = [name for name in _BRING_UP if name in shown]
    prompt = ["sent", "answered"] if session.has_first_message else []
    conversation = [] if session.is_run else ["open"]
    return ["created", "claimed", *bring_up, "ready", *prompt, *conversation, "ended"]


def _latest(session: Session) -> str:
    """The step that goes on, or that went on when the session was asked to end."""
    if not _is_up(session):
        if session.started_at is None:
            return "claimed"
        return session.phase if session.phase in _BRING_UP else "creating_sandbox"
    if session.has_first_message and session.prompt_sent_at is None:
        return "sent"
    if session.has_first_message and session.prompt_answered_at is None:
        return "answered"
    return "ended" if session.is_run else "open"


def _is_up(session: Session) -> bool:
    return session.phase == "ready" or session.status in (Status.READY, Status.COMPLETED)


def _step(session: Session, name: str, mark: Mark) -> Step:
    times = {
        "created": session.created_at,
        "claimed": session.started_at,
        "sent": session.prompt_sent_at,
        "answered": session.prompt_answered_at,
        "ended": session.stopped_at,
    }
    done, going_on = WORDS[name]
    is_over = mark in (Mark.DONE, Mark.LATER)
    return Step(mark, done if is_over else going_on, times.get(name), _detail(session, mark))


def _detail(session: Session, mark: Mark) -> str:
    """What the phase says of itself, and that it is not the first try."""
    if mark is not Mark.NOW or session.status != Status.CREATING or not session.phase_detail:
        return ""
    again = "trying again after: " if session.phase == "retrying" else ""
    return f"{again}{session.phase_detail}"
