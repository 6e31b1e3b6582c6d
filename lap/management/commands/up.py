from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, OperationalError, ProgrammingError, connections

from agents.keys import WrongKeys, require_keys
from lap import first_run
from lap.postgres import PostgresError, Server
from lap.supervisor import Program, keep_running
from sessions.backends import backend_from_settings
from sessions.conversing import save_last_words
from sessions.sandboxes.base import SandboxError
from sessions.sweeps import stop_stranded

HOST = "127.0.0.1"
DRAIN_SECONDS = 5
DATABASE_CHECK_SECONDS = 1.0
CONNECTIONS_LIMIT = 400
"""Each may need another one to a harness, and a process has 1,024 files by default."""


class Command(BaseCommand):
    help = "Run LAP on this machine: database, migrations, web and worker. Ctrl-C ends all of it."

    def handle(self, *args: Any, **options: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit("ended while starting"))
        _require_port(settings.LAP_PORT)
        with _only_once(), _database() as server:
            self._welcome(_prepare())
            try:
                asyncio.run(_run(server))
            finally:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                asyncio.run(_stop_sandboxes())
        self.stdout.write("Everything has ended.")

    def _welcome(self, password: str | None) -> None:
        self.stdout.write(f"LAP {settings.LAP_VERSION}: {settings.LAP_PUBLIC_URL}/")
        if password:
            self.stdout.write(
                f"Log in as {first_run.ADMIN} with the password {password} (shown only now)."
            )
        self.stdout.write(f"Data and keys: {settings.LAP_DATA_DIR}. Ctrl-C ends everything.\n")
        self.stdout.flush()


def _prepare() -> str | None:
    """Migrate and fill a fresh database; the first admin's password, if it was generated."""
    try:
        call_command("migrate", verbosity=0)
        password = first_run.ensure_admin()
        first_run.ensure_demo_agents()
        require_keys()
    except (OperationalError, ProgrammingError) as error:
        raise CommandError(f"The database cannot be used: {error}") from error
    except WrongKeys as error:
        raise CommandError(str(error)) from None
    connections.close_all()
    return password


async def _run(server: Server | None) -> None:
    """Keep the programs and the embedded database running until a signal."""
    watching = asyncio.create_task(_keep_database(server)) if server else None
    await keep_running(_programs())
    if watching:
        watching.cancel()


async def _keep_database(server: Server) -> None:
    """Start the server again when it has died; programs wait for it meanwhile."""
    while True:
        await asyncio.sleep(DATABASE_CHECK_SECONDS)
        if not server.is_running():
            sys.stderr.write("The database has ended; starting it again.\n")
            try:
                await asyncio.to_thread(server.start)
            except PostgresError as error:
                sys.stderr.write(f"{error}\n")


def _require_port(port: int) -> None:
    """Raises CommandError before anything is started when the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error}"
            raise CommandError(
                f"Port {port} {reason}. Choose another one: LAP_PORT={port + 1} make run"
            ) from None


@contextmanager
def _only_once() -> Iterator[None]:
    """Hold the data directory's lock. Raises CommandError when another `up` has it."""
    with (settings.LAP_DATA_DIR / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"LAP already runs with {settings.LAP_DATA_DIR}. End that one, or give this one "
                "its own: LAP_DATA_DIR=… LAP_PORT=… make run"
            ) from None
        yield


@contextmanager
def _database() -> Iterator[Server | None]:
    """The embedded server while the block runs, unless DATABASE_URL names another one."""
    if not settings.LAP_USES_EMBEDDED_POSTGRES:
        yield None
        return
    server = Server(settings.LAP_POSTGRES_DIR)
    try:
        server.start()
    except PostgresError as error:
        raise CommandError(str(error)) from error
    try:
        yield server
    finally:
        server.stop()


def _programs() -> list[Program]:
    environment = {
        "LAP_DRAIN_SECONDS": str(DRAIN_SECONDS),
        **os.environ,
        "PYTHONUNBUFFERED": "1",
    }
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    web = [sys.executable, "-m", "uvicorn", "lap.asgi:application", "--host", HOST]
    web += ["--port", str(settings.LAP_PORT), "--app-dir", str(settings.BASE_DIR)]
    web += ["--log-level", "warning", "--timeout-graceful-shutdown", "3"]
    web += ["--limit-concurrency", str(CONNECTIONS_LIMIT)]
    return [
        Program("web", web, environment),
        Program("worker", [*manage, "run_cron_worker"], environment),
    ]


async def _stop_sandboxes() -> None:
    """What a worker handed over would go on without anybody: on this machine everything ends.

    Sandboxes elsewhere, which workers of other machines may carry, are left alone.
    """
    backend = backend_from_settings()
    if not backend.host:
        return
    with suppress(DatabaseError):
        await asyncio.to_thread(save_last_words, backend.host)
        await asyncio.to_thread(stop_stranded, backend.host)
    for sandbox in await backend.list():
        try:
            await backend.stop(sandbox.name)
        except SandboxError as error:
            sys.stderr.write(f"{error}\n")
