"""The Kubernetes backend in tests: its options, and one that is open while a block runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from sessions.sandboxes.base import Configuration, Sandbox, SandboxSpec
from sessions.sandboxes.kubernetes.backend import KubernetesBackend
from sessions.sandboxes.kubernetes.options import Connection, Options
from tests.kubernetes.role import worker_rules
from tests.kubernetes.standin import StandIn
from tests.sessions.sandboxes.client import ignore, make_spec

WORKER = "system:serviceaccount:lap:worker"
IMAGE = "example/harness:1"


def options_for(cluster: StandIn, folder: Path, user: str = WORKER, **changed: Any) -> Options:
    """Short patience: what a test waits for comes at once or never."""
    cluster.token(WORKER, worker_rules())
    kubeconfig = cluster.kubeconfig(folder / f"kubeconfig-{uuid4().hex[:8]}", user)
    options = Options(
        namespace=cluster.namespace,
        harness_image=IMAGE,
        connection=Connection(kubeconfig=str(kubeconfig)),
        hash_key="key of the tests",
        expose="nodeport",
        schedule_timeout_seconds=0.5,
        start_timeout_seconds=2,
        api_retry_seconds=5,
        warm_pool_size=0,
    )
    return replace(options, **changed)


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[KubernetesBackend]:
    """What one worker has."""
    async with KubernetesBackend(options) as backend:
        yield backend


def spec_of(image: str = "", **fields: Any) -> SandboxSpec:
    configuration = Configuration(agent_id=uuid4(), harness_id="shell", harness_image=image)
    return replace(make_spec(), configuration=configuration, **fields)


async def bring_up(backend: KubernetesBackend, spec: SandboxSpec) -> Sandbox:
    return await backend.wait_ready(await backend.create(spec), ignore)
