"""A worker process that makes the calls it is told to: one that a test may stop or kill.

Reads pickled jobs, one a line, and answers each with a pickled (result, error).
"""

from __future__ import annotations

import asyncio
import base64
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

from sessions.sandboxes import helpers
from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.local import LocalBackend


async def report(phase: str, detail: str) -> None:
    """Nobody listens."""


async def call(job: dict[str, Any]) -> Any:
    backend = LocalBackend(Path(job["root"]), **job["options"])
    extra = (report,) if job["method"] == "wait_ready" else ()
    return await getattr(backend, job["method"])(*job["args"], *extra)


def stop_before_first_helper() -> None:
    """Be a worker that is stopped in the middle of a call, and goes on when it is woken."""
    original = helpers.run

    def run(name: str, job: Any) -> tuple[int, str]:
        helpers.run = original
        signal.raise_signal(signal.SIGSTOP)
        return original(name, job)

    helpers.run = run


def answer(job: dict[str, Any]) -> Any:
    if job["is_stopped"]:
        stop_before_first_helper()
    try:
        return asyncio.run(call(job)), None
    except SandboxError as error:
        return None, (str(error), error.kind, error.permanent)


def main() -> None:
    for line in sys.stdin.buffer:
        result = pickle.dumps(answer(pickle.loads(base64.b64decode(line))))
        sys.stdout.buffer.write(base64.b64encode(result) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
