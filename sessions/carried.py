"""A session in a worker's hands: what every step of carrying it uses."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx

from lap.core.text import storable
from lap.core.threads import DatabaseThreads
from sessions.harness_client import Harness
from sessions.holding import Hold, SessionLost
from sessions.models import Session, Status
from sessions.sandboxes.base import SandboxBackend

log = logging.getLogger(__name__)


class RunFailed(Exception):
    """The session ends as ``failed``, with a sentence for the user and a word for statistics."""

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Tools:
    """What all sessions of a worker share."""

    backend: SandboxBackend
    database: DatabaseThreads
    http: httpx.AsyncClient


class Carried:
    """One session, its hold and its worker's tools. Every write is guarded by the hold."""

    def __init__(self, session: Session, worker_id: UUID, tools: Tools) -> None:
        self.session = session
        self.tools = tools
        self._hold = Hold(worker_id, session.id, session.attempt)
        self._loaded_at = time.monotonic()

    async def write(self, **columns: Any) -> None:
        """Write in the status that we know, then take over the new values.

        Raises SessionLost when the session is no longer held in that status.
        """
        stored = {name: storable(value) for name, value in columns.items()}
        await self.tools.database(self._hold.write, self.session.status, **stored)
        for name, value in stored.items():
            setattr(self.session, name, value)
        self._hold = replace(self._hold, attempt=self.session.attempt)

    async def report(self, phase: str, detail: str) -> None:
        """Show the user how far the bring-up is."""
        await self.write(phase=phase, phase_detail=detail[:500])
        self.log(logging.INFO, "%s", f"{phase.replace('_', ' ')} {detail}".rstrip())

    async def reload(self) -> None:
        """Read the session anew. Raises SessionLost when somebody else has it."""
        current = await self.tools.database(self._hold.read)
        if current is None:
            raise SessionLost(self.session.id)
        self.session = current
        self._loaded_at = time.monotonic()

    @property
    def harness(self) -> Harness:
        return Harness(self.tools.http, self.session.sandbox_url, self.session.harness_token)

    @property
    def is_here(self) -> bool:
        """Whether this worker reaches the session's sandbox."""
        return self.session.sandbox_host == self.tools.backend.host

    def require_host(self) -> None:
        """Raises RunFailed when a harness that was told the prompt is out of reach for good."""
        if self.session.status == Status.READY and not self.is_here:
            raise RunFailed(f"its machine was lost: {self.session.sandbox_host}", "host_lost")

    @property
    def age_seconds(self) -> float:
        """Since the attempt's first claim.

        The database measured the session's age when it was loaded; from then on our own monotonic
        clock measures.
        """
        return self.session.age.total_seconds() + time.monotonic() - self._loaded_at

    def seconds_left(self, limit: float | None) -> float | None:
        """What is left of a limit that counts from the first claim."""
        return None if limit is None else limit - self.age_seconds

    def log(self, level: int, message: str, *arguments: object) -> None:
        log.log(level, message, *arguments)
