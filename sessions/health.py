"""The sandbox backend's health: every worker looks for itself and writes what it saw to its row.

The web process never touches a backend; it answers from the rows of live workers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db.models import F

from lap.core.clock import DatabaseClock
from lap.core.text import storable
from sessions.models import Worker
from sessions.sandboxes.base import SandboxBackend, SandboxError

log = logging.getLogger(__name__)

ERROR_LIMIT = 1000
NO_WORKER = "no worker is running; start one with manage.py run_cron_worker"
NOT_CHECKED = "the worker has just started and has not checked its backend yet; ask again"


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the backend: how long it took, and why it failed (empty if it did not)."""

    elapsed_ms: float
    error: str


async def check_backend(backend: SandboxBackend) -> Check:
    """Ask the backend, by the monotonic clock, for at most ``LAP_BACKEND_CHECK_SECONDS``."""
    begun = time.monotonic()
    error = await _error_of(backend)
    return Check(round((time.monotonic() - begun) * 1000, 3), error)


async def _error_of(backend: SandboxBackend) -> str:
    seconds = settings.LAP_BACKEND_CHECK_SECONDS
    try:
        async with asyncio.timeout(seconds):
            await backend.check()
    except TimeoutError:
        return f"the backend did not answer within {seconds:g} s"
    except SandboxError as error:
        return str(error) or error.kind
    except Exception as error:
        log.exception("the backend cannot be checked")
        return f"{type(error).__name__}: {error}"
    return ""


def write_check(worker_id: UUID, check: Check) -> None:
    """Keep what a worker saw, at the database's time, where the web process finds it."""
    Worker.objects.filter(id=worker_id).update(
        backend=settings.LAP_SANDBOX_BACKEND,
        backend_error=storable(check.error)[:ERROR_LIMIT],
        backend_elapsed_ms=check.elapsed_ms,
        backend_checked_at=DatabaseClock(),
    )


@dataclass(frozen=True, slots=True)
class Health:
    """The newest check of a live worker; ``error`` is empty when all is well."""

    error: str
    worker: Worker | None = None


def backend_health() -> Health:
    """What the live workers last saw. One statement."""
    newest_first = F("backend_checked_at").desc(nulls_last=True)
    worker = Worker.objects.live().order_by(newest_first, "id").first()
    if worker is None:
        return Health(NO_WORKER)
    if worker.backend_checked_at is None:
        return Health(NOT_CHECKED, worker)
    return Health(worker.backend_error, worker)
