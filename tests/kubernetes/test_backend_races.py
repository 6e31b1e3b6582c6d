"""Names belong to one attempt: whatever meets under one name ends in one sandbox, or none."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sessions.sandboxes.base import SandboxError, SandboxSpec
from sessions.sandboxes.kubernetes import manifests
from sessions.sandboxes.kubernetes.options import Options
from tests.kubernetes.backends import bring_up, opened, options_for, spec_of
from tests.kubernetes.standin import StandIn
from tests.sessions.sandboxes.client import ignore, status


@pytest.fixture
def options(cluster: StandIn, tmp_path: Path) -> Options:
    return options_for(cluster, tmp_path)


def test_an_answer_that_was_lost_is_not_a_second_sandbox(
    cluster: StandIn, options: Options
) -> None:
    cluster.faults.once("cut-after", verb="create", resource="sandboxes")
    cluster.faults.once("cut-after", verb="create", resource="secrets")
    cluster.faults.once("cut-after", verb="create", resource="services")
    spec = spec_of()

    async def start() -> None:
        async with opened(options) as backend:
            sandbox = await bring_up(backend, spec)
            assert status(sandbox, spec.harness_token) < 300

    asyncio.run(start())
    for plural in ("sandboxes", "secrets"):
        assert [found["metadata"]["name"] for found in cluster.objects(plural)] == [spec.name]


def test_a_secret_of_a_former_life_is_made_anew(cluster: StandIn, options: Options) -> None:
    """The collector would take it away, and with it what the pod needs."""
    spec = spec_of()
    former = {"name": spec.name, "uid": "gone"}
    owner = [{"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", **former}]
    cluster.collector.delay_seconds = 60
    cluster.create("secrets", {"metadata": {"name": spec.name, "ownerReferences": owner}})

    async def start() -> None:
        async with opened(options) as backend:
            assert status(await bring_up(backend, spec), spec.harness_token) < 300

    asyncio.run(start())
    (secret,), (sandbox,) = cluster.objects("secrets"), cluster.objects("sandboxes")
    assert secret["metadata"]["ownerReferences"][0]["uid"] == sandbox["metadata"]["uid"]


def test_a_name_that_somebody_else_has_taken(cluster: StandIn, options: Options) -> None:
    spec = spec_of()
    stranger = manifests.sandbox(spec, options, datetime(2027, 1, 1, tzinfo=UTC))
    stranger["metadata"]["labels"] = {"app": "theirs"}
    cluster.create("sandboxes", stranger)

    async def start() -> None:
        async with opened(options) as backend:
            with pytest.raises(
                SandboxError, match="taken by a Sandbox that is not LAP's"
            ) as caught:
                await backend.create(spec)
            assert caught.value.permanent

    asyncio.run(start())


def test_a_sandbox_that_is_deleted_while_it_starts(cluster: StandIn, options: Options) -> None:
    spec = spec_of("example/never-ready:1")

    async def start() -> None:
        async with opened(options) as backend:
            starting = asyncio.create_task(bring_up(backend, spec))
            while not cluster.object("pods", spec.name):
                await asyncio.sleep(0.01)
            await asyncio.to_thread(cluster.delete, "sandboxes", spec.name)
            with pytest.raises(SandboxError, match="somebody deleted the sandbox"):
                await starting

    asyncio.run(start())


def test_a_worker_that_knows_nothing_yet_stops_a_sandbox(
    cluster: StandIn, options: Options
) -> None:
    spec = spec_of()

    async def start_and_stop() -> None:
        async with opened(options) as one:
            await bring_up(one, spec)
        async with opened(options) as other:
            await other.stop(spec.name)
            assert await other.list() == []

    asyncio.run(start_and_stop())
    assert cluster.objects("pods") == []


def test_a_stop_that_meets_a_new_life_of_the_name_ends_that_one(
    cluster: StandIn, options: Options
) -> None:
    """The watch is cut off: what the worker knows of the name has another uid by now."""
    spec = spec_of()

    async def start_and_stop() -> None:
        async with opened(options) as one, opened(options) as other:
            await bring_up(one, spec)
            while not await one.find(spec.name):
                await asyncio.sleep(0.01)
            await other.stop(spec.name)
            await bring_up(other, spec)
            await one.stop(spec.name)
            assert await other.list() == []

    asyncio.run(start_and_stop())


def test_the_watch_survives_cuts_and_forgotten_history(cluster: StandIn, options: Options) -> None:
    async def start_all() -> None:
        async with opened(options) as backend:
            for harm in (cluster.cut_watches, cluster.forget_history):
                await asyncio.to_thread(harm)
                spec = spec_of()
                sandbox = await bring_up(backend, spec)
                assert status(sandbox, spec.harness_token) < 300

    asyncio.run(start_all())


def test_waiting_asks_nothing(cluster: StandIn, options: Options) -> None:
    """Whoever waits, waits for the watch: there is no polling."""
    cluster.kubelet.times.start = 0.5
    spec = spec_of()

    async def start() -> None:
        async with opened(options) as backend:
            sandbox = await backend.create(spec)
            before = len(cluster.calls)
            await backend.wait_ready(sandbox, ignore)
            asked = [call for call in cluster.calls[before:] if call.verb != "watch"]
            assert [(call.verb, call.resource) for call in asked] == [("create", "services")]

    asyncio.run(start())


def test_what_lives_is_renewed_and_the_rest_expires(cluster: StandIn, tmp_path: Path) -> None:
    options = options_for(cluster, tmp_path, ttl_seconds=3)
    wanted, unwanted = spec_of(), spec_of()

    async def live(specs: list[SandboxSpec]) -> None:
        async with opened(options) as backend:
            for spec in specs:
                await bring_up(backend, spec)
            while cluster.object("sandboxes", unwanted.name):
                await backend.renew([wanted.name])
                await asyncio.sleep(0.1)
            assert [sandbox.name for sandbox in await backend.list()] == [wanted.name]

    asyncio.run(live([wanted, unwanted]))
    renewals = [call for call in cluster.calls if call.verb == "patch"]
    assert 1 <= len(renewals) <= 4
