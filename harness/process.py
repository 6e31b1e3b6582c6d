"""Our child processes, and those of others that the kernel hands to us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def hide_from_scripts() -> None:
    """Keep ``/proc/<us>/environ`` and our memory from scripts of the same user (best effort).

    Removing the token from ``os.environ`` does not change what the kernel shows there.
    """
    _prctl(PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of what scripts leave behind, so that it gets reaped (best effort).

    Not every sandbox has a process 1 that reaps, and a zombie still counts as a member of its
    group: an abort would wait out its whole grace for it.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes  # not every image's Python has it

            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Children:
    """Starts processes and remembers them, so that adopted orphans can be told apart.

    We inherit what scripts leave behind and have to reap it; reaping one of our own that way
    would lose its exit status.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own: set[int] = set()

    def start(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Like ``Popen``, in a session (and so a process group) of its own."""
        with self._lock:
            process = subprocess.Popen(argv, start_new_session=True, **options)
            self._own.add(process.pid)
        return process

    def is_group_alive(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether anything of the process group still runs."""
        process.poll()  # a zombie would count as a member of its group
        self.reap_orphans()
        return signal_group(process.pid, 0)

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """Kill what is left of its process group, reap it and return its exit status."""
        signal_group(process.pid, signal.SIGKILL)
        status = process.wait()
        with self._lock:
            self._own.discard(process.pid)
        return status

    def reap_orphans(self) -> None:
        """Reap adopted processes that have ended; never waits."""
        with self._lock, contextlib.suppress(ChildProcessError):
            while (pid := _ended_child()) and pid not in self._own:
                os.waitpid(pid, os.WNOHANG)


def _ended_child() -> int | None:
    """Some child that has ended, left unreaped; None where nothing can be told."""
    if sys.platform != "linux":
        return None
    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found.si_pid if found else None


def wait_unreaped(process: subprocess.Popen[bytes]) -> None:
    """Return once the process has ended, leaving it a zombie where the system can.

    While it is a zombie its process group's number cannot be given to anybody else, so that a
    signal to the group hits no stranger.
    """
    if sys.platform != "linux":
        process.wait()
        return
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def signal_group(pgid: int, number: int) -> bool:
    """Signal every process of the group; False when there is none. Signal 0 only asks."""
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
