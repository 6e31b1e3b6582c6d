"""Starting the real harness in a process of its own, and looking at what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

ENTRY = Path(__file__).resolve().parents[2] / "harness" / "__main__.py"
# The server must run on older Pythons than its tests: point this at one to try it.
PYTHON = os.environ.get("HARNESS_TEST_PYTHON", sys.executable)
TOKEN = "token-of-the-tests"
MARK = "HARNESS_TEST_MARK"
PATIENCE_SECONDS = 10.0

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """The condition's first true value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)
    return value


class Harness:
    """One running harness: its folder, its processes, a client with its token."""

    def __init__(self, folder: Path, *arguments: str, **options: Any) -> None:
        self.mark = uuid.uuid4().hex
        self.workdir = folder / "work"
        self.tmp = folder / "tmp"
        self.port_file = folder / "port"
        self._log = folder / "log"
        for path in (self.workdir, self.tmp):
            path.mkdir(parents=True)
        argv = [PYTHON, "-I", str(ENTRY), "--workdir", str(self.workdir)]
        argv += ["--port-file", str(self.port_file), *arguments]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(argv, env=self._environment(), stderr=log, **options)
        wait_until(lambda: self.port_file.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log
        self.url = f"http://127.0.0.1:{self.port_file.read_text().strip()}"
        self.http = self.client()

    def _environment(self) -> dict[str, str]:
        path = os.environ["PATH"]
        own = {"PORT": "0", "HARNESS_AUTH_TOKEN": TOKEN, MARK: self.mark, "TMPDIR": str(self.tmp)}
        return {"PATH": path, **own, "GREETING": "hello"}

    def client(self, token: str = TOKEN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    @property
    def port(self) -> int:
        return int(self.port_file.read_text())

    @property
    def log(self) -> str:
        return self._log.read_text()

    def session(self, **body: Any) -> str:
        answer = self.http.post("/session", json={"title": "test", **body})
        assert answer.status_code == 200, answer.text
        session_id: str = answer.json()["id"]
        return session_id

    def run(self, script: str, session: str | None = None, **extra: Any) -> dict[str, Any]:
        """The reply to a script, in a session of its own unless one is named."""
        own = session or self.session()
        answer = self.http.post(f"/session/{own}/message", json=prompt(script, **extra))
        assert answer.status_code == 200, answer.text
        if not session:
            self.http.delete(f"/session/{own}")
        reply: dict[str, Any] = answer.json()
        return reply

    def thread(self, session: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"/session/{session}/message")
        assert answer.status_code == 200, answer.text
        messages: list[dict[str, Any]] = answer.json()
        return messages

    def finished(self, session: str, count: int = 1) -> list[dict[str, Any]]:
        """The session's finished replies, once there are that many."""

        def completed() -> list[dict[str, Any]]:
            done = [m for m in self.thread(session) if "completed" in m["info"]["time"]]
            return done if len(done) >= count else []

        return wait_until(completed)

    def file(self, name: str) -> Path:
        """A file in the work directory, once it is there."""
        path = self.workdir / name
        wait_until(path.exists)
        return path

    def scripts(self) -> list[psutil.Process]:
        """What the scripts started and what still lives (found by its environment)."""
        return [p for p in psutil.process_iter() if p.pid != self.process.pid and self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self.mark
        except psutil.Error:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.http.close()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def zombies(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if child.status() == psutil.STATUS_ZOMBIE]


def prompt(script: str, **extra: Any) -> dict[str, Any]:
    model = {"providerID": "litellm", "modelID": "none"}
    return {"model": model, "parts": [{"type": "text", "text": script}], **extra}


def text(reply: dict[str, Any]) -> str:
    return "".join(part["text"] for part in reply["parts"] if part["type"] == "text")


@contextlib.contextmanager
def running(folder: Path, *arguments: str, **options: Any) -> Iterator[Harness]:
    """A harness that must leave nothing behind."""
    harness = Harness(folder, *arguments, **options)
    try:
        yield harness
        assert harness.process.poll() is None, "it died"
        assert harness.stop() == 0, harness.log
        wait_until(lambda: not harness.scripts())
        assert list(harness.tmp.iterdir()) == []
        assert "Traceback" not in harness.log
        assert TOKEN not in harness.log
    finally:
        for process in harness.scripts():
            process.kill()
        harness.process.kill()
        harness.process.wait()
        harness.http.close()


class Background:
    """A call in a thread, and what it returned."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._result = self._call()
        except Exception as error:
            self._result = error

    def result(self) -> Any:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "it is still running"
        if isinstance(self._result, Exception):
            raise self._result
        return self._result
