"""A worker's lease: it is live while its heartbeat arrives in time."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from django.conf import settings
from django.db import Error, close_old_connections, connections

from lap.core.clock import DatabaseClock
from sessions.models import Worker

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 4


def register(host: str) -> Worker:
    """Write this process's worker row, live from now on."""
    worker = Worker(
        host=host,
        pid=os.getpid(),
        version=settings.LAP_VERSION,
        backend=settings.LAP_SANDBOX_BACKEND,
    )
    worker.expires_at = DatabaseClock() + timedelta(seconds=settings.LAP_LEASE_SECONDS)
    worker.save(force_insert=True)
    return worker


def report(worker: Worker, counters: Mapping[str, int]) -> None:
    """Keep the worker's counters where operators see them."""
    Worker.objects.filter(id=worker.id).update(counters=dict(counters))


def sign_off(worker: Worker) -> None:
    """Say that the worker has left: nobody has to wait for its lease to run out."""
    Worker.objects.filter(id=worker.id, ended_at=None).update(ended_at=DatabaseClock())


class Heartbeat:
    """Renews the lease from a thread of its own, as long as the event loop turns.

    A stalled loop cannot carry its sessions, so its lease is left to run out. When a renewal
    finds the lease gone, others may already hold the sessions: ``on_lost`` must end the process.
    """

    def __init__(self, worker: Worker, on_lost: Callable[[], None]) -> None:
        self._worker = worker
        self._on_lost = on_lost
        self._lease = timedelta(seconds=settings.LAP_LEASE_SECONDS)
        self._pulse = time.monotonic()
        self._renewed_at = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_fresh(self) -> bool:
        """Whether the database has renewed the lease within half its length."""
        return time.monotonic() - self._renewed_at < self._lease.total_seconds() / 2

    async def turn(self) -> None:
        """Shows the thread that the event loop still turns; runs until cancelled."""
        while True:
            self._pulse = time.monotonic()
            await asyncio.sleep(self._interval)

    @property
    def _interval(self) -> float:
        return self._lease.total_seconds() / BEATS_PER_LEASE

    def _beat(self) -> None:
        while not self._stopped.wait(self._interval):
            if time.monotonic() - self._pulse > self._lease.total_seconds() / 2:
                log.error("the event loop stalls; the lease is not renewed")
                continue
            if not self._renewed():
                self._on_lost()
                return
        connections.close_all()

    def _renewed(self) -> bool:
        """False only when the database says so: an unreachable one decides nothing."""
        close_old_connections()
        try:
            is_renewed = Worker.objects.renew(self._worker.id, self._lease)
        except Error as error:
            log.warning("the lease could not be renewed: %s", error)
            return True
        self._renewed_at = time.monotonic()
        return is_renewed
