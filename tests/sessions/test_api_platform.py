"""The backend's health and the platform's figures over the API."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from lap.core import clock
from sessions import lease, warming
from sessions.health import Check, check_backend, write_check
from sessions.models import Session, Worker
from sessions.sandboxes.base import Pool, Sandbox, SandboxBackend, SandboxError
from sessions.sandboxes.local import LocalBackend
from sessions.stats import AGENTS_LIMIT, platform_stats
from tests.api import Api
from tests.conftest import MakeAgent
from tests.processes import Workers, wait_for

HEALTH = "/health/k8s"
STATS = "/admin/stats"
HOUR = timedelta(hours=1)
NO_WORKER = "no worker is running; start one with manage.py run_cron_worker"
FINAL = ("completed", "failed", "dead")


def _worker(error: str | None = "", elapsed_ms: float = 1.5, **columns: Any) -> Worker:
    """A live worker that checked its backend just now; with None it has not yet."""
    worker = lease.register("here")
    if error is not None:
        write_check(worker.id, Check(elapsed_ms, error))
    Worker.objects.filter(id=worker.id).update(**columns)
    worker.refresh_from_db()
    return worker


def test_a_healthy_backend(api: Api) -> None:
    worker = _worker(elapsed_ms=12.25)
    answer = api.get(HEALTH)
    assert answer.status == 200
    at = answer.body.pop("checked_at")
    assert answer.body == {"ok": True, "elapsed_ms": 12.25, "backend": "local"}
    assert at.endswith("Z")
    assert datetime.fromisoformat(at) == worker.backend_checked_at


def test_a_failing_backend(api: Api) -> None:
    _worker("the disk is full")
    answer = api.get(HEALTH)
    assert answer.status == 503
    assert answer.body.pop("checked_at").endswith("Z")
    assert answer.body == {
        "ok": False, "error": "the disk is full", "elapsed_ms": 1.5, "backend": "local",
    }  # fmt: skip


@pytest.mark.parametrize("column", [None, "ended_at", "expires_at"])
def test_without_a_live_worker_nobody_knows(api: Api, column: str | None) -> None:
    if column:
        Worker.objects.filter(id=_worker().id).update(**{column: clock.now() - HOUR})
    answer = api.get(HEALTH)
    assert answer.status == 503
    assert answer.body == {
        "ok": False, "error": NO_WORKER, "elapsed_ms": None, "backend": None, "checked_at": None,
    }  # fmt: skip


def test_a_worker_that_has_not_checked_yet(api: Api) -> None:
    _worker(None)
    answer = api.get(HEALTH)
    assert (answer.status, answer.body["ok"]) == (503, False)
    assert "has not checked its backend yet" in answer.body["error"]
    assert [answer.body[name] for name in ("elapsed_ms", "backend", "checked_at")] == [
        None, "local", None,
    ]  # fmt: skip


def test_the_newest_check_of_a_live_worker_wins(api: Api) -> None:
    _worker("old news", backend_checked_at=clock.now() - HOUR)
    _worker("news of a worker that left", ended_at=clock.now())
    _worker(None)
    assert api.get(HEALTH).body["error"] == "old news"
    _worker()
    assert api.get(HEALTH).status == 200


def test_a_check_is_written_to_its_own_row_only(db: None) -> None:
    mine, other = lease.register("here"), lease.register("there")
    before = clock.now()
    write_check(mine.id, Check(3.5, "bad \0 text " + "x" * 2000))
    write_check(uuid4(), Check(1.0, ""))
    mine.refresh_from_db()
    other.refresh_from_db()
    assert mine.backend_error.startswith("bad \ufffd text xxx")
    assert len(mine.backend_error) == 1000
    assert mine.backend_checked_at
    assert before < mine.backend_checked_at < clock.now()
    assert (other.backend_error, other.backend_checked_at) == ("", None)


def test_a_check_of_a_local_backend(tmp_path: Path) -> None:
    found = asyncio.run(check_backend(LocalBackend(tmp_path)))
    assert found.error == ""
    assert 0 < found.elapsed_ms < 10_000


class _Troubled(LocalBackend):
    """A backend that answers as it is told: with an error, or after a long time."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def list(self) -> list[Sandbox]:
        if self._error:
            raise self._error
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SandboxError("the API is down", kind="api_down"), "the API is down"),
        (SandboxError("", kind="api_down"), "api_down"),
        (PermissionError(13, "Permission denied"), "PermissionError: [Errno 13] Permission denied"),
        (None, "the backend did not answer within 0.2 s"),
    ],
)
def test_a_check_of_a_backend_in_trouble(
    settings: Settings, error: Exception | None, says: str
) -> None:
    settings.LAP_BACKEND_CHECK_SECONDS = 0.2
    backend: SandboxBackend = _Troubled(error)
    found = asyncio.run(check_backend(backend))
    assert found.error == says
    assert found.elapsed_ms >= (0 if error else 200)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_worker_checks_at_its_start_and_again(api: Api, workers: Workers) -> None:
    process = workers.start(LAP_BACKEND_CHECK_SECONDS="0.2")
    first = wait_for(lambda: api.get(HEALTH).body["checked_at"])
    wait_for(lambda: api.get(HEALTH).body["checked_at"] > first)
    healthy = api.get(HEALTH)
    assert (healthy.status, healthy.body["backend"]) == (200, "local")
    assert healthy.body["elapsed_ms"] > 0
    (workers.sandboxes / "boxes").rename(workers.sandboxes / "elsewhere")
    error = wait_for(lambda: api.get(HEALTH).body.get("error"))
    assert "No such file or directory" in error
    (workers.sandboxes / "elsewhere").rename(workers.sandboxes / "boxes")
    wait_for(lambda: api.get(HEALTH).status == 200)
    process.terminate()
    process.wait(timeout=30)
    assert api.get(HEALTH).body["error"] == NO_WORKER


