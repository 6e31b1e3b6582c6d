"""Steps that change this machine are finished, whoever is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


async def finish(step: Awaitable[T]) -> T:
    """Let a step end that cannot be interrupted, since it runs in a thread; then be cancelled."""
    task = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as cancellation:
            cancelled = cancellation
    if cancelled is not None:
        if error := task.exception():
            log.warning("a step failed that nobody waits for any more: %s", error)
        raise cancelled
    return task.result()
