"""The event stream: small facts for whoever listens, in order, never blocking the teller."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

BACKLOG = 256
POLL_SECONDS = 1.0

END = b""

Subscription = queue.Queue[bytes]


class Hub:
    """Hands every event to every subscriber.

    A subscriber that falls ``BACKLOG`` events behind is disconnected rather than left with a
    hole it cannot see; it reconnects and reads the thread.
    """

    def __init__(self, heartbeat_seconds: float) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    def publish(self, kind: str, properties: dict[str, Any]) -> None:
        """Queue one event for all who listen now."""
        with self._lock:
            event = self._encode(kind, properties)
            for subscription in list(self._subscriptions):
                self._offer(subscription, event)

    def stream(self, is_gone: Callable[[], bool]) -> Generator[bytes, None, None]:
        """The bytes of one listener's stream, until it or the harness goes away."""
        subscription = self._subscribe()
        try:
            yield self._encode("server.connected", {})
            yield from self._follow(subscription, is_gone)
        finally:
            with self._lock:
                self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every stream."""
        with self._lock:
            self._closed = True
            for subscription in self._subscriptions:
                self._end(subscription)

    def _subscribe(self) -> Subscription:
        subscription: Subscription = queue.Queue(BACKLOG)
        with self._lock:
            self._subscriptions.add(subscription)
            if self._closed:
                self._end(subscription)
        return subscription

    def _follow(
        self, subscription: Subscription, is_gone: Callable[[], bool]
    ) -> Generator[bytes, None, None]:
        beat = time.monotonic() + self._heartbeat_seconds
        while not is_gone():
            patience = min(POLL_SECONDS, max(0.0, beat - time.monotonic()))
            with contextlib.suppress(queue.Empty):
                event = subscription.get(timeout=patience)
                if event == END:
                    return
                yield event
            if time.monotonic() >= beat:
                yield self._encode("server.heartbeat", {})
                beat = time.monotonic() + self._heartbeat_seconds

    def _offer(self, subscription: Subscription, event: bytes) -> None:
        try:
            subscription.put_nowait(event)
        except queue.Full:
            self._subscriptions.discard(subscription)
            self._end(subscription)

    def _end(self, subscription: Subscription) -> None:
        """Make room for the end mark: what is dropped here would not be read any more."""
        with contextlib.suppress(queue.Empty):
            while subscription.full():
                subscription.get_nowait()
        subscription.put_nowait(END)

    def _encode(self, kind: str, properties: dict[str, Any]) -> bytes:
        event = {"id": f"evt_{next(self._numbers)}", "type": kind, "properties": properties}
        return b"data: " + json.dumps(event).encode() + b"\n\n"
