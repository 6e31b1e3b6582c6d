"""The process that stands over one sandbox: makes it, keeps its log, ends it with its harness.

Started by a worker as ``python -I -S -c …`` with its job as JSON on standard input, it leaves
the worker behind: own session, no shared descriptor but that input and the error output, which
are memory files. Standard library only, and as little of it as possible.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from sessions.sandboxes import boxes, processes, spawn, uids
from sessions.sandboxes.output import BoundedLog, pump

STARTED, FAILED, TAKEN = 0, 1, 75
LAUNCH_SECONDS = 30
LEFT_IN_PIPE = 32


def main() -> NoReturn:
    """Launch the supervisor and exit with what became of it: STARTED, TAKEN or FAILED."""
    job = json.load(sys.stdin)
    outcome, answer = os.pipe()
    if os.fork() == 0:
        os.close(outcome)
        _supervise(job, answer)
    os.close(answer)
    signal.alarm(LAUNCH_SECONDS)
    said = os.read(outcome, 1)
    os._exit(said[0] if said else FAILED)


def _supervise(job: dict[str, Any], answer: int) -> NoReturn:
    """Own the box from the lock to the end of the last process; exits."""
    os.setsid()
    os.umask(0o077)
    box = Path(job["box"])
    try:
        boxes.take(box)
    except BlockingIOError:
        os.write(answer, bytes([TAKEN]))
        os._exit(TAKEN)
    uid = _prepare(box, job)
    log = BoundedLog(box / boxes.LOG, box / boxes.OLD_LOG, job["limits"]["log_bytes"])
    wakeup = _listen_to_signals()
    _let_go_of_worker(log)
    harness, output = spawn.start(box, job, uid)
    os.write(answer, bytes([STARTED]))
    os.close(answer)
    try:
        log.write(_stay(harness, output, wakeup, log))
    finally:
        _end_all(uid)
    for _ in range(LEFT_IN_PIPE):
        pump(output, log)
    os._exit(0)


def _prepare(box: Path, job: dict[str, Any]) -> int | None:
    """Clear the box of a former life, record this one, and make its directories."""
    registry = Path(job["registry"]) if job["registry"] else None
    if [path.name for path in box.iterdir()] != [boxes.LOCK]:
        boxes.clear(box, processes.Mark(*job["mark"]), registry)
    # The record comes before the user id: a box with more than its lock is cleared, and
    # clearing looks for user ids by the box's path.
    boxes.write_record(box, job["facts"])
    uid = uids.allocate(registry, job["uids"], box) if registry else None
    for name in (boxes.HOME, boxes.TMP, boxes.RUN):
        (box / name).mkdir(mode=0o700)
        if uid is not None:
            os.chown(box / name, uid, uid)
    if uid is not None:
        os.chown(box, 0, uid)
        box.chmod(0o710)
    return uid


def _listen_to_signals() -> int:
    """A descriptor that is readable after SIGTERM or SIGCHLD; a terminal's signals are ignored."""
    wakeup, poke = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(poke, False)
    signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
    for signum in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(signum, lambda *_: None)
    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    return wakeup


def _let_go_of_worker(log: BoundedLog) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor, replacement in ((0, null), (1, null), (2, log.descriptor)):
        os.dup2(replacement, descriptor)


def _stay(harness: int, output: int, wakeup: int, log: BoundedLog) -> bytes:
    """Copy output to the log until the harness ends or the end is asked for; says which."""
    poll = select.poll()
    poll.register(output, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if output in ready and not pump(output, log):
            poll.unregister(output)
        if wakeup in ready:
            if signal.SIGTERM in os.read(wakeup, 512):
                return b"sandbox stopped\n"
            if (status := _reap(harness)) is not None:
                return f"harness ended with status {status}\n".encode()


def _reap(harness: int) -> int | None:
    """Collect ended children, adopted ones too; the harness's status if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == harness:
            found = os.waitstatus_to_exitcode(status)


def _end_all(uid: int | None) -> None:
    if uid is not None:
        processes.end_uid(uid)
    processes.end_descendants()
