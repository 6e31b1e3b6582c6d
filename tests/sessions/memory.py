"""A sandbox backend that keeps its sandboxes in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sessions.models import Session
from sessions.sandboxes.base import (
    Configuration,
    Report,
    Sandbox,
    SandboxBackend,
    SandboxError,
    SandboxSpec,
    Warmth,
)


def box_of(session: Session, attempt: int = 1, age_seconds: float = 0) -> Sandbox:
    """A running sandbox of an attempt of the session."""
    created_at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    return Sandbox(session.sandbox_of(attempt), session.id, attempt, created_at)


class MemoryBackend(SandboxBackend):
    """Does what it is told at once, but for what ``troubles`` names: those calls raise.

    ``while_listing`` runs after the sandboxes were read and before they are returned.
    """

    def __init__(self, *sandboxes: Sandbox, host: str = "", has_warm_pool: bool = True) -> None:
        self.host = host
        self.has_warm_pool = has_warm_pool
        self.sandboxes = {sandbox.name: sandbox for sandbox in sandboxes}
        self.troubles: dict[str, Exception] = {}
        self.while_listing: Callable[[], Awaitable[None]] | None = None
        self.listings = 0
        self.renewed: list[str] = []
        self.wanted: Sequence[Configuration] | None = None
        self.warmth = Warmth()
        self.stopping = self.most_stopping = 0

    async def create(self, spec: SandboxSpec) -> Sandbox:
        created = Sandbox(spec.name, spec.session_id, spec.attempt, datetime.now(UTC))
        return self.sandboxes.setdefault(spec.name, created)

    async def wait_ready(self, sandbox: Sandbox, report: Report) -> Sandbox:
        return replace(sandbox, url="http://127.0.0.1:1")

    async def list(self) -> list[Sandbox]:
        self.listings += 1
        self._fail("list")
        listed = list(self.sandboxes.values())
        if self.while_listing:
            await self.while_listing()
        return listed

    async def stop(self, name: str) -> None:
        self.stopping += 1
        self.most_stopping = max(self.stopping, self.most_stopping)
        await asyncio.sleep(0)  # lets the others begin, as waiting for a cluster would
        self.stopping -= 1
        self._fail(name)
        self.sandboxes.pop(name, None)

    async def renew(self, names: Collection[str]) -> None:
        self._fail("renew")
        self.renewed += names

    async def keep_warm(self, wanted: Sequence[Configuration]) -> Warmth:
        self._fail("keep_warm")
        self.wanted = wanted
        return self.warmth

    async def logs(self, name: str, limit_bytes: int = 16_384) -> str:
        return ""

    def _fail(self, call: str) -> None:
        if call in self.troubles:
            raise self.troubles[call]


def api_down() -> SandboxError:
    return SandboxError("the API server cannot be reached", kind="api_down")
