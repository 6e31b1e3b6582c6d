"""Sandboxes that are started ahead: claimed, refilled, recycled, and never relied upon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from sessions.sandboxes.base import Configuration, SandboxSpec, Warmth
from sessions.sandboxes.kubernetes import manifests
from sessions.sandboxes.kubernetes.backend import KubernetesBackend
from sessions.sandboxes.kubernetes.options import Options
from tests.kubernetes.backends import bring_up, opened, options_for
from tests.kubernetes.standin import StandIn
from tests.sessions.sandboxes.client import ask, make_spec, status

CONFIGURATION = Configuration(uuid4(), "shell", env={"REGION": "eu", "API_KEY": "hunter2"})


@pytest.fixture
def options(cluster: StandIn, tmp_path: Path) -> Options:
    return options_for(cluster, tmp_path, warm_pool_size=1)


def spec_for(configuration: Configuration = CONFIGURATION) -> SandboxSpec:
    return replace(
        make_spec(env={**configuration.env, "OWN": "1"}),
        configuration=configuration,
        is_warm_welcome=True,
    )


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def warm_up(
    cluster: StandIn, backend: KubernetesBackend, *configurations: Configuration
) -> Warmth:
    """Have pools for these and no others, each with a member, and seen by the backend."""
    done = await backend.keep_warm(configurations)
    names = {manifests.pool_name(one, backend._options) for one in configurations}

    def is_warm() -> bool:
        pools = [backend._cluster.pools.get(name) for name in names]
        return all(pool and pool.get("status", {}).get("readyReplicas") for pool in pools)

    await until(is_warm)
    return done


def test_a_session_gets_the_sandbox_that_waits_for_it(cluster: StandIn, options: Options) -> None:
    async def claim() -> None:
        async with opened(options) as backend:
            assert (await warm_up(cluster, backend, CONFIGURATION)).provisioned == 1
            spec, (waiting,) = spec_for(), cluster.objects("pods")
            sandbox = await bring_up(backend, spec)
            assert sandbox.name == spec.name
            assert sandbox.harness_token != spec.harness_token
            assert status(sandbox, sandbox.harness_token) < 300
            told = ask(sandbox, replace(spec, harness_token=sandbox.harness_token), "echo $REGION")
            assert told == "eu\n"
            pod = cluster.object("pods", waiting["metadata"]["name"])
            assert pod
            assert pod["metadata"]["labels"][manifests.CLAIMED_BY] == str(spec.session_id)
            assert [found.name for found in await backend.list()] == [spec.name]
            await until(lambda: len(cluster.objects("pods")) == 2)

    asyncio.run(claim())


def test_no_secret_stands_in_a_claim_or_a_template(cluster: StandIn, options: Options) -> None:
    async def claim() -> None:
        async with opened(options) as backend:
            await warm_up(cluster, backend, CONFIGURATION)
            await bring_up(backend, spec_for())

    asyncio.run(claim())
    kinds = ("sandboxtemplates", "sandboxwarmpools", "sandboxclaims", "sandboxes", "pods")
    assert "hunter2" not in repr([cluster.objects(kind) for kind in kinds])


def test_a_worker_that_takes_over_finds_the_same_sandbox(
    cluster: StandIn, options: Options
) -> None:
    async def take_over() -> None:
        async with opened(options) as first, opened(options) as second:
            await warm_up(cluster, first, CONFIGURATION)
            spec = spec_for()
            one = await bring_up(first, spec)
            await until(lambda: second._cluster.claims.get(spec.name))
            other = await bring_up(second, spec)
            assert (other, other.harness_token) == (one, one.harness_token)
            assert len(cluster.objects("sandboxclaims")) == 1

    asyncio.run(take_over())


def test_a_sandbox_of_its_own_is_not_left_for_a_warm_one(
    cluster: StandIn, options: Options
) -> None:
    """It was started when there was no pool; whoever takes over meets one."""

    async def take_over() -> None:
        async with opened(options) as first, opened(options) as second:
            spec = spec_for()
            one = await bring_up(first, spec)
            await warm_up(cluster, second, CONFIGURATION)
            assert await bring_up(second, spec) == one

    asyncio.run(take_over())
    assert cluster.objects("sandboxclaims") == []


def test_its_end_takes_claim_sandbox_and_pod_along(cluster: StandIn, options: Options) -> None:
    async def end() -> None:
        async with opened(options) as backend:
            await warm_up(cluster, backend, CONFIGURATION)
            spec = spec_for()
            await bring_up(backend, spec)
            await backend.keep_warm([])
            await backend.stop(spec.name)
            assert await backend.list() == []

    asyncio.run(end())
    asyncio.run(until(lambda: not cluster.objects("pods")))
    assert cluster.objects("sandboxclaims") == []


def test_without_a_warm_one_a_session_starts_cold(cluster: StandIn, options: Options) -> None:
    async def start() -> None:
        async with opened(options) as backend:
            spec = spec_for()
            sandbox = await bring_up(backend, spec)
            assert sandbox.harness_token == ""
            assert status(sandbox, spec.harness_token) < 300

    asyncio.run(start())
    assert cluster.objects("sandboxclaims") == []


def test_a_claim_that_gets_nothing_leaves_nothing(
    cluster: StandIn, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pool was emptied a moment before, and nothing is started for it."""
    monkeypatch.setattr("sessions.sandboxes.kubernetes.warm.CLAIM_SECONDS", 0.3)

    async def start() -> None:
        async with opened(options) as backend:
            await warm_up(cluster, backend, CONFIGURATION)
            cluster.kubelet.times.start = 60
            (waiting,) = cluster.objects("pods")
            await asyncio.to_thread(cluster.unready, waiting["metadata"]["name"])
            cluster.kubelet.times.start = 0
            spec = spec_for()
            sandbox = await bring_up(backend, spec)
            assert status(sandbox, sandbox.harness_token or spec.harness_token) < 300

    asyncio.run(start())


