"""Starting and stopping one server."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from lap.postgres import (
    address,
    binaries,
    cluster,
    config,
    database,
    locks,
    place,
    process,
    waiting,
)
from lap.postgres.errors import PostgresError, explained, with_tail
from lap.postgres.identity import Identity, choose

LOG_LIMIT_BYTES = 10 * 1024 * 1024
START_SECONDS = 300.0  # after a crash the server first recovers
STOP_SECONDS = 60.0
ORPHAN_SECONDS = 5.0
DEATH_SECONDS = 2.0
OWN_FILES = ("postgres.log", "postgres.log.1", "password", "server.lock", "start.lock")


class Server:
    """The PostgreSQL server of one data directory.

    Any number of processes may hold a `Server` of the same directory: the first `start` starts
    it, the first `stop` stops it for all. It lives on when the process that started it ends.

    `settings` are PostgreSQL parameters on top of `config.DEFAULTS`; they count when this
    process is the one that starts the server. `namespaces` says whether user namespaces may be
    used, which matters for root; by default that is found out.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        namespaces: bool | None = None,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.log = self.data_dir / "postgres.log"
        self._settings = dict(settings or {})
        self._namespaces = namespaces
        self._start_lock = self.data_dir / "start.lock"
        self._server_lock = self.data_dir / "server.lock"  # held by the server's processes
        self._child: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def url(self, database: str = "lap") -> str:
        """Return the URL of `database`, whether or not the server runs."""
        return address.url(self.data_dir, database)

    def is_running(self) -> bool:
        """Say whether the server's first process is alive."""
        if self._child is not None and process.exit_code(self._child) is not None:
            self._child = None
        return process.postmaster(self._cluster) is not None

    def start(self) -> None:
        """Return when the server takes connections; make its files and start it as needed.

        Raises PostgresError.
        """
        address.prepare(self.data_dir)
        with explained("started"), locks.held(self._start_lock, START_SECONDS):
            if process.state(self._cluster) == "stopping":
                waiting.until(self._is_gone, STOP_SECONDS)
            if not (self.is_running() and self._answers()):
                self._start_anew()

    def stop(self, *, fast: bool = True) -> None:
        """Stop the server and return when all its processes are gone.

        `fast` ends open connections; otherwise the server waits for them to end. Raises
        PostgresError if it is still there after a minute.
        """
        if not self.data_dir.is_dir():
            return
        with explained("stopped"), locks.held(self._start_lock, START_SECONDS):
            self._shut_down(signal.SIGINT if fast else signal.SIGTERM)
            if not fast and self.is_running():
                raise PostgresError(
                    f"PostgreSQL still has clients after {STOP_SECONDS:.0f} seconds. "
                    "End them, or stop it fast."
                )
            self._end_orphans()

    def remove(self) -> None:
        """Stop the server and delete everything that belongs to it, the data included."""
        if not self.data_dir.is_dir():
            return
        self.stop()
        place.remove(self.data_dir)
        shutil.rmtree(address.socket_dir(self.data_dir))
        for name in OWN_FILES:
            (self.data_dir / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other things may lie there
            self.data_dir.rmdir()

    @property
    def _cluster(self) -> Path:
        return (self.data_dir / "cluster").resolve()

    def _answers(self) -> bool:
        """Say whether a running server can be used; it may be dying just now."""
        try:
            self._await_ready()
        except PostgresError:
            if waiting.until(lambda: None if self.is_running() else True, DEATH_SECONDS):
                return False
            raise
        return True

    def _start_anew(self) -> None:
        self._end_orphans()
        try:
            with locks.held(self._server_lock, ORPHAN_SECONDS) as lock, self._open_log() as log:
                self._child = self._spawn(log, lock)
            self._await_ready()
        except BaseException:
            self._shut_down(signal.SIGINT)
            raise

    def _spawn(self, log: int, lock: int) -> int:
        """Start the postmaster; return its process id. It and its children inherit the lock."""
        identity = choose(self._namespaces)
        home = place.for_binaries(binaries.find(), identity)
        self._make_cluster(home, identity, log, lock)
        process.disown_pid_file(self._cluster)
        sockets = address.socket_dir(self.data_dir)
        os.chown(sockets, identity.uid, -1)
        for leftover in sockets.iterdir():
            leftover.unlink()
        arguments = config.arguments(self.data_dir, self._cluster, self._settings)
        return identity.spawn([str(home / "bin" / "postgres"), *arguments], log=log, lock=lock)

    def _make_cluster(self, home: Path, identity: Identity, log: int, lock: int) -> None:
        """See to it that the database's files are there and belong to who runs PostgreSQL."""
        where = place.for_cluster(self.data_dir, identity)
        cluster.discard_drafts(where)
        if not (where / "cluster").exists():
            password = address.password(self.data_dir, cluster.SUPERUSER)
            sync = self._settings.get("fsync") != "off"
            initdb = cluster.Initdb(home / "bin" / "initdb", password, sync=sync)
            try:
                initdb.run(where, identity, log=log, lock=lock)
            except PostgresError as error:
                raise self._error(str(error)) from None
        cluster.give(where / "cluster", identity.uid)
        if where != self._cluster.parent:
            (self.data_dir / "cluster").symlink_to(where / "cluster")

    def _await_ready(self) -> None:
        if not waiting.until(self._is_ready, START_SECONDS):
            raise self._error(f"PostgreSQL was not ready after {START_SECONDS:.0f} seconds.")
        try:
            database.ensure(self.data_dir)
        except psycopg.Error as error:
            raise self._error(f"PostgreSQL runs but cannot be used: {error}") from error

    def _is_ready(self) -> bool | None:
        code = None if self._child is None else process.exit_code(self._child)
        if code is not None or (self._child is None and not self.is_running()):
            self._child = None
            raise self._error(f"PostgreSQL ended while starting (exit code {code}).")
        return (self.is_running() and process.state(self._cluster) == "ready") or None

    def _shut_down(self, signum: signal.Signals) -> None:
        """Signal the first process, then wait until nothing of the server is left."""
        first = process.postmaster(self._cluster)
        if first is not None:
            process.send(first, signum)
        elif self._child is not None and process.exit_code(self._child) is None:
            os.kill(self._child, signum)
        else:
            return
        waiting.until(self._is_gone, STOP_SECONDS)

    def _end_orphans(self) -> None:
        """Return when no process uses the files; what does not end by itself is made to."""
        for signum in (signal.SIGQUIT, signal.SIGKILL, None):
            if waiting.until(self._is_gone, ORPHAN_SECONDS):
                return
            for member in process.members(self._cluster, address.name(self.data_dir)):
                process.send(member, signum) if signum else None
        raise self._error(
            f"Processes of an earlier server still use {self.data_dir}, perhaps in another "
            "container. End them, then try again."
        )

    def _is_gone(self) -> bool | None:
        if self.is_running() or (lock := locks.attempt(self._server_lock)) is None:
            return None
        os.close(lock)
        return True

    @contextlib.contextmanager
    def _open_log(self) -> Iterator[int]:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.log, flags, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _error(self, sentence: str) -> PostgresError:
        return PostgresError(with_tail(sentence, self.log))
