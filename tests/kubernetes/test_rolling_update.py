"""Workers are replaced one after another while a herd of scheduled runs is under way.

``LAP_HERD_RUNS`` makes the herd larger than the suite's.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from subprocess import Popen

import pytest

from scheduler.models import CronFire
from sessions.models import Session
from tests.conftest import MakeAgent, SetClock
from tests.kubernetes.platform import environment, left
from tests.kubernetes.standin import StandIn
from tests.processes import Workers, wait_for

RUNS = int(os.environ.get("LAP_HERD_RUNS", "24"))
PATIENCE_SECONDS = 240
NINE = datetime(2027, 3, 1, 9, tzinfo=UTC)


def progress() -> Counter[str]:
    return Counter(Session.objects.values_list("status", flat=True))


def has_completed(runs: int) -> bool:
    return progress()["completed"] >= runs


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rolling_update_loses_and_doubles_nothing(
    standin: StandIn,
    workers: Workers,
    make_agent: MakeAgent,
    set_clock: SetClock,
    tmp_path: Path,
) -> None:
    set_clock(NINE - timedelta(minutes=1))
    for number in range(RUNS):
        seconds = number % 5
        make_agent(cron_schedule="0 9 * * *", cron_prompt=f"sleep {seconds}; echo done {seconds}")
    set_clock(NINE - timedelta(seconds=2))

    old = [start(standin, workers, tmp_path) for _ in range(2)]
    for number, worker in enumerate(old):
        enough = RUNS * (number + 1) // 4
        wait_for(partial(has_completed, enough), PATIENCE_SECONDS)
        start(standin, workers, tmp_path)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_SECONDS) == 0

    wait_for(lambda: sum(progress().values()) == progress()["completed"], PATIENCE_SECONDS)
    assert_each_ran_once()
    wait_for(lambda: left(standin) == {})


def start(standin: StandIn, workers: Workers, folder: Path) -> Popen[bytes]:
    """A pod of the deployment, with little time to drain: most runs are handed over."""
    return workers.start(**environment(standin, folder), LAP_DRAIN_SECONDS="1")


def assert_each_ran_once() -> None:
    assert list(CronFire.objects.values_list("outcome", flat=True)) == ["started"] * RUNS
    sessions = list(Session.objects.select_related("agent"))
    assert len({session.agent_id for session in sessions}) == len(sessions) == RUNS
    for session in sessions:
        assert session.scheduled_for == NINE
        assert session.attempt == 1
        assert session.response
        assert session.response.strip() == session.initial_prompt.partition("echo ")[2]
        assert [message["info"]["role"] for message in session.thread] == ["user", "assistant"]
