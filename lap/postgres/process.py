"""The server's processes: finding them, signalling them, outliving them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from lap.postgres.identity import SERVICE_UID


def postmaster(cluster: Path) -> psutil.Process | None:
    """Return the running postmaster of `cluster`.

    A pid file alone proves nothing: its process may be dead but not yet reaped, or its number
    may have passed on to a stranger.
    """
    pid = _recorded_pid(cluster)
    if pid is None:
        return None
    reap(pid)
    try:
        process = psutil.Process(pid)
        return process if _is_postmaster(process.cmdline(), cluster) else None
    except psutil.Error:
        return None


def state(cluster: Path) -> str:
    """Return what the postmaster says of itself: `starting`, `ready`, `stopping`, or nothing."""
    lines = _pid_file_lines(cluster)
    return lines[7].strip() if len(lines) > 7 else ""


def members(cluster: Path, name: str) -> Iterator[psutil.Process]:
    """Yield every process of a server, also those that outlived their postmaster.

    All but the first are titled with the server's `name`.
    """
    ours = {os.geteuid(), SERVICE_UID if os.geteuid() == 0 else os.geteuid()}
    for process in psutil.process_iter(["cmdline", "uids"]):
        command, uids = process.info["cmdline"] or [], process.info["uids"]
        is_member = " ".join(command).startswith(f"postgres: {name}: ")
        if uids and uids.real in ours and (is_member or _is_postmaster(command, cluster)):
            yield process


def send(process: psutil.Process, signum: signal.Signals) -> None:
    """Signal a process that may already be gone; psutil never hits a successor of its number."""
    try:
        process.send_signal(signum)
    except psutil.NoSuchProcess:
        reap(process.pid)


def reap(pid: int) -> int | None:
    """Take leave of `pid` if it is a dead child of ours; return its exit code then."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if done else None


def exit_code(pid: int) -> int | None:
    """Return the exit code of our child `pid`, None while it runs, and -1 if nobody can tell."""
    code = reap(pid)
    return -1 if code is None and not psutil.pid_exists(pid) else code


def disown_pid_file(cluster: Path) -> None:
    """Let the next postmaster see that the one before is dead.

    It would take a zombie, or a stranger with the recorded number, for a live server. It knows
    its own parent for what it is, so our number goes there. The rest of the file stays: with it
    the new postmaster makes sure that nobody uses the old shared memory.
    """
    if lines := _pid_file_lines(cluster):
        (cluster / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")


def _is_postmaster(command: list[str], cluster: Path) -> bool:
    """Tell by its command line, which is empty for a zombie."""
    return command[1:3] == ["-D", str(cluster)] and Path(command[0]).name == "postgres"


def _recorded_pid(cluster: Path) -> int | None:
    lines = _pid_file_lines(cluster)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _pid_file_lines(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text(errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
