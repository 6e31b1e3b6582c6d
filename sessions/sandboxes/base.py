"""What a place that runs sandboxes must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
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
class Configuration:
    """What every sandbox of an agent needs alike, so that one may be started ahead of its session.

    Secrets stay out of ``repr``.
    """

    agent_id: UUID
    harness_id: str
    harness_image: str = ""
    container_port: int | None = None
    env: Mapping[str, str] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What one attempt of one session needs: its agent's configuration, and what is its own.

    ``env`` is the whole environment. ``is_warm_welcome`` says that a sandbox that was started
    ahead, with its configuration's environment, will do.
    """

    name: str
    session_id: UUID
    attempt: int
    configuration: Configuration
    harness_token: str = field(repr=False, default="")
    env: Mapping[str, str] = field(repr=False, default_factory=dict)
    is_warm_welcome: bool = False


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One sandbox as its backend sees it. ``url`` is empty until the harness has an address.

    A sandbox that was started ahead has the ``harness_token`` that it was started with; an ended
    one tells why in ``ended_because``, and with SandboxError's words in ``ended_kind``, where that
    is known.
    """

    name: str
    session_id: UUID
    attempt: int
    created_at: datetime
    url: str = ""
    is_running: bool = True
    harness_token: str = field(repr=False, default="")
    ended_because: str = ""
    ended_kind: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """The sandboxes that were started ahead for one configuration, counted by state."""

    agent_id: UUID
    provisioning: int = 0
    warm: int = 0
    claimed: int = 0
    dead: int = 0
    oldest_warm_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Warmth:
    """What one pass over the pools found and did."""

    pools: Sequence[Pool] = ()
    provisioned: int = 0
    recycled: int = 0
    orphans_stopped: int = 0
    stale_killed: int = 0


class SandboxBackend(ABC):
    """A place that runs sandboxes.

    Names belong to one session and attempt (``s-<session id>-<attempt>``), so that every call
    may be repeated, by another worker too. Use it as ``async with``, on one event loop.
    """

    host: str = ""
    """Where its sandboxes can be reached from: empty means from any worker."""

    has_warm_pool: bool = False
    """Whether it can start sandboxes ahead of their sessions."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:  # noqa: B027 (nothing to do for some)
        """Let go of connections and watches; sandboxes go on."""

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

    async def check(self) -> None:
        """See whether the backend answers. Raises SandboxError when it does not."""
        await self.list()

    async def find(self, name: str) -> Sandbox | None:
        """One sandbox as it is now, also an ended one. Raises SandboxError."""
        return next((sandbox for sandbox in await self.list() if sandbox.name == name), None)

    async def renew(self, names: Collection[str]) -> None:  # noqa: B027
        """Say that these sandboxes are still wanted, where unwanted ones end by themselves."""

    async def keep_warm(self, wanted: Sequence[Configuration]) -> Warmth:
        """Have sandboxes started ahead for these configurations, and for no others."""
        return Warmth()

    @abstractmethod
    async def logs(self, name: str, limit_bytes: int = 16_384) -> str:
        """The tail of the sandbox's own output; empty when there is none."""
