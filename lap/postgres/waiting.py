"""Waiting for a condition."""

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.02
Answer = TypeVar("Answer")


def until(ask: Callable[[], Answer | None], timeout_seconds: float) -> Answer | None:
    """Return the first answer that is not None, or None when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while (answer := ask()) is None and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return answer