def _open(agent: Any, **counts: int) -> None:
    for status, count in counts.items():
        end: dict[str, Any] = {"stopped_at": clock.now()} if status in FINAL else {}
        end |= {"stop_as": "dead"} if status == "stopping" else {}
        Session.objects.bulk_create(
            [Session(agent=agent, status=status, **end) for _ in range(count)]
        )


def test_the_figures_of_an_empty_platform(api: Api, settings: Settings) -> None:
    answer = api.get(STATS)
    assert answer.status == 200
    assert answer.body == {
        "warm_pool": {
            "configured_size": 0,
            "max_provisioning": 0,
            "ttl_minutes": 0,
            "recent_agent_hours": 0,
            "counts": {"provisioning": 0, "warm": 0, "claimed": 0, "dead": 0},
            "by_agent": [],
        },
        "sessions": {
            "counts": {
                "creating": 0, "ready": 0, "stopping": 0, "completed": 0, "failed": 0, "dead": 0,
            },
            "by_agent": [],
        },
        "agents": {"total": 0},
        "runtime": {
            "backend": "local",
            "namespace": "",
            "harness_image": "",
            "container_port": None,
            "reconcile_interval_seconds": settings.LAP_RECONCILE_SECONDS,
        },
    }  # fmt: skip


def test_the_figures(api: Api, make_agent: MakeAgent) -> None:
    quiet, busy, ended, deleted = (make_agent(name=name) for name in "qbed")
    _open(quiet, creating=1, failed=4)
    _open(busy, creating=1, ready=2, stopping=3)
    _open(ended, completed=5, dead=6, stopping=1)
    _open(deleted, ready=2)
    assert api.delete(f"/managed_agents/agents/{deleted.id}").status == 204
    body = api.get(STATS).body
    assert body["agents"] == {"total": 3}
    assert body["sessions"]["counts"] == {
        "creating": 2, "ready": 4, "stopping": 4, "completed": 5, "failed": 4, "dead": 6,
    }  # fmt: skip
    assert body["sessions"]["by_agent"] == [
        {"agent_id": str(busy.id), "agent_name": "b", "creating": 1, "ready": 2},
        {"agent_id": str(deleted.id), "agent_name": "d", "creating": 0, "ready": 2},
        {"agent_id": str(quiet.id), "agent_name": "q", "creating": 1, "ready": 0},
    ]


