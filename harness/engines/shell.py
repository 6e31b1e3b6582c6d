"""The shell engine: the message is a script, its output is the reply."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import messages
from harness.engines.base import Engine
from harness.engines.output import OUTPUT_LIMIT, Output
from harness.errors import bad_request
from harness.messages import Answer
from harness.process import Children, signal_group, wait_unreaped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.engines.base import Prompt
    from harness.messages import Message
    from harness.turn import Cancellation

SHELL = "/bin/sh"
TERM_GRACE_SECONDS = 2.0
GROUP_POLL_SECONDS = 0.05
CHUNK = 64 * 1024


class ShellEngine(Engine):
    """Runs each message by ``/bin/sh`` in the work directory, with an empty stdin.

    A turn ends when the script ends, not when the last holder of its output does: background
    children of its process group are killed then. What left the group with ``setsid`` is the
    supervisor's business; it loses its output, and the turn does not wait for it.
    """

    def __init__(self, workdir: Path, children: Children) -> None:
        self._workdir = workdir
        self._children = children
        self._environment = dict(os.environ)

    def check(self, message: Message) -> None:
        """A script is text."""
        if not message.texts:
            raise bad_request("parts must have at least one text part: the script to run")

    def run(self, prompt: Prompt, cancellation: Cancellation) -> Answer:
        """Run the script to its end or to the cancellation."""
        with _script_file("\n".join(prompt.message.texts)) as path, _Watch(self._children) as watch:
            process = self._start(path, prompt.environment)
            try:
                with cancellation.calling(watch.ring):
                    is_whole = watch.follow(process, cancellation)
            finally:
                status = self._children.end(process)
            watch.drain()
        answer = _answer(watch.output, status)
        return answer if is_whole else answer.aborted(cancellation.reason)

    def _start(self, script: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        return self._children.start(
            [SHELL, str(script)],
            cwd=self._workdir,
            env={**self._environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )


@contextlib.contextmanager
def _script_file(script: str) -> Iterator[Path]:
    """A file, not an argument (too small) and not stdin (the script's commands would eat it)."""
    handle, name = tempfile.mkstemp(prefix="harness-", suffix=".sh")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(script.encode("utf-8", "replace"))
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


class _Watch:
    """Reads a script's output until the script has ended."""

    def __init__(self, children: Children) -> None:
        self.output = Output()
        self._children = children
        self._ended = threading.Event()
        self._bell, self._rope = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._pipe: Any = None
        self._waiter: threading.Thread | None = None

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._waiter:
            self._waiter.join()
        for resource in (self._selector, self._bell, self._rope, self._pipe):
            if resource:
                resource.close()

    def ring(self) -> None:
        """Wake the reader. A bell that is full of rings needs no further one."""
        with contextlib.suppress(OSError):
            self._rope.send(b"!", socket.MSG_DONTWAIT)

    def follow(self, process: subprocess.Popen[bytes], cancellation: Cancellation) -> bool:
        """Read until the script itself has ended; False when a cancellation came first."""
        self._pipe = process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._waiter = threading.Thread(target=self._wait, args=(process,), daemon=True)
        self._waiter.start()
        while not (self._ended.is_set() or cancellation.is_set):
            self._read(None)
        if self._ended.is_set():
            return True
        self._terminate(process)
        return False

    def drain(self) -> None:
        """Take what was already in the pipe, without waiting for those who still hold it."""
        limit = self.output.total + OUTPUT_LIMIT
        while self._pipe and self.output.total < limit and self._take():
            pass

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        wait_unreaped(process)
        self._ended.set()
        self.ring()

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        """Ask the whole group to end and give it a moment; the caller kills what is left."""
        signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + TERM_GRACE_SECONDS
        while time.monotonic() < deadline and self._children.is_group_alive(process):
            self._read(GROUP_POLL_SECONDS)

    def _read(self, seconds: float | None) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._bell:
                self._bell.recv(64)
            elif self._take() == b"":
                self._selector.unregister(self._pipe)

    def _take(self) -> bytes | None:
        """Read once; None when there is nothing now, empty when there never will be."""
        data: bytes | None = self._pipe.read(CHUNK)
        self.output.write(data or b"")
        return data


def _answer(output: Output, status: int) -> Answer:
    """``info.exit`` is the shell's view of the status: 128 + n for a death by signal n."""
    facts: dict[str, Any] = {"exit": status if status >= 0 else 128 - status}
    if output.is_truncated:
        facts["truncated"] = True
    error = messages.error("ScriptFailed", _describe(status)) if status else None
    return Answer(output.text(), error, facts)


def _describe(status: int) -> str:
    if status > 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
