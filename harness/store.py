"""All sessions of this harness, in memory: they end with the sandbox."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from harness.errors import HttpError, not_found
from harness.files import write_files
from harness.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from harness.engines.base import Engine
    from harness.events import Hub
    from harness.opening import Opening

SESSIONS_LIMIT = 32
END_SECONDS = 4.0


class Store:
    """Creates, finds and ends sessions."""

    def __init__(self, engine: Engine, hub: Hub, workdir: Path) -> None:
        self._engine = engine
        self._hub = hub
        self._workdir = workdir
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._by_platform_id: dict[str, Session] = {}
        self._closed = False

    def create(self, opening: Opening) -> Session:
        """Open a session and write its files; the same platform id gets the same session.

        A caller that lost the answer asks again: neither a second session nor a second writing
        of files over what a turn has changed since. One that took the session over brings a
        callback token of its own, which the next turns are told.
        """
        with self._lock:
            known = self._by_platform_id.get(opening.platform_id or "")
            if known:
                known.environment = {**known.environment, **opening.environment}
                return known
            self._refuse()
            write_files(self._workdir, opening.files)
            session = Session(self._engine, self._hub, opening)
            self._sessions[session.id] = session
            if opening.platform_id:
                self._by_platform_id[opening.platform_id] = session
        self._hub.publish("session.created", {"info": session.as_dict()})
        return session

    def get(self, session_id: str) -> Session:
        """Raises the protocol's 404."""
        session = self._sessions.get(session_id)
        if session is None:
            raise not_found()
        return session

    def list(self) -> list[dict[str, Any]]:
        """Every session, oldest first."""
        with self._lock:
            return [session.as_dict() for session in self._sessions.values()]

    def delete(self, session_id: str) -> None:
        """End a session's turns and forget it."""
        with self._lock:
            session = self.get(session_id)
            del self._sessions[session_id]
            for platform_id in [k for k, v in self._by_platform_id.items() if v is session]:
                del self._by_platform_id[platform_id]
        session.close("the session was deleted", END_SECONDS)
        self._hub.publish("session.deleted", {"info": session.as_dict()})

    def close(self, seconds: float) -> bool:
        """End every turn; False when one did not end in time."""
        with self._lock:
            self._closed = True
            sessions = list(self._sessions.values())
        for session in sessions:
            session.close("the harness was stopped", 0)
        deadline = time.monotonic() + seconds
        return all(
            session.abort("the harness was stopped", max(0.0, deadline - time.monotonic()))
            for session in sessions
        )

    def _refuse(self) -> None:
        if self._closed:
            raise HttpError(503, "shutting down")
        if len(self._sessions) >= SESSIONS_LIMIT:
            raise HttpError(409, "too many sessions")
