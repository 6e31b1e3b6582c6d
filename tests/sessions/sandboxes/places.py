"""Where the tests run sandboxes: as root or as an ordinary user, with bubblewrap or without."""

from __future__ import annotations

import asyncio
import atexit
import base64
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sessions.sandboxes import interpreter, processes, site
from sessions.sandboxes.base import Report, Sandbox, SandboxBackend, SandboxError, SandboxSpec
from sessions.sandboxes.local import LocalBackend

REPOSITORY = Path(__file__).resolve().parents[3]
ORDINARY_UID = 61_234
IS_ROOT = os.geteuid() == 0


@dataclass
class Place:
    """An installation in a directory of its own. ``uid`` is who the workers are, if not us."""

    folder: Path
    uid: int | None
    options: dict[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    code: Path = REPOSITORY
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "sandboxes"

    @property
    def separates(self) -> bool:
        """Whether sandboxes here cannot get at each other's files."""
        return self.runs_as_root or bool(self.options["bwrap"])

    @property
    def runs_as_root(self) -> bool:
        return IS_ROOT and self.uid is None

    def connect(self, **options: Any) -> SandboxBackend:
        """What a further worker would use."""
        if self.uid is None:
            return LocalBackend(self.root, **{**self.options, **options})
        return DistantBackend(self, options)

    def start_worker(
        self, method: str, *args: Any, is_stopped: bool = False, **options: Any
    ) -> subprocess.Popen[bytes]:
        """A process of its own that makes a call, then waits for more."""
        worker = subprocess.Popen(
            [self.python, str(self.code / "tests/sessions/sandboxes/worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(self.code), "PATH": os.environ["PATH"], "LAP_SECRET": "x"},
            user=self.uid,
            group=self.uid,
            extra_groups=None if self.uid is None else [],
            cwd="/",
        )
        self.workers.append(worker)
        self.tell(worker, method, *args, is_stopped=is_stopped, **options)
        return worker

    def tell(
        self,
        worker: subprocess.Popen[bytes],
        method: str,
        *args: Any,
        is_stopped: bool = False,
        **options: Any,
    ) -> None:
        """Let the worker make a call."""
        job = {
            "root": str(self.root),
            "options": {**self.options, **options},
            "method": method,
            "args": args,
            "is_stopped": is_stopped,
        }
        assert worker.stdin
        worker.stdin.write(base64.b64encode(pickle.dumps(job)) + b"\n")
        worker.stdin.flush()

    def box(self, name: str) -> Path:
        return self.root / "boxes" / name


def answer_of(worker: subprocess.Popen[bytes]) -> Any:
    """What the worker's call gave. Raises its SandboxError."""
    assert worker.stdout
    line = worker.stdout.readline()
    assert line, f"worker ended with {worker.wait()}"
    result, error = pickle.loads(base64.b64decode(line))
    if error:
        raise SandboxError(error[0], kind=error[1], permanent=error[2])
    return result


def end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe:
            pipe.close()


class DistantBackend(SandboxBackend):
    """A local backend of another user, in a worker process of its own."""

    def __init__(self, place: Place, options: dict[str, Any]) -> None:
        self._place, self._options = place, options
        self._worker: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.host = "distant"

    async def create(self, spec: SandboxSpec) -> Sandbox:
        return await self._call("create", spec)  # type: ignore[no-any-return]

    async def wait_ready(self, sandbox: Sandbox, report: Report) -> Sandbox:
        return await self._call("wait_ready", sandbox)  # type: ignore[no-any-return]

    async def stop(self, name: str) -> None:
        await self._call("stop", name)

    async def list(self) -> list[Sandbox]:
        return await self._call("list")  # type: ignore[no-any-return]

    async def logs(self, name: str, limit_bytes: int = 16_384) -> str:
        return await self._call("logs", name, limit_bytes)  # type: ignore[no-any-return]

    async def _call(self, method: str, *args: Any) -> Any:
        return await asyncio.to_thread(self._call_and_wait, method, *args)

    def _call_and_wait(self, method: str, *args: Any) -> Any:
        with self._lock:
            if self._worker:
                self._place.tell(self._worker, method, *args, **self._options)
            else:
                self._worker = self._place.start_worker(method, *args, **self._options)
            return answer_of(self._worker)


def make(mode: str) -> Place:
    """A place in a mode: ``root`` or ``user``, with ``-bwrap`` for bubblewrap."""
    folder = Path(tempfile.mkdtemp(prefix="lap-sandboxes-"))
    folder.chmod(0o755)
    bwrap = shutil.which("bwrap") if mode.endswith("-bwrap") else None
    place = Place(folder, None, {"bwrap": bwrap})
    place.root.mkdir()
    if mode.startswith("root"):
        place.options["registry"] = folder / "registry" / "uids"
    elif IS_ROOT:
        place.uid = ORDINARY_UID
    _spare_compiling(place)
    if place.uid is not None:
        _settle(place, place.uid)
    return place


@cache
def _compiled(uid: int | None) -> Path:
    """A copy of the harness as a backend would make it, made once for all tests."""
    base = Path(tempfile.mkdtemp(prefix="lap-harness-"))
    atexit.register(shutil.rmtree, base)
    return interpreter.copy_harness(site.HARNESS, base, interpreter.find(uid)).parents[1]


def _spare_compiling(place: Place) -> None:
    """Give the place its copy of the harness: compiling it takes longer than most tests."""
    uid = site.UIDS[-1] if place.runs_as_root else place.uid
    copy = _compiled(uid)
    shutil.copytree(copy, place.root / copy.name)


def _settle(place: Place, uid: int) -> None:
    """Copy the code to where an ordinary user can read it."""
    place.code = place.folder / "code"
    place.python = interpreter.find(uid).path
    for name in ("sessions/sandboxes", "tests/sessions/sandboxes", "harness"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, place.code / name, ignore=ignored)
    subprocess.run(["chown", "-R", str(uid), str(place.folder)], check=True)
    subprocess.run(["chmod", "-R", "a+rX", str(place.folder)], check=True)


def clean(place: Place) -> None:
    """End all that a test left behind, and prove that nothing remains."""
    backend = place.connect()
    for sandbox in asyncio.run(backend.list()):
        asyncio.run(backend.stop(sandbox.name))
    for worker in place.workers:
        end(worker)
    left = running(str(place.folder))
    shutil.rmtree(place.folder)
    assert not left


def _command_lines() -> dict[int, str]:
    found = {}
    for process in processes.everyone():
        try:
            words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        except OSError:
            continue
        found[process.pid] = words.replace(b"\0", b" ").decode(errors="replace")
    return found


def running(text: str) -> list[int]:
    """The ids of live processes with that text in their command line."""
    return [pid for pid, line in _command_lines().items() if text in line and pid != os.getpid()]


def harnesses(box: Path) -> list[int]:
    """The ids of the harnesses that run for a box (bubblewrap's own processes left out)."""
    lines = _command_lines().items()
    return [pid for pid, line in lines if f"--port-file {box}/" in line and "bwrap " not in line]