def _report(worker: Worker, seconds_ago: float, *pools: Pool) -> None:
    warming.report(worker.id, pools)
    at = clock.now() - timedelta(seconds=seconds_ago)
    Worker.objects.filter(id=worker.id).update(warm_pools_at=at)


def test_the_figures_of_warm_pools(api: Api, make_agent: MakeAgent, settings: Settings) -> None:
    """The newest report of a worker that still lives."""
    settings.LAP_SANDBOX_BACKEND = "kubernetes"
    settings.K8S_HARNESS_IMAGE = "harness:1"
    settings.K8S_WARM_POOL_SIZE = 2
    settings.K8S_WARM_RECENT_SECONDS = 5400.0
    used, due, gone = make_agent(name="used"), make_agent(name="due"), uuid4()
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    _report(_worker(), 90, Pool(used.id, warm=7))
    _report(
        _worker(), 30, Pool(used.id, 1, 2, 3, 4, at), Pool(due.id, provisioning=1), Pool(gone, 1)
    )
    _report(_worker(ended_at=clock.now()), 0, Pool(used.id, warm=9))
    _worker()
    body = api.get(STATS).body
    zeros = {"provisioning": 0, "warm": 0, "claimed": 0, "dead": 0}
    assert body["warm_pool"] == {
        "configured_size": 2,
        "max_provisioning": 40,
        "ttl_minutes": 90,
        "recent_agent_hours": 2,
        "counts": {"provisioning": 3, "warm": 2, "claimed": 3, "dead": 4},
        "by_agent": [
            {
                "agent_id": str(used.id), "agent_name": "used", "provisioning": 1, "warm": 2,
                "claimed": 3, "dead": 4, "oldest_warm_at": "2026-03-02T09:00:00Z",
            },
            {
                "agent_id": str(due.id), "agent_name": "due", **zeros, "provisioning": 1,
                "oldest_warm_at": None,
            },
        ],
    }  # fmt: skip
    assert body["runtime"] == {
        "backend": "kubernetes",
        "namespace": "default",
        "harness_image": "harness:1",
        "container_port": 4096,
        "reconcile_interval_seconds": settings.LAP_RECONCILE_SECONDS,
    }


def test_warm_pools_that_nobody_reported(api: Api, settings: Settings) -> None:
    settings.LAP_SANDBOX_BACKEND = "kubernetes"
    _worker()
    pool = api.get(STATS).body["warm_pool"]
    assert pool["configured_size"] == settings.K8S_WARM_POOL_SIZE
    assert pool["counts"] == {"provisioning": 0, "warm": 0, "claimed": 0, "dead": 0}
    assert pool["by_agent"] == []


def test_the_list_by_agent_is_bounded(make_agent: MakeAgent) -> None:
    for _ in range(AGENTS_LIMIT + 3):
        _open(make_agent(), creating=1)
    busy = make_agent()
    _open(busy, ready=2)
    listed = platform_stats()["sessions"]["by_agent"]
    assert len(listed) == AGENTS_LIMIT == 200
    assert listed[0]["agent_id"] == busy.id


@pytest.mark.parametrize("agents", [3, 30])
def test_the_figures_take_three_statements(make_agent: MakeAgent, agents: int) -> None:
    for _ in range(agents):
        _open(make_agent(), creating=1, completed=1)
    with CaptureQueriesContext(connection) as statements:
        platform_stats()
    assert len(statements) == 3


@pytest.mark.parametrize("path", [HEALTH, STATS])
def test_the_routes_need_a_key_and_only_read(api: Api, path: str) -> None:
    anonymous = Api.anonymous()
    assert (anonymous.get(path).status, anonymous.get(path).error) == (401, "unauthorized")
    assert api.get(f"{path}/").status == 404
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = api(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
