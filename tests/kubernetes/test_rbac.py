"""The worker's Role allows what the backend does, and nothing else.

Every test of the backend runs with that Role, so that a call it lacks fails there. Here the
backend does all that it ever does, and what it asked is compared with what it may.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from sessions.sandboxes.base import Configuration, SandboxError
from sessions.sandboxes.kubernetes.backend import KubernetesBackend
from tests.kubernetes.backends import WORKER, bring_up, opened, options_for, spec_of
from tests.kubernetes.role import Right, rights
from tests.kubernetes.standin import StandIn

CONFIGURATION = Configuration(uuid4(), "shell")


def test_the_role_is_what_the_backend_needs(standin: StandIn, tmp_path: Path) -> None:
    options = options_for(standin, tmp_path, warm_pool_size=1, start_timeout_seconds=0.5)

    async def do_everything() -> None:
        async with opened(options) as one, opened(replace(options, ttl_seconds=20_000)) as other:
            await live_cold(standin, one, other)
            await live_warm(standin, one, other)
            await take_over(standin, one)
            with pytest.raises(SandboxError, match="no addresses are available"):
                await bring_up(one, spec_of("example/no-network:1"))

    asyncio.run(do_everything())
    assert not [call for call in standin.calls if call.status == 403]
    assert used(standin) == rights()


def used(standin: StandIn) -> set[Right]:
    calls = [call for call in standin.calls if call.user == WORKER]
    return {
        (c.group, f"{c.resource}/{c.subresource}" if c.subresource else c.resource, c.verb)
        for c in calls
    }


async def live_cold(standin: StandIn, one: KubernetesBackend, other: KubernetesBackend) -> None:
    spec = spec_of()
    await bring_up(one, spec)
    await one.logs(spec.name)
    await other.renew([spec.name])
    await asyncio.to_thread(standin.oom, spec.name)
    while (found := await one.find(spec.name)) and found.is_running:
        await asyncio.sleep(0.01)
    await one.stop(spec.name)
    assert await one.find(spec.name) is None
    assert await one.list() == []


async def live_warm(standin: StandIn, one: KubernetesBackend, other: KubernetesBackend) -> None:
    standin.faults.once("cut-after", verb="create", resource="sandboxtemplates")
    await one.keep_warm([CONFIGURATION])
    sandbox = None
    while not sandbox or not sandbox.harness_token:
        welcome = replace(spec_of(), configuration=CONFIGURATION, is_warm_welcome=True)
        sandbox = await bring_up(one, welcome)
    while not await other.find(sandbox.name):
        await asyncio.sleep(0.01)
    await other.renew([sandbox.name])
    await one.stop(sandbox.name)
    await one.keep_warm([])


async def take_over(standin: StandIn, backend: KubernetesBackend) -> None:
    """What another worker has begun, and what a former life of the name has left."""
    spec = spec_of()
    standin.collector.delay_seconds = 60
    gone = [{"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "name": "x", "uid": "x"}]
    secret = {"metadata": {"name": spec.name, "ownerReferences": gone}}
    service = {"metadata": {"name": f"{spec.name}-node", "ownerReferences": gone}}
    await asyncio.to_thread(standin.create, "secrets", secret)
    await asyncio.to_thread(standin.create, "services", {**service, "spec": {"ports": []}})
    await bring_up(backend, spec)
    await bring_up(backend, spec)
