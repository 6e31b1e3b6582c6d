"""What a place that runs sandboxes must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

Report = Callable[[str, str], Awaitable[None]]
"""Told the phase and a detail for the user, whenever bring-up moves on."""


class SandboxError(Exception):
    """A sandbox could not be had, with a sentence for the user.

    ``permanent`` says that trying again cannot help. ``kind`` is a short, stable word for
    statistics, e.g. ``harness_not_installed``.
    """

    def __init__(self, message: str, *, kind: str, permanent: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What one attempt of one session needs. Secrets stay out of ``repr``."""

    name: str
    session_id: UUID
    agent_id: UUID
    attempt: int
    harness_id: str
    harness_image: str = ""
    container_port: int | None = None
    harness_token: str = field(repr=False, default="")
    env: Mapping[str, str] = field(repr=False, default_factory=dict)
    files: Mapping[str, str] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One sandbox as its backend sees it. ``url`` is empty until the harness has an address."""

    name: str
    session_id: UUID
    attempt: int
    created_at: datetime
    url: str = ""
    is_running: bool = True


class SandboxBackend(ABC):
    """A place that runs sandboxes.

    Names belong to one session and attempt (``s-<session id>-<attempt>``), so that every call
    may be repeated, by another worker too.
    """

    host: str = ""
    """Where its sandboxes can be reached from: empty means from any worker."""

    @abstractmethod
    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Start the sandbox, or adopt the one that already has this name. Raises SandboxError."""

    @abstractmethod
    async def wait_ready(self, sandbox: Sandbox, report: Report) -> Sandbox:
        """Wait until the sandbox has an address; the harness is not probed. Raises SandboxError."""

    @abstractmethod
    async def stop(self, name: str) -> None:
        """End the sandbox and everything it started; returns when they are gone. Idempotent."""

    @abstractmethod
    async def list(self) -> list[Sandbox]:
        """Every sandbox of this installation that still takes up room, also ended ones."""

    @abstractmethod
    async def logs(self, name: str, limit_bytes: int = 16_384) -> str:
        """The tail of the sandbox's own output; empty when there is none."""
