"""The one exception of this package."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TAIL_LINES = 15


class PostgresError(Exception):
    """The embedded PostgreSQL cannot do what was asked; says why and what to do about it."""


def with_tail(sentence: str, log: Path) -> str:
    """Return `sentence` followed by the last lines of the server's log, if there are any."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return sentence
    return "\n  ".join([f"{sentence} The end of {log}:", *lines]) if lines else sentence


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn errors of the operating system into PostgresError."""
    try:
        yield
    except OSError as error:
        raise PostgresError(f"PostgreSQL cannot be {doing}: {error}.") from error