def test_another_configuration_recycles_the_pool(cluster: StandIn, options: Options) -> None:
    async def edit() -> None:
        async with opened(options) as backend:
            await warm_up(cluster, backend, CONFIGURATION)
            edited = replace(CONFIGURATION, env={"REGION": "us"})
            done = await warm_up(cluster, backend, edited)
            assert (done.provisioned, done.recycled, done.orphans_stopped) == (1, 1, 0)
            done = await backend.keep_warm([])
            assert (done.provisioned, done.recycled, done.orphans_stopped) == (0, 0, 1)

    asyncio.run(edit())
    for kind in ("sandboxtemplates", "sandboxwarmpools", "secrets", "sandboxes", "pods"):
        asyncio.run(until(lambda kind=kind: not cluster.objects(kind)))  # type: ignore[misc]


def test_a_pass_finishes_what_the_one_before_left_undone(
    cluster: StandIn, options: Options
) -> None:
    options = replace(options, api_retry_seconds=0)

    async def provision() -> None:
        async with opened(options) as backend:
            cluster.faults.once("error", verb="create", resource="sandboxwarmpools")
            assert (await backend.keep_warm([CONFIGURATION])).provisioned == 0
            assert (await warm_up(cluster, backend, CONFIGURATION)).provisioned == 1
            assert (await backend.keep_warm([CONFIGURATION])).provisioned == 0

    asyncio.run(provision())


def test_members_that_died_are_replaced_and_counted(cluster: StandIn, options: Options) -> None:
    async def replace_dead() -> None:
        async with opened(options) as backend:
            await warm_up(cluster, backend, CONFIGURATION)
            (waiting,) = cluster.objects("pods")
            name = waiting["metadata"]["name"]
            await asyncio.to_thread(cluster.oom, name)
            await until(lambda: "terminated" in repr(backend._cluster.pods.get(name)))
            done = await backend.keep_warm([CONFIGURATION])
            assert done.stale_killed == 1
            await until(lambda: cluster.object("pods", name) is None)
            await warm_up(cluster, backend, CONFIGURATION)
            (pool,) = (await backend.keep_warm([CONFIGURATION])).pools
            assert (pool.agent_id, pool.warm, pool.dead) == (CONFIGURATION.agent_id, 1, 0)
            assert pool.oldest_warm_at is not None

    asyncio.run(replace_dead())
