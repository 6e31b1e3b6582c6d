"""Unprivileged user ids, one pair to a sandbox, given out once on a machine at any time.

A sandbox gets an even number of the range; the odd one after it belongs to whoever has to end
its processes (see ``processes.end_uid``). A symbolic link ``<registry>/<uid>`` names the box:
making one is atomic, fails where one exists, and carries its content from the start, so a
crash at any step leaves a link that tells whose it was.
"""

from __future__ import annotations

import os
from pathlib import Path

from sessions.sandboxes import processes


def allocate(registry: Path, bounds: tuple[int, int], box: Path) -> int:
    """A user id that no sandbox has and that runs no process. Raises OSError when all are taken.

    ``bounds`` are the first and the last id that may be used.
    """
    first, last = bounds
    count = (last - first + 1) // 2
    start = int.from_bytes(os.urandom(4), "big")
    for offset in range(count):
        uid = first + 2 * ((start + offset) % count)
        if _claim(registry, uid, box):
            return uid
    raise OSError(f"all {count} user ids between {first} and {last} are taken")


def _claim(registry: Path, uid: int, box: Path) -> bool:
    link = registry / str(uid)
    try:
        link.symlink_to(box)
    except FileExistsError:
        return False
    if processes.of_uid(uid) or processes.of_uid(uid + 1):
        link.unlink()
        return False
    return True


def held_by(registry: Path, box: Path) -> list[int]:
    """The user ids that are registered for a box."""
    links = [link for link in registry.iterdir() if link.is_symlink()]
    return [int(link.name) for link in links if _points_at(link, box)]


def _points_at(link: Path, box: Path) -> bool:
    try:
        return link.readlink() == box
    except FileNotFoundError:
        return False


def release(registry: Path, box: Path) -> None:
    """Give the box's user ids back. Only after their last process and file are gone."""
    for uid in held_by(registry, box):
        (registry / str(uid)).unlink()
