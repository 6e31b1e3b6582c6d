"""How log lines look: one short readable line, with the run it is about."""

import logging
import re
from datetime import UTC, datetime
from typing import Any

_FIELDS = ("agent", "session", "scheduled_for")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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


def _escape(match: re.Match[str]) -> str:
    """What a script prints must not move the cursor of whoever reads the log."""
    return ascii(match.group())[1:-1]


def _about(record: logging.LogRecord) -> str:
    pairs = ((name, getattr(record, name, None)) for name in _FIELDS)
    words = [f"{name}={_CONTROL.sub(_escape, _short(value))}" for name, value in pairs if value]
    return f"  [{' '.join(words)}]" if words else ""


def _short(value: Any) -> str:
    return value.strftime("%Y-%m-%dT%H:%MZ") if isinstance(value, datetime) else str(value)
