"""Become somebody who may run PostgreSQL, then run it. A script of its own, standard library only.

    launch.py self 0 [COMMAND...]                 as we are
    launch.py namespace INSIDE_UID [COMMAND...]   in a user namespace, where we are INSIDE_UID
    launch.py user UID [COMMAND...]               as that user; only for root

Without a command it only tries; the command `test-x PATH` asks whether PATH can be reached.
Descriptor 3, a lock, is passed on, those above are not. The process id never changes.
"""

import contextlib
import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
FIRST_UNWANTED = 4


def close_unwanted() -> None:
    """Close what our starter left open, so that no pipe of its outlives it in PostgreSQL."""
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - no paths wanted
        if descriptor >= FIRST_UNWANTED:
            with contextlib.suppress(OSError):  # the one that listed the others
                os.close(descriptor)


def enter_namespace(inside: int) -> None:
    """Move into a new user namespace that calls our user and group `inside`."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "user namespaces are not available")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {gid} 1")


def become_user(uid: int) -> None:
    """Give up root for good."""
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def main(how: str, who: str, *command: str) -> int:
    """Change identity, then turn into `command`."""
    close_unwanted()
    if how == "namespace":
        enter_namespace(int(who))
    elif how == "user":
        become_user(int(who))
    if command[:1] == ("test-x",):
        return 0 if os.access(command[1], os.X_OK) else 1
    if command:
        os.environ.pop("LD_LIBRARY_PATH", None)  # for this interpreter, not for PostgreSQL
        os.execv(command[0], command)  # noqa: S606 - no shell wanted
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except OSError as error:
        sys.exit(f"Cannot launch {sys.argv[3:4]} as {sys.argv[1]}: {error}")
