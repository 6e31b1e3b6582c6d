"""The Python and the copy of the harness that sandboxes run, where their user id can reach them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sessions.sandboxes.base import SandboxError

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FLAGS = ("-I", "-S")
SYSTEM_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")
PROBE_SECONDS = 20


class Interpreter(NamedTuple):
    """A Python that sandboxes can run, and the folder that it has to read."""

    path: str
    prefix: str


@cache
def find(uid: int | None) -> Interpreter:
    """A Python of version 3.9 or later that this user id can really run. Raises SandboxError."""
    code = "import sys, http.server; assert sys.version_info >= (3, 9); print(sys.base_prefix)"
    for path in map(os.path.realpath, (sys.executable, *SYSTEM_PYTHONS)):
        with suppress(OSError, subprocess.SubprocessError):
            prefix = run_as(uid, [path, *FLAGS, "-c", code]).strip()
            return Interpreter(path, prefix)
    raise SandboxError(
        f"no Python that sandboxes can run: their user id cannot reach {sys.executable} and "
        "there is no /usr/bin/python3 of version 3.9 or later; install Python system-wide "
        "(Debian: apt-get install python3), or move LAP's Python out of its private directory",
        kind="no_interpreter",
        permanent=True,
    )


def run_as(uid: int | None, command: Sequence[str]) -> str:
    """Output of a command, run as a user id where one is given. Raises like ``subprocess.run``."""
    return subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": SYSTEM_PATH, "LC_ALL": "C"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        timeout=PROBE_SECONDS,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
        start_new_session=True,
    ).stdout


def copy_harness(source: Path, base: Path, interpreter: Interpreter) -> Path:
    """A compiled copy below ``base``, made once per content; gives the script to start.

    The copy appears by a rename, so that another worker sees none or all of it. Running
    sandboxes keep the copy they were started from when the platform is updated.
    """
    target = base / f"harness-{_digest(source, interpreter)}"
    if not target.exists():
        draft = Path(tempfile.mkdtemp(dir=base, prefix="harness-draft-"))
        try:
            _fill(draft, source, interpreter)
            with suppress(OSError):  # another worker was faster
                draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target / "harness" / "__main__.py"


def _digest(source: Path, interpreter: Interpreter) -> str:
    digest = hashlib.sha256(interpreter.path.encode())
    for path in sorted(source.rglob("*.py")):
        digest.update(os.fsencode(path.relative_to(source)) + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _fill(draft: Path, source: Path, interpreter: Interpreter) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, draft / "harness", ignore=ignored, copy_function=shutil.copyfile)
    # Sandboxes cannot write byte code there, and starting without it takes twice as long.
    compiling = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(draft)]
    run_as(None, [interpreter.path, *FLAGS, *compiling])
    for path in (draft, *draft.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
