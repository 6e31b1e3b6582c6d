"""Log lines for programs: JSON, each with the run that it is about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from lap.core.logs import JsonFormatter, LineFormatter, RunFilter, about_run
from lap.core.threads import DatabaseThreads

AGENT = UUID("0e3bd2a7-9f0c-4f1e-8f43-3f5a0e6cf6b1")
SESSION = UUID("735b227c-6f6a-4bd6-a36b-8f86ad0c0d1c")
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
RUN = {
    "agent": str(AGENT),
    "agent_name": "nightly",
    "session": str(SESSION),
    "scheduled_for": "2026-03-02T09:00:00.000Z",
}

log = logging.getLogger("somebody.elses.library")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What the root logger's handlers would write, as the settings set them up."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RunFilter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def in_run(scheduled_for: datetime | None = NINE) -> Any:
    return about_run(
        agent=AGENT, agent_name="nightly", session=SESSION, scheduled_for=scheduled_for
    )


def test_a_line_is_one_object(stream: io.StringIO) -> None:
    before = datetime.now(UTC)
    log.warning("%s is\nodd \x1b[2J\udc80 ü", "it")
    [line] = lines(stream)
    written_at = datetime.fromisoformat(line.pop("time"))
    assert before - timedelta(milliseconds=1) <= written_at <= datetime.now(UTC)
    assert line == {
        "level": "WARNING",
        "logger": "somebody.elses.library",
        "message": "it is\nodd \x1b[2J\udc80 ü",
    }
    assert stream.getvalue().isascii()


def test_times_are_utc_with_milliseconds(stream: io.StringIO) -> None:
    record = logging.LogRecord("a", logging.INFO, "", 0, "m", None, None)
    record.created = NINE.timestamp() + 0.25
    record.scheduled_for = NINE.astimezone(timezone(timedelta(hours=5)))
    line = json.loads(JsonFormatter().format(record))
    assert line["time"] == "2026-03-02T09:00:00.250Z"
    assert line["scheduled_for"] == "2026-03-02T09:00:00.000Z"


def test_an_exception_is_part_of_its_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    [line] = lines(stream)
    assert line["message"] == "failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: why")


def test_tasks_and_database_threads_log_about_their_run(stream: io.StringIO) -> None:
    """Two runs at a time, each in a task of its own, on one shared thread."""

    async def carry(database: DatabaseThreads, name: str) -> None:
        log.warning("task")
        await asyncio.sleep(0)
        await database(log.warning, "thread")
        await asyncio.create_task(_say("inner task"))

    async def both(database: DatabaseThreads) -> None:
        with in_run():
            first = asyncio.create_task(carry(database, "first"))
        await asyncio.gather(first, carry(database, "none"))

    database = DatabaseThreads("test", 1)
    asyncio.run(both(database))
    database.close()
    told = [line for line in lines(stream) if line["logger"] == log.name]
    assert len(told) == 6
    about = [{name: line[name] for name in RUN if name in line} for line in told]
    for message in ("task", "thread", "inner task"):
        runs = [run for line, run in zip(told, about, strict=True) if line["message"] == message]
        assert sorted(runs, key=len) == [{}, RUN]


async def _say(message: str) -> None:
    log.warning(message)


def test_what_a_line_says_of_itself_counts(stream: io.StringIO) -> None:
    with in_run(scheduled_for=None):
        log.warning("an edit", extra={"agent": "another"})
    [line] = lines(stream)
    assert line["agent"] == "another"
    assert "scheduled_for" not in line


def test_the_readable_form_names_the_same_run_in_short() -> None:
    record = logging.LogRecord("sessions.bringup", logging.INFO, "", 0, "ready", None, None)
    with in_run():
        RunFilter().filter(record)
    assert (
        LineFormatter()
        .format(record)
        .endswith("ready  [agent=nightly session=735b227c scheduled_for=2026-03-02T09:00Z]")
    )
