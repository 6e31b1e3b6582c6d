"""From the supervisor to the harness: fork, limits, loss of privileges, exec."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import Any, NoReturn

from sessions.sandboxes import boxes, processes

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
NOT_STARTED = 127

_libc = ctypes.CDLL(None, use_errno=True)


def start(box: Path, job: dict[str, Any], uid: int | None) -> tuple[int, int]:
    """Start the harness below this process, which becomes a subreaper. Gives pid and output."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    limits = dict(job["limits"])
    if uid is None:
        # The kernel counts all threads of the user, also those outside of the sandbox.
        limits["processes"] += processes.threads_of(os.getuid())
    output, sink = os.pipe()
    supervisor = os.getpid()
    harness = os.fork()
    if harness == 0:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        _become({**job, "limits": limits}, box / boxes.HOME, uid, supervisor)
    os.close(sink)
    os.set_blocking(output, False)
    return harness, output


def _become(job: dict[str, Any], home: Path, uid: int | None, supervisor: int) -> NoReturn:
    try:
        os.setsid()
        os.umask(0o077)
        _limit(job["limits"], job["mark"][1])
        _drop_privileges(uid)
        _die_with(supervisor)
        os.chdir(home)
        _reset_signals()
        os.execve(job["argv"][0], job["argv"], job["env"])  # noqa: S606 (no shell is meant)
    except BaseException as error:
        os.write(2, f"cannot start the harness: {error!r}\n".encode())
    os._exit(NOT_STARTED)


def _limit(limits: dict[str, int], mark: int) -> None:
    # When memory runs out, a sandbox goes before the platform and its database.
    Path("/proc/self/oom_score_adj").write_text("500")
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, limits["data_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        # No limit in practice (it counts microseconds of real-time scheduling) but a mark that
        # children inherit whatever they do to their environment.
        (resource.RLIMIT_RTTIME, mark),
    ):
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def _drop_privileges(uid: int | None) -> None:
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def _die_with(supervisor: int) -> None:
    """Ask the kernel for a death signal, after the ids have changed, since that cancels it."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:  # it died before we asked
        os._exit(NOT_STARTED)


def _reset_signals() -> None:
    """Ignored signals stay ignored over exec: what Python and the supervisor ignore must not."""
    for signum in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")
