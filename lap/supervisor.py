"""Runs the processes of one machine: starts, restarts, and ends them together."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
KILL_AFTER_SECONDS = 40.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(slots=True)
class Program:
    """A program to keep running; its output is shown line by line behind its name."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)


async def keep_running(programs: Sequence[Program]) -> None:
    """Run the programs until SIGINT, SIGTERM or SIGHUP, then end them all and return.

    A program that ends by itself is started again. The first signal asks all of them to finish,
    a second one asks again, which they understand as "at once".
    """
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()
    keepers = [_Keeper(program) for program in programs]

    def on_signal() -> None:
        leaving.set()
        for keeper in keepers:
            keeper.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    await asyncio.gather(*(keeper.keep(leaving) for keeper in keepers))


class _Keeper:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self, leaving: asyncio.Event) -> None:
        while not leaving.is_set():
            self._process = await self._start()
            if leaving.is_set():
                self.terminate()
            code = await self._ended(leaving)
            if not leaving.is_set():
                log.warning("%s ended with %s; starting it again", self._program.name, code)
                await asyncio.sleep(RESTART_SECONDS)

    def terminate(self) -> None:
        with suppress(ProcessLookupError):
            if self._process and self._process.returncode is None:
                self._process.terminate()

    async def _start(self) -> asyncio.subprocess.Process:
        """Start in a session of its own, so that Ctrl-C reaches it through us and only once."""
        return await asyncio.create_subprocess_exec(
            *self._program.arguments,
            env=dict(self._program.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )

    async def _ended(self, leaving: asyncio.Event) -> int:
        assert self._process is not None
        show = asyncio.create_task(self._show(self._process))
        waiting = asyncio.create_task(self._process.wait())
        asked = asyncio.create_task(leaving.wait())
        await asyncio.wait((waiting, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        await asyncio.wait((waiting,), timeout=KILL_AFTER_SECONDS)
        if not waiting.done():
            log.warning("%s does not end; killing it", self._program.name)
            self._process.kill()
        code = await waiting
        await show
        return code

    async def _show(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while not process.stdout.at_eof():
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the reader's buffer, which dropped it
                line = b"(a line too long to show)\n"
            if line:
                shown = line.decode(errors="replace").rstrip()
                sys.stdout.write(f"{self._program.name:<6} {shown}\n")
                sys.stdout.flush()


def _end_with_parent() -> None:
    """If this supervisor is killed, the kernel sends its programs SIGTERM."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
