"""The database's files: made completely or not at all."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lap.postgres import process, waiting
from lap.postgres.errors import PostgresError
from lap.postgres.identity import Identity, for_initdb

DRAFT = "cluster.new-"
PWFILE = ".initdb-password-"
SUPERUSER = "postgres"
INITDB_SECONDS = 300


@dataclass(frozen=True)
class Initdb:
    """PostgreSQL's program that makes a cluster, and the superuser's password in the new one."""

    program: Path
    password: str = field(repr=False)
    sync: bool = True

    def run(self, place: Path, identity: Identity, *, log: int, lock: int) -> None:
        """Make `place`/cluster under another name, then rename: who finds it finds all of it."""
        runner = for_initdb(identity)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=place))
        os.chown(draft, runner.uid, -1)
        with _password_file(place, runner, self.password) as password_file:
            command = self._command(draft, password_file)
            _finish(runner.spawn(command, log=log, lock=lock))
        give(draft, identity.uid)
        draft.rename(place / "cluster")

    def _command(self, draft: Path, password_file: str) -> list[str]:
        return [
            str(self.program),
            *("-D", str(draft), "-U", SUPERUSER, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if self.sync else ("--no-sync",)),
        ]


def discard_drafts(place: Path) -> None:
    """Remove what a killed first start left behind. The caller holds the server's lock."""
    for draft in place.glob(DRAFT + "*"):
        shutil.rmtree(draft)
    for password_file in place.glob(PWFILE + "*"):
        password_file.unlink()


def give(tree: Path, uid: int) -> None:
    """Make `uid` the owner of a tree, if it is not yet."""
    if tree.stat().st_uid == uid:
        return
    for directory, _, files in os.walk(tree, topdown=False):  # the top, asked above, comes last
        for entry in (*(str(Path(directory, file)) for file in files), directory):
            os.chown(entry, uid, -1, follow_symlinks=False)


def _finish(pid: int) -> None:
    """Wait for initdb; if we are to end earlier, so is it."""
    code = None
    try:
        code = waiting.until(lambda: process.exit_code(pid), INITDB_SECONDS)
    finally:
        if code is None:
            os.killpg(pid, signal.SIGKILL)
            waiting.until(lambda: process.exit_code(pid), INITDB_SECONDS)
    if code != 0:
        raise PostgresError(f"PostgreSQL's initdb failed (exit code {code}).")


@contextmanager
def _password_file(place: Path, reader: Identity, password: str) -> Iterator[str]:
    descriptor, path = tempfile.mkstemp(prefix=PWFILE, dir=place)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(password)
        os.chown(path, reader.uid, -1)
        yield path
    finally:
        Path(path).unlink()
