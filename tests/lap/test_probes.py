"""What the web process tells the kubelet and Prometheus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.test import Client

from lap.core.probes import Probes
from tests.live import Web
from tests.probes import POD_HOST, Probed, database_away, migration_missing
from tests.processes import wait_for


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    """As in a deployment, it logs JSON."""
    started = Web(tmp_path, LAP_LOG_FORMAT="json")
    yield started
    started.end()


@pytest.mark.slow
def test_web_tells_whether_it_can_serve(web: Web) -> None:
    probed = Probed(web.url)
    _it_waits_for_migrations(probed)
    _it_answers_whoever_asks(probed)
    with database_away():
        assert wait_for(lambda: probed.reason("/readyz")).startswith("the database")
        assert probed.get("/healthz").json() == {"ok": True}
        samples = probed.samples()
        assert samples["lap_database_up"] == 0
        assert "lap_workers_live" not in samples
        assert samples["process_resident_memory_bytes"] > 0
    wait_for(probed.is_ready)
    assert probed.samples()["lap_database_up"] == 1
    web.end()
    loggers = {json.loads(line)["logger"] for line in web.log().splitlines()}
    assert {"uvicorn.error", "uvicorn.access", "sessions.figures"} <= loggers


def _it_waits_for_migrations(probed: Probed) -> None:
    """Until they are all there; what a later version does to the table is none of its business."""
    with migration_missing("agents", "0001_initial"):
        answer = probed.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ok": False, "error": "migrations are missing: agents.0001_initial"}
    assert probed.is_ready()


def _it_answers_whoever_asks(probed: Probed) -> None:
    """Also at an address that ALLOWED_HOSTS refuses, without a key, and without a cookie."""
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = probed.get(path)
        assert (answer.status_code, answer.headers.get("set-cookie")) == (200, None), path
    assert probed.get("/login/").status_code == 400


def test_probes_are_no_part_of_the_api(client: Client, db: None) -> None:
    assert client.get("/metrics").status_code == 404


# The application by itself


async def _fine() -> str:
    return ""


async def _broken() -> str:
    return "draining"


async def _no_metrics() -> bytes:
    return b"lap_x 1\n"


PROBES = Probes(alive=_fine, ready=_broken, metrics=_no_metrics)


def ask(method: str, path: str) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(PROBES)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(method, f"http://{POD_HOST}{path}")

    return asyncio.run(request())


@pytest.mark.parametrize(
    ("method", "path", "status", "content"),
    [
        ("GET", "/healthz", 200, '{"ok": true}'),
        ("HEAD", "/healthz", 200, ""),
        ("GET", "/readyz", 503, '{"ok": false, "error": "draining"}'),
        ("HEAD", "/readyz", 503, ""),
        ("GET", "/metrics", 200, "lap_x 1\n"),
        ("POST", "/metrics", 405, '{"ok": false, "error": "/metrics is for GET and HEAD"}'),
        ("GET", "/", 404, '{"ok": false, "error": "there is no / here"}'),
        ("GET", "/metrics?name=x", 200, "lap_x 1\n"),
        ("GET", "/%6detrics", 404, '{"ok": false, "error": "there is no /%6detrics here"}'),
        ("GET", "/healthz/", 404, '{"ok": false, "error": "there is no /healthz/ here"}'),
    ],
)
def test_answers(method: str, path: str, status: int, content: str) -> None:
    answer = ask(method, path)
    assert (answer.status_code, answer.text) == (status, content)
    assert answer.headers["cache-control"] == "no-store"
