"""What every test may use."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection, transaction
from django.test import TransactionTestCase
from pytest_django import Settings

from agents.editing import create_agent
from agents.models import Agent
from lap.core import clock
from tests.live import Web
from tests.processes import Sink, Workers

KEPT_TABLES = {"django_migrations", "django_content_type", "auth_permission"}
"""What migrations fill. A web process that outlives a test has cached the ids."""

SetClock = Callable[[datetime], None]
MakeAgent = Callable[..., Agent]


@pytest.fixture(scope="session", autouse=True)
def _quick_django() -> Iterator[None]:
    """Passwords that are hashed once; rows deleted after a test that committed them.

    Django's flush takes a hundred times as long as that.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PBKDF2PasswordHasher, "iterations", 1)
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: delete_rows())
        yield


@pytest.fixture
def set_clock(settings: Settings, db: None) -> SetClock:
    """Moves the one clock that decides about schedules; it goes on from there."""

    def move(to: datetime) -> None:
        settings.LAP_CLOCK_OFFSET_SECONDS = 0
        settings.LAP_CLOCK_OFFSET_SECONDS = (to - clock.now()).total_seconds()

    return move


@pytest.fixture
def make_agent(db: None) -> MakeAgent:
    """Creates an agent on the shell harness through the one editing function."""

    def make(**fields: Any) -> Agent:
        return create_agent({"model": "none", "harness_id": "shell", **fields}, actor="test")

    return make


@pytest.fixture
def workers(transactional_db: None) -> Iterator[Workers]:
    """Worker processes on this test's database; they and their sandboxes end with the test."""
    with tempfile.TemporaryDirectory(prefix="lap-test-") as folder:
        Path(folder).chmod(0o711)  # sandboxes with user ids of their own pass through it
        started = Workers(Path(folder))
        try:
            yield started
        finally:
            started.end()


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    """The web process on this test's database; it ends with the test."""
    started = Web(tmp_path)
    try:
        yield started
    finally:
        started.end()


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    yield server
    server.close()


def delete_rows() -> None:
    """Delete what tests may have committed; foreign keys are checked when all is deleted."""
    if not connection.is_usable():  # the test was interrupted in the middle of a statement
        connection.close()
    with transaction.atomic(), connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor)) - KEPT_TABLES
        cursor.execute(";".join(f'DELETE FROM "{table}"' for table in sorted(tables)))
