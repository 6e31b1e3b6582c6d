"""Many sessions at once while the API server misbehaves: each ends as it truly went.

``LAP_STORM_SESSIONS`` and ``LAP_STORM_OUTAGE_SECONDS`` make it larger than the suite's.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from agents.models import Agent
from sessions.models import Session
from sessions.opening import open_session
from sessions.stopping import stop_session
from tests.conftest import MakeAgent
from tests.kubernetes.platform import environment, left
from tests.kubernetes.standin import StandIn
from tests.processes import Workers, wait_for

SESSIONS = int(os.environ.get("LAP_STORM_SESSIONS", "25"))
OUTAGE_SECONDS = float(os.environ.get("LAP_STORM_OUTAGE_SECONDS", "2"))
PATIENCE_SECONDS = 300
CALLS_PER_SESSION = 12

REASONS = {
    "": "",
    "example/missing:1": "cannot be pulled",
    "example/exits-3:1": "exit code 3",
    "example/unschedulable:1": "3 Insufficient cpu",
    "example/crashes-at-start:1": "does not start",
}
"""Images, and the words of the reason that sessions with them must fail for."""


def misbehave(cluster: StandIn) -> None:
    faults = cluster.faults
    faults.error_share = 0.1
    faults.throttle_share = faults.cut_share = faults.cut_after_share = 0.03
    faults.latency_seconds = 0.005


def begin_outage(cluster: StandIn) -> None:
    """No connection is taken for a while, and every watch is cut."""
    cluster.refuse_connections()
    threading.Timer(OUTAGE_SECONDS, cluster.accept_connections).start()


def settled() -> Counter[str]:
    return Counter(Session.objects.values_list("status", flat=True))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_storm(standin: StandIn, workers: Workers, make_agent: MakeAgent, tmp_path: Path) -> None:
    agents = {image: make_agent(harness_image=image) for image in REASONS}
    misbehave(standin)
    for _ in range(2):
        workers.start(
            **environment(standin, tmp_path, K8S_SCHEDULE_TIMEOUT_SECONDS="3"),
            LAP_BRINGUP_CONCURRENCY="200",
        )
    for number in range(SESSIONS):
        open_session(image_of(agents, number).id, actor="test")
    wait_for(lambda: len(standin.objects("pods")) > SESSIONS / 4, PATIENCE_SECONDS)
    begin_outage(standin)

    wait_for(lambda: settled().keys() <= {"ready", "failed"}, PATIENCE_SECONDS)
    assert_true_reasons()
    ready = {s.sandbox_name for s in Session.objects.filter(status="ready")}
    assert len(ready) == SESSIONS - SESSIONS // 5
    wait_for(lambda: set(left(standin)["sandboxes"]) == ready, PATIENCE_SECONDS)
    assert_few_calls(standin)

    for session in Session.objects.filter(status="ready"):
        stop_session(session.id, "the storm is over")
    wait_for(lambda: settled().keys() <= {"dead", "failed"}, PATIENCE_SECONDS)
    wait_for(lambda: left(standin) == {}, PATIENCE_SECONDS)


def image_of(agents: dict[str, Agent], number: int) -> Agent:
    """Every fifth session is one that must fail."""
    images = list(REASONS)
    return agents[images[1 + number // 5 % 4] if number % 5 == 4 else ""]


def assert_true_reasons() -> None:
    for session in Session.objects.select_related("agent"):
        words = REASONS[session.agent.harness_image]
        assert session.status == ("failed" if words else "ready"), session.failure_reason
        assert words in (session.failure_reason or ""), session.failure_reason


def assert_few_calls(standin: StandIn) -> None:
    """Answered calls, without those of health checks and passes, which no session causes."""
    counted = [c for c in standin.calls if not c.injected and c.verb not in ("list", "watch")]
    per_session = len(counted) / SESSIONS
    print(f"{per_session:.1f} calls a session: {Counter(c.verb for c in counted)}")  # noqa: T201
    assert per_session <= CALLS_PER_SESSION
