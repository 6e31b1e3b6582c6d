"""Starting the helper processes (``supervisor``, ``ender``) that change sandboxes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sessions.sandboxes.interpreter import FLAGS, SYSTEM_PATH

REPOSITORY = Path(__file__).resolve().parents[2]
ERROR_BYTES = 4096


def run(name: str, job: Mapping[str, Any]) -> tuple[int, str]:
    """Run a helper to the end of its first process; gives exit status and error output.

    The job travels in a memory file: it has secrets, which belong neither in the arguments nor
    on a disk, and a pipe would tie the helper to this process.
    """
    given, errors = os.memfd_create("job"), os.memfd_create("errors")
    try:
        with os.fdopen(os.dup(given), "w") as file:
            json.dump(job, file)
        os.lseek(given, 0, os.SEEK_SET)
        status = _start(name, given, errors).wait()
        return status, os.pread(errors, ERROR_BYTES, 0).decode(errors="replace").strip()
    finally:
        os.close(given)
        os.close(errors)


def _start(name: str, given: int, errors: int) -> subprocess.Popen[bytes]:
    """With an environment of its own: the agent's variables must not reach a root process."""
    code = (
        f"import sys; sys.path.append({str(REPOSITORY)!r}); "
        f"from sessions.sandboxes.{name} import main; main()"
    )
    return subprocess.Popen(
        [os.path.realpath(sys.executable), *FLAGS, "-c", code],
        stdin=given,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )
