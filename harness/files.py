"""Writing the files that a session starts with, without leaving the work directory."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any

from harness.errors import HttpError, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES_LIMIT = 1000
# Not following links, and not waiting for the reader of a named pipe.
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def parse_files(value: Any) -> list[tuple[list[str], str]]:
    """``[{path, content}]`` as (path's parts, content); raises a 400 that names the bad one."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > FILES_LIMIT:
        raise bad_request(f"files must be a list of at most {FILES_LIMIT} {{path, content}}")
    return [_parse_file(item) for item in value]


def _parse_file(item: Any) -> tuple[list[str], str]:
    if not isinstance(item, dict) or not isinstance(item.get("content"), str):
        raise bad_request("each of files must be an object with a text path and a text content")
    return _parse_path(item.get("path")), item["content"]


def _parse_path(path: Any) -> list[str]:
    if not isinstance(path, str) or not path or path.startswith("/") or "\0" in path:
        raise bad_request(f"file path {_shown(path)} must be relative to the work directory")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or path.endswith("/"):
        raise bad_request(f"file path {_shown(path)} must name a file inside the work directory")
    return parts


def write_files(workdir: Path, files: list[tuple[list[str], str]]) -> None:
    """Write them in order, making folders as needed.

    Every step is opened relative to the one before and refuses symbolic links, so that a link
    in a cloned repository cannot lead out. Raises a 400; earlier files of the list stay.
    """
    for parts, content in files:
        try:
            _write(workdir, parts, content.encode("utf-8", "replace"))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise bad_request(f"cannot write {_shown('/'.join(parts))}: {reason}") from error


def _write(workdir: Path, parts: list[str], content: bytes) -> None:
    with _folder(workdir, parts[:-1]) as folder:
        handle = os.open(parts[-1], _WRITE, 0o644, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise HttpError(400, f"cannot write {_shown('/'.join(parts))}: not a regular file")
        file.truncate()
        file.write(content)


@contextlib.contextmanager
def _folder(workdir: Path, parts: list[str]) -> Iterator[int]:
    folder = os.open(workdir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=folder)
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _shown(path: Any) -> str:
    return ascii(path)[:200]
