"""What a sandbox gets to see of the machine: where it lives, and bubblewrap around it."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.interpreter import FLAGS, Interpreter, run_as
from sessions.sandboxes.spawn import PR_SET_NO_NEW_PRIVS

logger = logging.getLogger(__name__)

RELOCATED = Path("/var/lib/lap")
ORIGIN = "root"
SYSTEM_FOLDERS = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt"),
    "/run/systemd/resolve",  # where /etc/resolv.conf often points
)
NO_NEW_PRIVS = (
    "import ctypes, os, sys; "
    f"ctypes.CDLL(None).prctl({PR_SET_NO_NEW_PRIVS}, 1, 0, 0, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def own_folder(path: Path, mode: int) -> Path:
    """Make sure of a directory that nobody else can write to. Raises SandboxError."""
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    found = path.lstat()
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    if not is_own or found.st_mode & 0o022:
        message = f"{path} must be a directory that only user id {os.geteuid()} can write to"
        raise SandboxError(message, kind="unsafe_directory", permanent=True)
    path.chmod(mode)
    return path


def reachable_base(root: Path) -> Path:
    """Where sandboxes of other user ids can live: ``root``, or a place derived from its path."""
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    if all(folder.stat().st_mode & stat.S_IXOTH for folder in (root, *root.parents)):
        return root
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    own_folder(RELOCATED, 0o711)
    _forget_abandoned()
    base = own_folder(RELOCATED / f"sandboxes-{digest}", 0o711)
    with suppress(FileExistsError):
        (base / ORIGIN).symlink_to(root)
    return base


def _forget_abandoned() -> None:
    """Remove places whose ``root`` is gone and which hold no sandbox (tests leave many)."""
    for base in RELOCATED.glob("sandboxes-*"):
        if (base / ORIGIN).is_symlink() and not (base / ORIGIN).exists():
            with suppress(OSError):  # a sandbox is left in it
                if (base / "boxes").is_dir():
                    (base / "boxes").rmdir()
                shutil.rmtree(base)


def wrapped(bwrap: str, interpreter: Interpreter) -> list[str]:
    """The start of a bubblewrap command: a read-only system, nothing of the platform.

    Its parent is the supervisor, which outlives the worker, so ``--die-with-parent`` ties the
    sandbox to the supervisor. The network is the machine's: the platform talks over loopback.
    """
    folders = dict.fromkeys((*SYSTEM_FOLDERS, interpreter.prefix))
    binds = [word for folder in folders for word in ("--ro-bind-try", folder, folder)]
    spaces = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try"]
    return [bwrap, *spaces, "--die-with-parent", *binds, "--proc", "/proc", "--dev", "/dev"]


def bound(harness: Path, folders: Sequence[Path], tmp: Path) -> list[str]:
    """The rest of it: the sandbox's own folders, one of which is its /tmp too.

    Later mounts lie over earlier ones, so /tmp comes first: LAP itself may live below it.
    """
    copy = str(harness.parent.parent)
    mounts = ["--bind", str(tmp), "/tmp", "--ro-bind", copy, copy]  # noqa: S108 (private)
    for folder in folders:
        mounts += ["--bind", str(folder), str(folder)]
    return [*mounts, "--remount-ro", "/", "--"]


@cache
def can_wrap(bwrap: str, interpreter: Interpreter, uid: int | None) -> bool:
    """Try bubblewrap once: containers and kernels may forbid it. Says so in the log."""
    python = [interpreter.path, *FLAGS, "-c"]
    command = [*wrapped(bwrap, interpreter), "--tmpfs", "/tmp", "--remount-ro", "/", "--"]  # noqa: S108
    try:
        run_as(uid, [*python, NO_NEW_PRIVS, *command, *python, ""])
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        logger.warning("bubblewrap cannot be used, sandboxes run without it: %s", reason)
        return False
    return True
