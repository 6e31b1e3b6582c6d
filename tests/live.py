"""The real web process on the test database, for tests that speak HTTP to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from tests.processes import database_url, wait_for

HOST = "127.0.0.1"
START_SECONDS = 60.0
END_SECONDS = 20.0


class Web:
    """One ``uvicorn lap.asgi:application`` on a free loopback port, ready when it is made.

    It has the test's database and keys; ``environment`` is added. ``folder`` takes its log and
    its data directory. More than one may run in a folder.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.key = settings.LAP_MASTER_KEY
        self._log = folder / f"web-{self.port}.log"
        command = [sys.executable, "-m", "uvicorn", "lap.asgi:application"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--host", HOST, "--port", str(self.port)],
                cwd=settings.BASE_DIR,
                env={**os.environ, **self._environment(folder), **environment},
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(self._listens, START_SECONDS)
        except BaseException:
            self.end()
            raise

    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        """End the process and wait for it."""
        self.process.terminate()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _environment(self, folder: Path) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url(),
            "LAP_DATA_DIR": str(folder),
            "LAP_PORT": str(self.port),
            "LAP_MASTER_KEY": settings.LAP_MASTER_KEY,
            "LAP_SECRET_KEY": settings.SECRET_KEY,
            "LAP_ENCRYPTION_KEYS": ",".join(settings.LAP_ENCRYPTION_KEYS),
            "LAP_CLOCK_OFFSET_SECONDS": repr(settings.LAP_CLOCK_OFFSET_SECONDS),
        }

    def _listens(self) -> bool:
        assert self.process.poll() is None, f"the web process has ended:\n{self.log()}"
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
