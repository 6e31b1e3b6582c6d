"""The loop that every controller has: names of objects in, one at a time, tried again on error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from tests.kubernetes.standin.resources import Key
from tests.kubernetes.standin.statuses import ApiError

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 1.0


class WorkQueue:
    """Each key once, ``delay_seconds`` after it was added; everything on the event loop."""

    def __init__(self, reconcile: Callable[[Key], None]) -> None:
        self.delay_seconds = 0.0
        self._reconcile = reconcile
        self._waiting: set[Key] = set()
        self._failures: dict[Key, int] = {}

    def add(self, key: Key) -> None:
        if key not in self._waiting:
            self._waiting.add(key)
            asyncio.get_running_loop().call_later(self.delay_seconds, self._work, key)

    def add_at(self, key: Key, instant: str) -> None:
        """Once it is that late (RFC 3339)."""
        wait = max(0.0, (parse_time(instant) - datetime.now(UTC)).total_seconds())
        asyncio.get_running_loop().call_later(wait + 0.001, self.add, key)

    def _work(self, key: Key) -> None:
        self._waiting.discard(key)
        try:
            self._reconcile(key)
            self._failures.pop(key, None)
        except ApiError as error:
            log.info("%s: %s", key, error)
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            wait = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2**failures)
            asyncio.get_running_loop().call_later(wait, self.add, key)


def parse_time(instant: str) -> datetime:
    return datetime.fromisoformat(instant)


def is_over(instant: str | None) -> bool:
    """Whether that instant, if any, has passed."""
    return bool(instant) and parse_time(instant or "") <= datetime.now(UTC)
