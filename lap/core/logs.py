"""How log lines look: readable, or JSON. Both name the run that a line is about."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_RUN_FIELDS = ("agent", "agent_name", "session", "scheduled_for")
_run: ContextVar[dict[str, Any] | None] = ContextVar("run", default=None)


@contextmanager
def about_run(
    *, agent: UUID, agent_name: str, session: UUID, scheduled_for: datetime | None
) -> Iterator[None]:
    """Every line logged inside is about this run, whoever logs it.

    Tasks and DatabaseThreads that are started inside inherit it.
    """
    run = {
        "agent": agent,
        "agent_name": agent_name,
        "session": session,
        "scheduled_for": scheduled_for,
    }
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)


class RunFilter(logging.Filter):
    """Gives records the fields of the run they are about, where they do not bring their own."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in (_run.get() or {}).items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class LineFormatter(logging.Formatter):
    """``12:00:00.123 INFO  bringup  message  agent=… session=…``; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        area = record.name.rpartition(".")[2]
        message = _CONTROL.sub(_escape, record.getMessage())
        line = f"{moment} {record.levelname:<7} {area:<10} {message}{_about(record)}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII: nothing in it can break the line or move a cursor."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: _iso(value) for name, value in _run_of(record).items()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _iso(value: Any) -> str:
    """Instants with milliseconds and ``Z``; everything else as it shows itself."""
    if not isinstance(value, datetime):
        return str(value)
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _escape(match: re.Match[str]) -> str:
    """What a script prints must not move the cursor of whoever reads the log."""
    return ascii(match.group())[1:-1]


def _about(record: logging.LogRecord) -> str:
    """The run in short: the agent's name, the start of the session's id, the minute."""
    run = _run_of(record)
    agent = run.get("agent_name") or run.get("agent")
    session = str(run.get("session", ""))[:8]
    instant = run.get("scheduled_for")
    minute = instant.strftime("%Y-%m-%dT%H:%MZ") if instant else None
    pairs = (("agent", agent), ("session", session), ("scheduled_for", minute))
    words = [f"{name}={_CONTROL.sub(_escape, str(value))}" for name, value in pairs if value]
    return f"  [{' '.join(words)}]" if words else ""


def _run_of(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name in _RUN_FIELDS if (value := getattr(record, name, None))}
