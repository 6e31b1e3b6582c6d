"""The worker's own HTTP server. It lives in the worker's event loop: if that stalls, it does."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from django.conf import settings

from lap.core.probes import Probes
from lap.core.threads import DatabaseThreads
from sessions.figures import exposition
from sessions.lease import Heartbeat

STALLED_SECONDS: Final = 120.0
"""More than the longest tick: its statements have time limits."""


class PortUnavailable(Exception):
    """Nothing can listen where the probes should; the sentence says what to change."""


class WorkerCondition:
    """What the probes judge by; the worker says where it is.

    A database that is away makes the worker unready, never dead: a restart would not help.
    """

    def __init__(self, tick_seconds: float, leaving: asyncio.Event) -> None:
        self._longest_turn = tick_seconds + STALLED_SECONDS
        self._leaving = leaving
        self._heartbeat: Heartbeat | None = None
        self._waits_for = "not registered yet"

    def waiting(self, reason: str) -> None:
        """The worker cannot begin yet, which a restart would not change."""
        self._waits_for = reason

    def registered(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self.ticking()

    def ticking(self) -> None:
        self._ticked_at = time.monotonic()

    async def alive(self) -> str:
        if self._leaving.is_set() or self._heartbeat is None:
            return ""
        if not self._heartbeat.is_alive:
            return "the heartbeat has stopped"
        silence = time.monotonic() - self._ticked_at
        if silence > self._longest_turn:
            return f"the schedules have not been looked at for {silence:.0f} s"
        return ""

    async def ready(self) -> str:
        if self._leaving.is_set():
            return "draining"
        if self._heartbeat is None:
            return self._waits_for
        if not self._heartbeat.is_fresh:
            return "the database does not renew the lease"
        return ""


@asynccontextmanager
async def probes_of(condition: WorkerCondition) -> AsyncIterator[None]:
    """Answers on ``LAP_WORKER_PORT`` while the block runs; 0 is for no server.

    Raises PortUnavailable when it cannot be had.
    """
    if not settings.LAP_WORKER_PORT:
        yield
        return
    from scheduler.quiet_server import QuietServer

    database = DatabaseThreads("probe", 1)
    application = Probes(
        alive=condition.alive, ready=condition.ready, metrics=partial(exposition, database)
    )
    server = QuietServer(application)
    serving = asyncio.create_task(server.serve([_listening_socket()]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        await asyncio.to_thread(database.close)


def _listening_socket() -> socket.socket:
    address = (settings.LAP_WORKER_HOST, settings.LAP_WORKER_PORT)
    try:
        return socket.create_server(address)
    except OSError as error:
        raise PortUnavailable(
            f"nothing can listen on {address[0]} port {address[1]}: {error.strerror}."
            " Choose another LAP_WORKER_PORT, or 0 for no probes."
        ) from None
