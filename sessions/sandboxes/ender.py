"""The process that ends one sandbox: its supervisor, everything it started, its directory.

It is a process of its own, so that an end that was begun is completed whatever happens to the
worker, and so that a stopped worker never holds a box's lock.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from sessions.sandboxes import boxes, processes

ENDED, BUSY = 0, 75
ENDING_SECONDS = 45
PATIENCE_SECONDS = 5.0
KNOCK_SECONDS = 0.25


def main() -> NoReturn:
    """End the sandbox named by the job on standard input; exits ENDED or BUSY."""
    job = json.load(sys.stdin)
    deadline = time.monotonic() + ENDING_SECONDS
    box = Path(job["box"])
    registry = Path(job["registry"]) if job["registry"] else None
    if not _take_from_supervisor(box, deadline):
        os._exit(BUSY)
    # Processes that even SIGKILL does not end (they wait for a disk) must not hold us for ever.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(BUSY))
    signal.setitimer(signal.ITIMER_REAL, max(1.0, deadline - time.monotonic()))
    boxes.clear(box, processes.Mark(*job["mark"]), registry)
    boxes.remove(box)
    os._exit(ENDED)


def _take_from_supervisor(box: Path, deadline: float) -> bool:
    """Get the lock: ask the supervisor to end, and kill it when it does not.

    The request is repeated, since a supervisor that has only just got the lock is known by its
    record only a moment later. SIGCONT goes with it: a sandbox of the same user may stop it.
    """
    signal.signal(signal.SIGALRM, _knock_again)
    patience = time.monotonic() + PATIENCE_SECONDS
    while (now := time.monotonic()) < deadline:
        signum = signal.SIGTERM if now < patience else signal.SIGKILL
        boxes.signal_supervisor(box, signum, signal.SIGCONT)
        signal.setitimer(signal.ITIMER_REAL, KNOCK_SECONDS)
        with suppress(TimeoutError):
            boxes.take(box, wait=True)
            signal.setitimer(signal.ITIMER_REAL, 0)
            return True
    return False


def _knock_again(*_: object) -> NoReturn:
    raise TimeoutError
