"""Real worker processes, and what their scripts do outside, for tests of races and crashes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection

from sessions.models import Session
from sessions.sandboxes.local import LocalBackend

OPEN_TRANSACTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
AND backend_type = 'client backend'
AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)
"""

T = TypeVar("T")


def wait_for(what: Callable[[], T], seconds: float = 30.0) -> T:
    """The first true value of ``what``; fails loudly when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)
    return value


class Workers:
    """Starts ``run_cron_worker`` processes on the test's database, with a common data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sandboxes = folder / "sandboxes"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        log = self.log(len(self._processes)).open("wb")
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_cron_worker", *arguments],
            cwd=settings.BASE_DIR,
            env={**os.environ, **self._environment(), **environment},
            stdout=log,
            stderr=log,
        )
        log.close()
        self._processes.append(process)
        return process

    def log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"

    def logs(self) -> str:
        return "\n".join(self.log(n).read_text() for n in range(len(self._processes)))

    def end(self) -> None:
        """End every process, then every sandbox they left."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        run_async(self._stop_sandboxes())

    async def _stop_sandboxes(self) -> None:
        backend = LocalBackend(self.sandboxes)
        for sandbox in await backend.list():
            await backend.stop(sandbox.name)

    def _environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url(),
            "LAP_DATA_DIR": str(self._folder),
            "LAP_SANDBOX_DIR": str(self.sandboxes),
            "LAP_ENCRYPTION_KEYS": ",".join(settings.LAP_ENCRYPTION_KEYS),
            "LAP_LEASE_SECONDS": "2",
            "LAP_BRINGUP_BACKOFF_SECONDS": "0.1",
            "LAP_CLOCK_OFFSET_SECONDS": repr(settings.LAP_CLOCK_OFFSET_SECONDS),
        }


def sandboxes_of(workers: Workers) -> list[str]:
    """The names of the sandboxes that there are."""
    return [box.name for box in run_async(LocalBackend(workers.sandboxes).list())]


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """What it returns. It has a thread of its own: in browser tests ours has a running loop."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, coroutine).result()


def reload(session: Session) -> Session:
    """The same object with what the database holds now."""
    session.refresh_from_db()
    return session


def is_somebody_waiting() -> bool:
    """Whether any connection waits for a lock."""
    return bool(_sql("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0])


def database_url() -> str:
    """The URL of the test database that this process is connected to."""
    base, _, _ = settings.DATABASE_URL.rpartition("/")
    return f"{base}/{connection.settings_dict['NAME']}"


class Sink:
    """A server outside the sandbox that scripts report to: what really happened, and how often.

    ``script`` is a script that connects once; the sink counts it, and lets it go on when
    ``release`` was called.
    """

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._released = threading.Event()
        self._connections: list[socket.socket] = []
        self.count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def script(self) -> str:
        port = self._server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port})).recv(2)"
        return f'python3 -c "{code}" && echo the sink let me go'

    def release(self) -> None:
        self._released.set()
        for accepted in self._connections:
            self._let_go(accepted)

    def close(self) -> None:
        self._server.close()
        for accepted in self._connections:
            accepted.close()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._server.accept()
            except OSError:
                return
            self.count += 1
            self._connections.append(accepted)
            if self._released.is_set():
                self._let_go(accepted)

    def _let_go(self, accepted: socket.socket) -> None:
        try:
            accepted.sendall(b"go")
        except OSError:
            return


@contextmanager
def held_writes(condition: str) -> Iterator[Callable[[], None]]:
    """Make every write to a session that meets ``condition`` wait; yields the release.

    The condition is SQL over OLD and NEW. A worker that is about to leave a phase thus stays in
    it, with everything before it committed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(42)")
        cursor.execute(
            "CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER hold BEFORE UPDATE ON agent_sessions_session"
            f" FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION hold()"
        )
    release = _once(lambda: _sql("SELECT pg_advisory_unlock(42)"))
    try:
        yield release
    finally:
        release()
        _sql("DROP TRIGGER hold ON agent_sessions_session")


def held_backends() -> list[int]:
    """Server processes whose write waits in ``held_writes``."""
    rows = _sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    return [row[0] for row in rows]


def stall(process: subprocess.Popen[bytes]) -> None:
    """Stop a worker while none of its threads is in a transaction, but for ``held_writes``.

    A transaction that stays open keeps its locks: whoever needs them would wait for ever.
    """

    def is_stalled() -> bool:
        process.send_signal(signal.SIGSTOP)
        if _sql(OPEN_TRANSACTIONS)[0][0]:
            process.send_signal(signal.SIGCONT)
            return False
        return True

    wait_for(is_stalled)


def end_backends(pids: list[int]) -> None:
    """What TCP does when a client's machine dies: its server process ends, nothing is written."""
    for pid in pids:
        _sql(f"SELECT pg_terminate_backend({pid}, 5000)")


def _sql(statement: str) -> list[tuple[int, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def _once(action: Callable[[], object]) -> Callable[[], None]:
    done: list[bool] = []

    def run() -> None:
        if not done:
            done.append(True)
            action()

    return run
