"""What a sandbox says, kept within bounds."""

from __future__ import annotations

import os
from pathlib import Path

CHUNK_BYTES = 65_536


class BoundedLog:
    """A log in two files of half the size: the older one is dropped when the newer is full."""

    def __init__(self, path: Path, old: Path, limit_bytes: int) -> None:
        self._path, self._old, self._half = path, old, limit_bytes // 2
        self.descriptor = self._open()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    def write(self, data: bytes) -> None:
        """Append; a full disk loses output, never the sandbox."""
        try:
            if os.fstat(self.descriptor).st_size + len(data) > self._half:
                self._turn()
            os.write(self.descriptor, data)
        except OSError:
            return

    def _turn(self) -> None:
        self._path.rename(self._old)
        fresh = self._open()
        os.dup2(fresh, self.descriptor, inheritable=False)
        os.close(fresh)


def pump(output: int, log: BoundedLog) -> bool:
    """Copy what is there to be read into the log; false at the end of the output."""
    try:
        data = os.read(output, CHUNK_BYTES)
    except BlockingIOError:
        return True
    log.write(data)
    return bool(data)


def tail(path: Path, old: Path, limit_bytes: int) -> str:
    """The last bytes of a log as text."""
    newer = _last(path, limit_bytes)
    older = _last(old, limit_bytes - len(newer)) if len(newer) < limit_bytes else b""
    return (older + newer).decode(errors="replace")


def _last(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit_bytes))
            return file.read(limit_bytes)
    except OSError:
        return b""
