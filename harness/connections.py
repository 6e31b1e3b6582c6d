"""How many callers at once, and how long a stranger may take to show the token."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

CONNECTIONS_LIMIT = 64
STRANGER_SECONDS = 10.0


class Connections:
    """The open connections. A slow or silent stranger cannot keep the places taken."""

    def __init__(
        self, limit: int = CONNECTIONS_LIMIT, stranger_seconds: float = STRANGER_SECONDS
    ) -> None:
        self._limit = limit
        self._stranger_seconds = stranger_seconds
        self._changed = threading.Condition()
        self._strangers_until: dict[socket.socket, float] = {}
        self._known: set[socket.socket] = set()

    def admit(self, connection: socket.socket) -> bool:
        """Take a place; False when there is none."""
        with self._changed:
            if len(self._strangers_until) + len(self._known) >= self._limit:
                return False
            self._strangers_until[connection] = time.monotonic() + self._stranger_seconds
        return True

    def trust(self, connection: socket.socket) -> None:
        """It has shown the token: it may stay."""
        with self._changed:
            if self._strangers_until.pop(connection, None) is not None:
                self._known.add(connection)

    def release(self, connection: socket.socket) -> None:
        """Give the place back, if it had one."""
        with self._changed:
            self._strangers_until.pop(connection, None)
            self._known.discard(connection)
            self._changed.notify_all()

    def end_strangers(self) -> None:
        """Cut off those who have not shown the token in time."""
        with self._changed:
            now = time.monotonic()
            for connection, until in self._strangers_until.items():
                if until <= now:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)

    def wait_until_none(self, seconds: float) -> bool:
        """Wait until all have gone; False when the time ran out first."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._known or self._strangers_until), seconds
            )
