"""A worker whose sandboxes are in a cluster brings them and its rows together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from agents.models import Agent
from lap.core import clock
from sessions.models import Session, Worker
from sessions.querysets import FINAL
from tests.api import Api
from tests.conftest import MakeAgent
from tests.kubernetes.backends import IMAGE, WORKER
from tests.kubernetes.role import worker_rules
from tests.kubernetes.standin import StandIn
from tests.processes import Workers, reload, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cluster() -> Iterator[StandIn]:
    with StandIn() as started:
        yield started


def on(cluster: StandIn, folder: Path) -> dict[str, str]:
    """The worker's settings. The Role of deployments is all that it may do."""
    cluster.token(WORKER, worker_rules())
    return {
        "LAP_SANDBOX_BACKEND": "kubernetes",
        "LAP_RECONCILE_SECONDS": "0.3",
        "LAP_RECONCILE_GRACE_SECONDS": "0",
        "K8S_KUBECONFIG": str(cluster.kubeconfig(folder / "kubeconfig", WORKER)),
        "K8S_NAMESPACE": cluster.namespace,
        "K8S_HARNESS_IMAGE": IMAGE,
    }


def sandboxes(cluster: StandIn) -> set[str]:
    return {found["metadata"]["name"] for found in cluster.objects("sandboxes")}


def warm_sandboxes(api: Api, agent: Agent) -> int:
    """As the web process tells from what workers reported."""
    pools = api.get("/admin/stats").body["warm_pool"]["by_agent"]
    return sum(pool["warm"] for pool in pools if pool["agent_id"] == str(agent.id))


def test_a_worker_on_a_cluster_reconciles(
    cluster: StandIn, workers: Workers, make_agent: MakeAgent, api: Api, settings: Settings,
    tmp_path: Path,
) -> None:  # fmt: skip
    settings.LAP_SANDBOX_BACKEND = "kubernetes"
    starved, orphan = (Session.objects.create(agent=make_agent()) for _ in range(2))
    worker = workers.start(**on(cluster, tmp_path))
    wait_for(lambda: all(reload(one).status == "ready" for one in (starved, orphan)), 60)
    assert Worker.objects.get().host

    Session.objects.filter(id=orphan.id).update(status="dead", stopped_at=clock.now())
    wait_for(lambda: orphan.sandbox_name not in sandboxes(cluster))
    cluster.oom(starved.sandbox_name)
    wait_for(lambda: reload(starved).status in FINAL)
    assert starved.status == "dead"
    assert (starved.failure_reason or "").startswith("out of memory")

    due = make_agent(name="due")
    in_a_minute = clock.now() + timedelta(minutes=1)
    Agent.objects.filter(id=due.id).update(cron_schedule="0 0 1 1 *", cron_next_fire_at=in_a_minute)
    wait_for(lambda: warm_sandboxes(api, due))
    worker.terminate()
    assert worker.wait(timeout=30) == 0, workers.logs()
    counters = Worker.objects.get().counters
    assert (counters["ghost_killed"], counters["reconcile_errors"]) == (1, 0)
    assert counters["stopped"] >= 1
    assert counters["warm_provisioned"] >= 1
