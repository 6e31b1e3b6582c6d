"""Brings sandboxes and rows back together: one pass after the other, by whichever worker.

Sandboxes are listed before rows are read, so that one that a row owns by then is never taken for
an orphan. When the listing fails the pass is given up: an API failure says nothing about any
session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final
from uuid import UUID

from django.conf import settings

from lap.core import metrics
from lap.core.errors import is_away
from lap.core.threads import DatabaseThreads
from sessions import duties, warming
from sessions.owning import Ownership, compare, end_ghosts
from sessions.sandboxes.base import SandboxBackend, SandboxError
from sessions.sweeps import stop_idle, stop_stuck, stop_timed_out, wipe_secrets

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 300.0
"""A pass is another worker's after so long; each of its four calls to the backend takes less."""
CALL_SECONDS: Final = 60.0
STOPS_AT_ONCE: Final = 10

ROW_SWEEPS: Final[dict[str, Callable[[], int]]] = {
    "timed_out": stop_timed_out,
    "failed_creating": stop_stuck,
    "idle_killed": stop_idle,
    "secrets_wiped": wipe_secrets,
}


@dataclass(slots=True)
class ReconcileResult:
    """What passes found and did, by the names that heartbeat and metrics use."""

    inspected: int = 0
    stopped: int = 0
    failed_creating: int = 0
    timed_out: int = 0
    idle_killed: int = 0
    ghost_killed: int = 0
    secrets_wiped: int = 0
    warm_orphans_stopped: int = 0
    warm_stale_killed: int = 0
    warm_provisioned: int = 0
    warm_recycled: int = 0
    reconcile_errors: int = 0

    def add(self, other: ReconcileResult) -> None:
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


class Reconciler:
    """One worker's part in the passes. ``counts`` is what its own ones came to."""

    def __init__(self, worker_id: UUID, backend: SandboxBackend, database: DatabaseThreads) -> None:
        self._worker_id = worker_id
        self._backend = backend
        self._database = database
        self._duty = f"reconcile {backend.host}".strip()
        self.counts = ReconcileResult()

    async def turn(self) -> float:
        """Do the pass if it is due and nobody does it; the seconds until it is worth another look.

        These are at most the interval: whoever does the pass now may die over it.
        """
        interval = settings.LAP_RECONCILE_SECONDS
        if await self._database(duties.take, self._duty, self._worker_id, LEASE_SECONDS):
            try:
                await self._pass()
            finally:
                await self._database(duties.rest, self._duty, self._worker_id, interval)
        return min(interval, await self._database(duties.seconds_left, self._duty))

    async def _pass(self) -> None:
        done = await reconcile(self._backend, self._database, self._worker_id)
        self.counts.add(done)
        for what, count in asdict(done).items():
            metrics.reconciled.labels(what).inc(count)
        log.debug("reconcile %s", asdict(done))


async def reconcile(
    backend: SandboxBackend, database: DatabaseThreads, worker_id: UUID
) -> ReconcileResult:
    """One pass. Raises the database's errors when it is away."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            sandboxes = await backend.list()
    except (SandboxError, TimeoutError) as error:
        log.warning("reconcile gave up, the listing failed: %s", _words(error))
        return ReconcileResult(reconcile_errors=1)
    found = await database(compare, sandboxes)
    done = ReconcileResult(inspected=len(sandboxes))
    await _Pass(backend, database, worker_id, found, done).run()
    return done


@dataclass(frozen=True, slots=True)
class _Pass:
    """The sweeps after a listing: each is guarded, so that one that fails keeps none from going."""

    backend: SandboxBackend
    database: DatabaseThreads
    worker_id: UUID
    found: Ownership
    done: ReconcileResult

    async def run(self) -> None:
        """The rows first; ending sandboxes may take long and comes last."""
        ghosts = partial(end_ghosts, self.found.owned, self.backend.host)
        sweeps: dict[str, Callable[[], int]] = {"ghost_killed": ghosts, **ROW_SWEEPS}
        for what, sweep in sweeps.items():
            async with self._guarded(what):
                setattr(self.done, what, await self.database(sweep))
        async with self._guarded("renewing sandboxes"):
            await self.backend.renew([box.name for box in self.found.owned if box.is_running])
        async with self._guarded("keeping sandboxes warm"):
            await self._keep_warm()
        async with self._guarded("stopping orphans"):
            await self._stop_orphans()

    @asynccontextmanager
    async def _guarded(self, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                yield
        except (SandboxError, TimeoutError) as error:
            log.warning("reconcile: %s failed: %s", what, _words(error))
            self.done.reconcile_errors += 1
        except Exception as error:
            if is_away(error):
                raise
            log.exception("reconcile: %s failed", what)
            self.done.reconcile_errors += 1

    async def _keep_warm(self) -> None:
        if not self.backend.has_warm_pool:
            return
        warmth = await self.backend.keep_warm(await self.database(warming.wanted))
        self.done.warm_provisioned = warmth.provisioned
        self.done.warm_recycled = warmth.recycled
        self.done.warm_stale_killed = warmth.stale_killed
        self.done.warm_orphans_stopped = warmth.orphans_stopped
        await self.database(warming.report, self.worker_id, warmth.pools)

    async def _stop_orphans(self) -> None:
        """A few at a time: an outage may have left many, and each takes its time to end."""
        room = asyncio.Semaphore(STOPS_AT_ONCE)
        await asyncio.gather(*(self._stop(box.name, room) for box in self.found.orphans))

    async def _stop(self, name: str, room: asyncio.Semaphore) -> None:
        async with room:
            try:
                await self.backend.stop(name)
            except SandboxError as error:
                log.warning("orphaned sandbox %s does not end: %s", name, error)
                self.done.reconcile_errors += 1
                return
        log.info("stopped orphaned sandbox %s", name)
        self.done.stopped += 1


def _words(error: Exception) -> str:
    return str(error) or f"it took longer than {CALL_SECONDS:g} s"
