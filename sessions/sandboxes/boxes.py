"""The directory of one sandbox, the lock that decides who may change it, and its record.

One rule makes every race harmless: *only the holder of the box's lock changes the box*, and
holders are helper processes in sessions of their own (``supervisor``, ``ender``), never a
worker. A worker only reads and starts helpers, so that it may be stopped, killed or woken at
any step without keeping anyone else from going on.

The lock is a ``flock`` on ``<box>/lock``. The kernel grants it to one open file at a time and
takes it back when its holder dies, however it dies. The interleavings:

- *Two workers create.* Both start a supervisor; one gets the lock, the other exits at once and
  its worker adopts what the first one records.
- *A worker stops in create and wakes later.* Before it started the supervisor: then it starts
  one now, which finds the lock taken, or, when the box was ended meanwhile, makes a new one
  that nobody owns, alone under its name, for reconcile to remove. After: nothing is lost.
- *A supervisor dies.* Its lock falls, and its harness is killed by the kernel (PDEATHSIG), but
  a moment later, since files are closed first. Hence whoever gets the lock of a box with
  contents clears it first: it ends what is left of the former life before it does anything.
- *Create meets stop.* The ender waits for the lock and then removes the box, the lock file last
  and while it holds it. A supervisor that had opened that file gets the lock on a file without
  a name; ``take`` compares what it has locked with what lies at the path, and starts over. A
  box that vanishes between mkdir and open is made again in the same way. An ender that finds a
  new lock file in the directory it wants to remove leaves it: that belongs to the next life.
- *A crash at any step* leaves a box without a live supervisor: listed as not running, cleared
  by the next create or stop.
- *Ids of processes are reused*, so the record has the start time and the boot beside the pid,
  and signals go through a pidfd opened before the comparison.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sessions.sandboxes import processes, uids

LOCK, RECORD, LOG, OLD_LOG = "lock", "record.json", "log", "log.1"
HOME, TMP, RUN = "home", "tmp", "run"
PORT = f"{RUN}/port"
SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 (swept, not used)


def take(box: Path, *, wait: bool = False) -> int:
    """Make the box if need be, and lock it. Raises BlockingIOError when someone else has it."""
    while True:
        box.mkdir(mode=0o700, exist_ok=True)
        try:
            descriptor = os.open(box / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_at(descriptor, box / LOCK):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def write_record(box: Path, facts: Mapping[str, Any]) -> None:
    """Record this process as the supervisor of the box, with what the platform wants to know."""
    me = processes.find(os.getpid())
    if me is None:
        raise OSError("/proc does not show this process")
    record = {**facts, "pid": me.pid, "started": me.started, "boot": processes.boot_id()}
    draft = box / f"{RECORD}.new"
    draft.write_text(json.dumps(record))
    draft.rename(box / RECORD)


def read_record(box: Path) -> dict[str, Any] | None:
    """What the box's last supervisor wrote; None when there is none that can be read."""
    with suppress(OSError, ValueError):
        record = json.loads((box / RECORD).read_text())
        if isinstance(record, dict) and isinstance(record.get("pid"), int):
            return record
    return None


def is_live(record: Mapping[str, Any] | None) -> bool:
    """Whether the supervisor that wrote the record still runs."""
    if not record or record.get("boot") != processes.boot_id():
        return False
    process = processes.find(record["pid"])
    return process is not None and process.started == record.get("started")


def signal_supervisor(box: Path, *signals: signal.Signals) -> None:
    """Send signals to the box's supervisor, if it lives, and to nobody else."""
    record = read_record(box)
    if not record:
        return
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(record["pid"])
        try:
            if is_live(record):
                for signum in signals:
                    signal.pidfd_send_signal(pidfd, signum)
        finally:
            os.close(pidfd)


def clear(box: Path, mark: processes.Mark, registry: Path | None) -> None:
    """End what a former life of the box left running, and empty it. For the lock's holder."""
    if registry is None:
        processes.end_marked(mark)
    else:
        for uid in uids.held_by(registry, box):
            processes.end_uid(uid)
            _remove_shared_files(uid)
    _remove([path for path in box.iterdir() if path.name != LOCK])
    if registry is not None:
        uids.release(registry, box)


def _remove_shared_files(uid: int) -> None:
    """What a sandbox left where everybody may write must not meet the next owner of its id."""
    for folder in SHARED_FOLDERS:
        with suppress(OSError):
            for entry in os.scandir(folder):
                if entry.stat(follow_symlinks=False).st_uid == uid:
                    _remove([Path(entry.path)])


def _remove(paths: list[Path]) -> None:
    """Remove files and trees, also very deep ones and those that forbid it to their owner."""
    if not paths:
        return
    names = [str(path) for path in paths]
    if _run("rm", "-rf", "--one-file-system", "--", *names) != 0:
        _run("chmod", "-R", "u+rwX", "--", *names)
        if _run("rm", "-rf", "--one-file-system", "--", *names) != 0:
            raise OSError(f"cannot remove {names}")


def _run(*command: str) -> int:
    """Run a command of the system to its end. (``subprocess`` takes longer to import than rm.)"""
    path = "/usr/local/bin:/usr/bin:/bin"
    child = os.posix_spawnp(command[0], command, {"PATH": path, "LC_ALL": "C"})
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def remove(box: Path) -> None:
    """Remove a cleared box. For the lock's holder."""
    (box / LOCK).unlink()
    with suppress(OSError):
        box.rmdir()
