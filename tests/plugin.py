"""Gives the test run a PostgreSQL of its own, before pytest-django reads the settings.

Load it with `-p tests.plugin`. With DATABASE_URL in the environment that server is used instead.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from lap.postgres import Server, locks

SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
PREFIX = "lap-test-"
_runs: list[tuple[Path, int]] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    options = early_config.known_args_namespace
    if not (options.help or options.version):
        prepare(start=not options.collectonly)
    return (yield)


def pytest_unconfigure() -> None:
    clean_up()


def prepare(*, start: bool) -> None:
    """Point the environment at a database and a data directory made for this run."""
    atexit.register(clean_up)  # pytest does not always get as far as pytest_unconfigure
    remove_abandoned()
    run = make_directory()
    os.environ["LAP_DATA_DIR"] = str(run / "data")
    if not os.environ.get("DATABASE_URL"):
        server = Server(run / "postgres", settings=SETTINGS)
        if start:
            server.start()
        os.environ["DATABASE_URL"] = server.url()


def clean_up() -> None:
    while _runs:
        run, lock = _runs.pop()
        remove(run)
        os.close(lock)


def make_directory() -> Path:
    """Make this run's directory. It is locked when it gets the name that others look for."""
    draft = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    lock = locks.attempt(draft / "owner.lock")
    if lock is None:
        raise RuntimeError(f"{draft} is new, yet locked")
    run = draft.rename(draft.with_name(draft.name.removeprefix(".")))
    _runs.append((run, lock))
    return run


def remove_abandoned() -> None:
    """Remove what killed runs could not: their server still runs."""
    for run in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        is_ours = run.lstat().st_uid == os.geteuid() and (run / "owner.lock").is_file()
        if is_ours and (lock := locks.attempt(run / "owner.lock")) is not None:
            remove(run)
            os.close(lock)


def remove(run: Path) -> None:
    Server(run / "postgres").remove()
    shutil.rmtree(run, ignore_errors=True)
