"""Listens for NOTIFY on a connection and thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, connections

from lap.core.notify import CHANNEL, notify_workers

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
RECONNECT_SECONDS = 1.0
SILENT_SECONDS = 5.0


class Listener:
    """Calls ``wake`` in the event loop after each NOTIFY, and after each reconnect.

    ``is_connected`` is believed only once a NOTIFY of our own has come around: behind a
    transaction-mode pooler LISTEN succeeds, and nothing ever arrives. While it is false,
    notifications are lost and the worker has to poll.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self.is_connected = False
        self._has_warned = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except (psycopg.Error, DatabaseError) as error:
                log.warning("not listening, polling instead: %s", error)
            finally:
                self.is_connected = False
                connections.close_all()
                self._wake_loop()
            self._stopped.wait(RECONNECT_SECONDS)

    def _listen(self) -> None:
        options: dict[str, Any] = settings.LAP_CONNECTION_OPTIONS
        url = settings.LAP_LISTEN_DATABASE_URL
        with psycopg.connect(url, autocommit=True, **options) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            notify_workers()
            begun = time.monotonic()
            while not self._stopped.is_set():
                if list(connection.notifies(timeout=CHECK_SECONDS, stop_after=1)):
                    self.is_connected = True
                    self._wake_loop()
                elif time.monotonic() - begun > SILENT_SECONDS:
                    self._warn_of_silence()

    def _warn_of_silence(self) -> None:
        """Once: it is a matter of configuration, and the worker polls meanwhile."""
        if not self.is_connected and not self._has_warned:
            self._has_warned = True
            log.warning(
                "no notification arrives, polling every second instead; set"
                " LAP_LISTEN_DATABASE_URL to the database itself, not to a pooler"
            )

    def _wake_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._wake)
