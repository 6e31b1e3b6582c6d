"""What clusters do to those who trust them too much."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from sessions.sandboxes.base import Configuration, SandboxError, SandboxSpec
from sessions.sandboxes.kubernetes import manifests
from sessions.sandboxes.kubernetes.backend import KubernetesBackend
from sessions.sandboxes.kubernetes.options import Options
from tests.kubernetes.backends import WORKER, bring_up, opened, options_for, spec_of
from tests.kubernetes.odd_server import EMPTY_LIST, Answer, Odd, odd_server
from tests.kubernetes.role import worker_rules
from tests.kubernetes.standin import StandIn
from tests.sessions.sandboxes.client import ignore, status

CONFIGURATION = Configuration(uuid4(), "shell", env={"REGION": "eu"})
LOOK_SECONDS = 1.5
END = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def options(cluster: StandIn, tmp_path: Path) -> Options:
    return options_for(cluster, tmp_path)


def welcome_spec() -> SandboxSpec:
    return replace(spec_of(), configuration=CONFIGURATION, is_warm_welcome=True)


async def warm_up(cluster: StandIn, backend: KubernetesBackend) -> None:
    await backend.keep_warm([CONFIGURATION])
    name = manifests.pool_name(CONFIGURATION, backend._options)
    while not (backend._cluster.pools.get(name) or {}).get("status", {}).get("readyReplicas"):
        await asyncio.sleep(0.01)


# The watch


EVENT = json.dumps(
    {
        "type": "ADDED",
        "object": {"kind": "Sandbox", "metadata": {"name": "s-1", "resourceVersion": "2"}},
    }
)


async def hear_of_it(server: Odd) -> None:
    async with opened(server.options) as backend, asyncio.timeout(5):
        while not backend._cluster.sandboxes.get("s-1"):
            await asyncio.sleep(0.01)


ODD_WATCHES = [
    ("a line that was cut", Answer(EVENT[:40])),
    ("a page of something else", Answer("<html>sign in</html>")),
    ("an event without an object", Answer('{"type": "ADDED"}\n')),
    ("an error that is no 410", Answer('{"type": "ERROR", "object": {"code": 500}}\n')),
    ("a 410", Answer('{"type": "ERROR", "object": {"code": 410, "message": "too old"}}\n')),
    ("a refusal", Answer('{"kind": "Status", "message": "no"}', 403)),
    ("an end at once", Answer("")),
]


@pytest.mark.parametrize(("what", "odd"), ODD_WATCHES)
def test_whatever_a_watch_says_the_next_one_is_heard(what: str, odd: Answer) -> None:
    async def hear() -> None:
        async with odd_server(watch=[odd, Answer(EVENT + "\n")]) as server:
            await hear_of_it(server)

    asyncio.run(hear())


ODD_LISTS = [
    Answer("<html>sign in</html>"),
    Answer("[]"),
    Answer('{"items": null, "metadata": null}'),
    Answer("default backend - 404", 404),
    Answer("bad gateway", 502),
]


@pytest.mark.parametrize("odd", ODD_LISTS)
def test_whatever_a_list_says_the_next_one_is_heard(odd: Answer) -> None:
    async def hear() -> None:
        lists, watches = [odd, Answer(EMPTY_LIST)], [Answer(EVENT + "\n")]
        async with odd_server(list=lists, watch=watches) as server:
            await hear_of_it(server)

    asyncio.run(hear())


def test_a_version_that_is_no_good_any_more_is_dropped() -> None:
    """As after the API server was restored from a back-up."""
    refused = Answer('{"kind": "Status", "message": "Too large resource version"}', 504)

    async def hear() -> None:
        async with odd_server(watch=[refused, refused, Answer(EVENT + "\n")]) as server:
            await hear_of_it(server)
            assert server.asked["list"] >= 3

    asyncio.run(hear())


STORMS = [
    [Answer("")],
    [Answer('{"type": "ERROR", "object": {"code": 410, "message": "too old"}}\n')],
    [Answer("slow down", 429, {"Retry-After": "30"})],
    [Answer("oops", 500)],
]


@pytest.mark.parametrize("watches", STORMS)
def test_watches_that_fail_are_no_storm(watches: Sequence[Answer]) -> None:
    async def count() -> Counter[str]:
        async with odd_server(watch=watches) as server, opened(server.options):
            await asyncio.sleep(LOOK_SECONDS)
            return server.asked

    asked = asyncio.run(count())
    assert 1 <= asked["watch"] <= 8
    assert asked["list"] <= asked["watch"] + 1


# Claims


def test_more_sessions_than_warm_sandboxes(cluster: StandIn, tmp_path: Path) -> None:
    """The pool says that a member is ready to all of them; one gets it."""
    options = options_for(cluster, tmp_path, warm_pool_size=1, start_timeout_seconds=10)

    async def herd() -> None:
        async with opened(options) as backend:
            await warm_up(cluster, backend)
            cluster.kubelet.times.start = 0.5
            specs = [welcome_spec() for _ in range(4)]
            for sandbox in await asyncio.gather(*(bring_up(backend, spec) for spec in specs)):
                (spec,) = [spec for spec in specs if spec.name == sandbox.name]
                assert status(sandbox, sandbox.harness_token or spec.harness_token) < 300
            for spec in specs:
                await backend.stop(spec.name)
            assert await backend.list() == []

    asyncio.run(herd())


def test_a_claim_whose_sandbox_has_gone_is_not_alive(cluster: StandIn, tmp_path: Path) -> None:
    async def lose() -> None:
        async with opened(options_for(cluster, tmp_path, warm_pool_size=1)) as backend:
            await warm_up(cluster, backend)
            (member,) = cluster.objects("sandboxes")
            spec = welcome_spec()
            await bring_up(backend, spec)
            await asyncio.to_thread(cluster.delete, "sandboxes", member["metadata"]["name"])
            async with asyncio.timeout(5):
                while (found := await backend.find(spec.name)) and found.is_running:
                    await asyncio.sleep(0.01)
            assert [one.is_running for one in await backend.list()] == [False]

    asyncio.run(lose())


def test_without_the_extension_sessions_start_cold(cluster: StandIn, tmp_path: Path) -> None:
    options = options_for(cluster, tmp_path, warm_pool_size=1)
    cluster.uninstall("extensions.agents.x-k8s.io")

    async def live() -> None:
        async with opened(options) as backend:
            assert (await backend.keep_warm([CONFIGURATION])).provisioned == 0
            spec = welcome_spec()
            await bring_up(backend, spec)
            assert [one.name for one in await backend.list()] == [spec.name]
            await backend.stop(spec.name)

    asyncio.run(live())


def test_an_extension_that_cannot_be_reached_any_more_is_an_error(
    cluster: StandIn, tmp_path: Path
) -> None:
    """Else its claims would be taken for gone, and their conversations for lost."""

    async def live() -> None:
        async with opened(options_for(cluster, tmp_path, warm_pool_size=1)) as backend:
            await backend.list()
            cluster.uninstall("extensions.agents.x-k8s.io")
            with pytest.raises(SandboxError):
                await backend.list()

    asyncio.run(live())


def test_a_claim_that_was_started_for_a_session_tells_its_end(
    cluster: StandIn, tmp_path: Path
) -> None:
    """Its Sandbox has the name of the claim, and none of our labels."""

    options = options_for(cluster, tmp_path, warm_pool_size=1, start_timeout_seconds=10)

    async def live() -> None:
        async with opened(options) as backend:
            await warm_up(cluster, backend)
            cluster.pools.queue.delay_seconds = 60  # nothing is refilled, nor counted anew
            specs = [welcome_spec() for _ in range(2)]
            await asyncio.gather(*(bring_up(backend, spec) for spec in specs))
            own = [spec for spec in specs if cluster.object("pods", spec.name)]
            assert len(own) == 1
            assert cluster.object("sandboxclaims", own[0].name)
            await asyncio.to_thread(cluster.oom, own[0].name)
            async with asyncio.timeout(5):
                while (found := await backend.find(own[0].name)) and found.is_running:
                    await asyncio.sleep(0.01)
            assert found
            assert found.ended_kind == "out_of_memory"

    asyncio.run(live())


@pytest.mark.parametrize("missing", ["sandboxclaims", "sandboxwarmpools"])
def test_without_the_right_to_claims_reconcile_goes_on(
    cluster: StandIn, tmp_path: Path, missing: str
) -> None:
    rules = [rule for rule in worker_rules() if missing not in rule["resources"]]
    options = options_for(cluster, tmp_path, warm_pool_size=1)
    cluster.token(WORKER, rules)

    async def live() -> None:
        async with opened(options) as backend:
            spec = welcome_spec()
            await bring_up(backend, spec)
            assert [one.name for one in await backend.list()] == [spec.name]
            await backend.stop(spec.name)
            assert await backend.list() == []

    asyncio.run(live())


def test_a_pool_gets_its_secret_back(cluster: StandIn, tmp_path: Path) -> None:
    async def lose() -> None:
        async with opened(options_for(cluster, tmp_path, warm_pool_size=1)) as backend:
            await warm_up(cluster, backend)
            (pool,) = cluster.objects("sandboxwarmpools")
            await asyncio.to_thread(cluster.delete, "secrets", pool["metadata"]["name"])
            await bring_up(backend, welcome_spec())
            async with asyncio.timeout(5):
                await warm_up(cluster, backend)

    asyncio.run(lose())


def test_a_template_that_cannot_be_deleted_keeps_no_other_pool_away(
    cluster: StandIn, tmp_path: Path
) -> None:
    options = options_for(cluster, tmp_path, warm_pool_size=1, api_retry_seconds=0)

    async def keep() -> None:
        async with opened(options) as backend:
            await warm_up(cluster, backend)
            cluster.faults.error_share = 1
            cluster.faults.applies = lambda call: call.verb == "delete"
            done = await backend.keep_warm([replace(CONFIGURATION, env={})])
            assert (done.provisioned, done.recycled) == (1, 0)

    asyncio.run(keep())


# Sandboxes


def test_a_label_more_is_no_stranger(cluster: StandIn, options: Options) -> None:
    """Policies and cost tools add labels to what others made."""
    spec = spec_of()

    async def take_over() -> None:
        async with opened(options) as one, opened(options) as other:
            first = await bring_up(one, spec)
            labels = {"metadata": {"labels": {"cost-centre": "7"}}}
            await asyncio.to_thread(cluster.patch, "sandboxes", spec.name, labels)
            assert await bring_up(other, spec) == first

    asyncio.run(take_over())


def test_an_object_without_our_labels_hides_no_other(cluster: StandIn, options: Options) -> None:
    odd = manifests.sandbox(spec_of(), options, END)
    del odd["metadata"]["labels"][manifests.ATTEMPT]
    cluster.create("sandboxes", odd)

    async def look() -> None:
        async with opened(options) as backend:
            spec = spec_of()
            await bring_up(backend, spec)
            assert [one.name for one in await backend.list()] == [spec.name]

    asyncio.run(look())


def test_one_that_cannot_be_renewed_keeps_none_from_being(
    cluster: StandIn, options: Options
) -> None:
    specs = [spec_of() for _ in range(3)]
    longer = replace(options, ttl_seconds=20_000, api_retry_seconds=0)

    async def renew() -> None:
        async with opened(options) as one, opened(longer) as other:
            for spec in specs:
                await bring_up(one, spec)
            while len(other._cluster.sandboxes.all()) < len(specs):
                await asyncio.sleep(0.01)
            cluster.faults.error_share = 1
            cluster.faults.applies = lambda call: (call.verb, call.name) == ("patch", specs[0].name)
            with pytest.raises(SandboxError, match="1 sandboxes could not be renewed"):
                await other.renew([spec.name for spec in specs])

    asyncio.run(renew())
    renewed = [call.name for call in cluster.calls if call.verb == "patch" and call.status == 200]
    assert sorted(renewed) == sorted(spec.name for spec in specs[1:])


def refusals(verb: str, resource: str) -> float:
    """How many calls of that kind have found nobody."""
    labels = {"verb": verb, "resource": resource, "result": "api_down"}
    return REGISTRY.get_sample_value("lap_sandbox_api_total", labels) or 0


def test_an_outage_is_not_the_sandboxs_fault(cluster: StandIn, options: Options) -> None:
    """The time is up while nothing is heard: the cluster is asked before anything is judged."""
    cluster.kubelet.times.start = 0.3
    options = replace(options, schedule_timeout_seconds=0.4, start_timeout_seconds=0.4)

    async def start() -> None:
        async with opened(options) as backend:
            spec = spec_of()
            sandbox = await backend.create(spec)
            await asyncio.to_thread(cluster.refuse_connections)
            refused = refusals("get", "sandboxclaims")
            waiting = asyncio.create_task(backend.wait_ready(sandbox, ignore))
            while refusals("get", "sandboxclaims") == refused:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(cluster.accept_connections)
            assert status(await waiting, spec.harness_token) < 300

    asyncio.run(start())


def test_a_create_can_be_interrupted(cluster: StandIn, options: Options) -> None:
    async def interrupt() -> None:
        async with opened(replace(options, api_retry_seconds=60)) as backend:
            await backend.list()
            with cluster.outage():
                refused = refusals("create", "sandboxes")
                creating = asyncio.create_task(backend.create(spec_of()))
                while refusals("create", "sandboxes") == refused:
                    await asyncio.sleep(0.01)
                creating.cancel()
                await asyncio.wait([creating], timeout=1)
                assert creating.cancelled()

    asyncio.run(interrupt())
