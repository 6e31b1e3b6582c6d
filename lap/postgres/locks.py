"""File locks. They end with the last process that holds them, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lap.postgres import waiting
from lap.postgres.errors import PostgresError


def attempt(path: Path) -> int | None:
    """Lock `path` without waiting; return a descriptor to close, or None if it is taken.

    A child that inherits the descriptor holds the lock too: closing ours leaves it locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def held(path: Path, timeout_seconds: float) -> Iterator[int]:
    """Hold the lock on `path`; raise PostgresError if others keep it for too long."""
    descriptor = waiting.until(lambda: attempt(path), timeout_seconds)
    if descriptor is None:
        raise PostgresError(
            f"Another process has held {path} for {timeout_seconds:.0f} seconds. "
            "End that process, then try again."
        )
    try:
        yield descriptor
    finally:
        os.close(descriptor)
