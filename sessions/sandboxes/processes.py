"""Processes as the kernel shows them in /proc, and how to end all that belong to a sandbox.

Standard library only: the supervisor and the ender start often and must start fast.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

PROC = Path("/proc")
PAUSE_SECONDS = 0.02


class Process(NamedTuple):
    """A live process. ``started``, in clock ticks since boot, makes its id unmistakable."""

    pid: int
    parent: int
    started: int


class Mark(NamedTuple):
    """What a sandbox's processes inherit: a variable, and a limit that can only be lowered."""

    text: str
    number: int


MARK_VARIABLE = "SANDBOX_MARK"


def find(pid: int) -> Process | None:
    """The live process with that id; None when it is gone or a zombie."""
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    # A process whose first thread has ended reads as a zombie while its other threads run on.
    if fields[0] in "ZX" and int(fields[17]) <= 1:
        return None
    return Process(pid, int(fields[1]), int(fields[19]))


def everyone() -> Iterator[Process]:
    """All live processes that this process can see."""
    for entry in os.scandir(PROC):
        if entry.name.isdigit() and (process := find(int(entry.name))):
            yield process


def boot_id() -> str:
    """The kernel's name for the time since the machine was started."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def descendants(ancestor: int) -> set[int]:
    """The ids of the live processes below ``ancestor``."""
    parents = {process.pid: process.parent for process in everyone()}
    return {pid for pid in parents if _is_below(ancestor, pid, parents)}


def _is_below(ancestor: int, pid: int, parents: dict[int, int]) -> bool:
    seen: set[int] = set()
    while (parent := parents.get(pid)) is not None and pid not in seen:
        if parent == ancestor:
            return True
        seen.add(pid)
        pid = parent
    return False


def uids_of(pid: int) -> set[int]:
    """Real, effective, saved and file system user id of a live process."""
    try:
        status = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return set()
    line = next(line for line in status.splitlines() if line.startswith("Uid:"))
    return {int(uid) for uid in line.split()[1:]}


def of_uid(uid: int) -> set[int]:
    """The ids of the live processes of one user."""
    return {process.pid for process in everyone() if uid in uids_of(process.pid)}


def marked(mark: Mark) -> set[int]:
    """The ids of the live processes that carry the mark, apart from this one."""
    pids = {process.pid for process in everyone() if _carries(process.pid, mark)}
    return pids - {os.getpid()}


def _carries(pid: int, mark: Mark) -> bool:
    folder = PROC / str(pid)
    with suppress(OSError):
        for line in (folder / "limits").read_text().splitlines():
            if line.startswith("Max realtime timeout") and str(mark.number) in line.split():
                return True
    with suppress(OSError):
        return f"{MARK_VARIABLE}={mark.text}".encode() in (folder / "environ").read_bytes()
    return False


def threads_of(uid: int) -> int:
    """How many threads a user runs now, which is what the kernel counts against ``nproc``."""
    pids = of_uid(uid)
    return sum(_count_threads(pid) for pid in pids)


def _count_threads(pid: int) -> int:
    try:
        return sum(1 for _ in os.scandir(PROC / str(pid) / "task"))
    except OSError:
        return 0


def end_descendants() -> None:
    """End everything below this process, which must be a child subreaper.

    All orphans below a subreaper become its children, so the kernel's own word that there is no
    child left (ECHILD) ends the loop, not a reading of /proc, which can miss a process.
    """
    while not reap():
        _freeze_and_kill(lambda: descendants(os.getpid()))
        time.sleep(PAUSE_SECONDS)


def end_marked(mark: Mark) -> None:
    """End everything that carries the mark."""
    while marked(mark):
        _freeze_and_kill(lambda: marked(mark))
        time.sleep(PAUSE_SECONDS)


def end_uid(uid: int) -> None:
    """End everything that runs under a user id. Needs root."""
    while of_uid(uid):
        killer = os.fork()
        if killer == 0:
            _kill_all_of(uid)
        os.waitpid(killer, 0)
        time.sleep(PAUSE_SECONDS / 10)


def _kill_all_of(uid: int) -> NoReturn:
    """Become that user and kill all it may signal, then exit.

    kill(-1) walks the process table under the lock that fork() needs, and a fork with a fatal
    signal pending fails, so that no fork bomb outruns it. The real and saved ids are the next
    number, which is never given to a sandbox: so the victims may not kill their killer.
    """
    try:
        os.setgroups([])
        os.setresgid(uid + 1, uid + 1, uid + 1)
        os.setresuid(uid + 1, uid, uid + 1)
        os.kill(-1, signal.SIGKILL)
    finally:
        os._exit(0)


def reap() -> bool:
    """Collect ended children; true when there is no child left at all."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _freeze_and_kill(search: Callable[[], set[int]]) -> None:
    """Stop what is found until nothing new appears, then kill it: what is stopped cannot fork."""
    frozen: set[int] = set()
    while fresh := search() - frozen:
        for pid in fresh:
            _send(pid, signal.SIGSTOP)
        frozen |= fresh
    for pid in frozen:
        _send(pid, signal.SIGKILL)


def _send(pid: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)


def listener_uid(port: int) -> int | None:
    """Whose socket listens on that TCP port (IPv4); None when nobody's."""
    for line in (PROC / "net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            return int(fields[7])
    return None
