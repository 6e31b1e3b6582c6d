"""Every way in which a sandbox is not to be had, driven through the API server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.kubernetes.options import Connection, Options
from tests.kubernetes.backends import bring_up, opened, options_for, spec_of
from tests.kubernetes.standin import StandIn
from tests.sessions.sandboxes.client import ignore

PODS = [
    ("example/missing:1", "image_pull", True, 'the image "example/missing:1" cannot be pulled'),
    ("example/unschedulable:1", "unschedulable", True, "no node .* 3 Insufficient cpu"),
    ("example/no-network:1", "network_setup", False, "no addresses are available in the pool"),
    ("example/crashes-at-start:1", "sandbox_start_failed", False, "does not start"),
    ("example/never-ready:1", "start_timeout", False, "did not listen within 0.5 s"),
    ("example/exits-3:1", "sandbox_exited", False, "exit code 3.*(.|\n)*cannot go on"),
]


@pytest.fixture
def options(cluster: StandIn, tmp_path: Path) -> Options:
    return options_for(cluster, tmp_path)


def failure(options: Options, image: str = "") -> SandboxError:
    """The error with which the bring-up ends."""

    async def fail() -> SandboxError:
        async with opened(options) as backend:
            with pytest.raises(SandboxError) as caught:
                await bring_up(backend, spec_of(image))
            return caught.value

    return asyncio.run(fail())


def assert_told(error: SandboxError, kind: str, permanent: bool, words: str) -> None:
    assert (error.kind, error.permanent) == (kind, permanent), error
    assert re.search(words, str(error)), str(error)


@pytest.mark.parametrize(("image", "kind", "permanent", "words"), PODS)
def test_pods_that_never_run(
    options: Options, image: str, kind: str, permanent: bool, words: str
) -> None:
    error = failure(replace(options, start_timeout_seconds=0.5), image)
    assert_told(error, kind, permanent, words)


def quota_of_pods(cluster: StandIn) -> None:
    cluster.quota(pods=0)


def quota_of_sandboxes(cluster: StandIn) -> None:
    cluster.quota("quota", **{"count/sandboxes.agents.x-k8s.io": 0})


def no_definitions(cluster: StandIn) -> None:
    cluster.uninstall("agents.x-k8s.io")


def nothing(cluster: StandIn) -> None:
    """The options alone are wrong."""


def away(cluster: StandIn) -> None:
    cluster.faults.is_unavailable = True


Breaking = Callable[[StandIn], None]
CLUSTERS: list[tuple[Breaking, dict[str, Any], str, bool, str]] = [
    (quota_of_pods, {}, "quota", True, "quota has no room.*exceeded quota"),
    (quota_of_sandboxes, {}, "quota", True, "quota has no room.*exceeded quota"),
    (no_definitions, {}, "crds_missing", True, "install the agent-sandbox controller"),
    (nothing, {"namespace": "nons"}, "namespace_missing", True, 'namespaces "nons" not found'),
    (away, {"api_retry_seconds": 0.5}, "api_down", False, "the API server is not available"),
]


@pytest.mark.parametrize(("breaking", "changed", "kind", "permanent", "words"), CLUSTERS)
def test_clusters_that_refuse(
    cluster: StandIn,
    options: Options,
    breaking: Breaking,
    changed: dict[str, Any],
    kind: str,
    permanent: bool,
    words: str,
) -> None:
    breaking(cluster)
    assert_told(failure(replace(options, **changed)), kind, permanent, words)


def test_an_object_that_is_invalid(options: Options) -> None:
    async def fail() -> SandboxError:
        async with opened(options) as backend:
            with pytest.raises(SandboxError) as caught:
                await backend.create(replace(spec_of(), name="Bad_Name"))
            return caught.value

    assert_told(asyncio.run(fail()), "invalid_spec", True, "Bad_Name.* is invalid")


def test_a_server_that_has_too_much_to_do(cluster: StandIn, options: Options) -> None:
    cluster.faults.throttle_share = 1
    cluster.faults.applies = lambda call: call.verb == "create"
    error = failure(replace(options, api_retry_seconds=0.5))
    assert_told(error, "api_down", False, "Too many requests")


def test_a_volume_that_cannot_be_mounted(cluster: StandIn, options: Options) -> None:
    async def fail() -> SandboxError:
        async with opened(replace(options, start_timeout_seconds=0.5)) as backend:
            spec = spec_of("example/no-network:1")
            sandbox = await backend.create(spec)
            mount = {
                "metadata": {"name": "mount", "namespace": cluster.namespace},
                "involvedObject": {"kind": "Pod", "name": spec.name},
                "reason": "FailedMount",
                "message": "MountVolume.SetUp failed",
                "lastTimestamp": "2099-01-01T00:00:00Z",
            }
            await asyncio.to_thread(cluster.create, "events", mount)
            with pytest.raises(SandboxError) as caught:
                await backend.wait_ready(sandbox, ignore)
            return caught.value

    assert_told(asyncio.run(fail()), "volume_setup", False, "MountVolume.SetUp failed")


def test_what_the_role_does_not_allow(cluster: StandIn, tmp_path: Path) -> None:
    cluster.token("limited", rules=[])
    error = failure(options_for(cluster, tmp_path, user="limited"))
    assert_told(error, "forbidden", True, 'User "limited" cannot list resource "sandboxes"')


def test_credentials_that_are_not_accepted(cluster: StandIn, tmp_path: Path) -> None:
    path = cluster.kubeconfig(tmp_path / "kubeconfig", token="out of date")
    options = options_for(cluster, tmp_path, connection=Connection(kubeconfig=str(path)))
    assert_told(failure(options), "unauthorized", True, "does not accept LAP's credentials")


def test_a_server_that_cannot_be_verified(cluster: StandIn, tmp_path: Path) -> None:
    options = options_for(cluster, tmp_path, connection=Connection(api_server=cluster.url))
    assert_told(failure(options), "tls", True, "K8S_CA_FILE")
    assert not [call for call in cluster.calls if call.verb == "create"]


def test_a_server_that_is_not_there(cluster: StandIn, options: Options) -> None:
    with cluster.outage():
        error = failure(replace(options, api_retry_seconds=0.5))
    assert_told(error, "api_down", False, "cannot be reached")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (StandIn.oom, "out of memory: .* limit of 4Gi"),
        (StandIn.evict, "evicted the sandbox: The node was low on resource: memory"),
        (StandIn.exit, "exit code 1"),
    ],
)
def test_why_a_running_sandbox_ended(
    cluster: StandIn, options: Options, end: Callable[[StandIn, str], None], words: str
) -> None:
    async def see() -> None:
        async with opened(options) as backend:
            spec = spec_of()
            await bring_up(backend, spec)
            await asyncio.to_thread(end, cluster, spec.name)
            found = await backend.find(spec.name)
            while found and found.is_running:
                await asyncio.sleep(0.01)
                found = await backend.find(spec.name)
            assert found is not None
            assert_told(SandboxError(found.ended_because, kind=""), "", False, words)
            assert [one.is_running for one in await backend.list()] == [False]

    asyncio.run(see())
