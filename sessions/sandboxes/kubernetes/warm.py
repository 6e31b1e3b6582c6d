"""Claims on sandboxes that were started ahead."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Final

from lap.core import metrics
from sessions.sandboxes.base import SandboxError, SandboxSpec
from sessions.sandboxes.kubernetes import manifests, starting
from sessions.sandboxes.kubernetes.cluster import Cluster
from sessions.sandboxes.kubernetes.errors import AlreadyExists, ApiError
from sessions.sandboxes.kubernetes.resources import (
    CLAIMS,
    Object,
    condition,
    is_being_deleted,
    name_of,
)

log = logging.getLogger(__name__)

CLAIM_SECONDS: Final = 5.0
"""Adoption takes some 30 ms."""


async def claim(cluster: Cluster, spec: SandboxSpec) -> Object | None:
    """A claim that has a sandbox, made now or by a worker before this one. Raises SandboxError.

    Where others were quicker, the controller starts one for the claim, which then is waited for
    like any other. None when the pool has no ready member; and when the claim gets nothing, or a
    member that is not ready any more: then nothing is left of it.
    """
    made = cluster.claims.get(spec.name)
    if made is None or is_being_deleted(made):
        made = await _create(cluster, spec)
    if made is None:
        if cluster.options.warm_pool_size:
            metrics.warm.labels("miss").inc()
        return None
    served = partial(_served, cluster, spec.name)
    await starting.wait(cluster, (spec.name,), lambda: served() is not None, CLAIM_SECONDS)
    if found := served():
        metrics.warm.labels("late" if _is_own(found) else "hit").inc()
        return found
    log.warning("claim %s got no sandbox: one is started for it alone", spec.name)
    metrics.warm.labels("lost").inc()
    await _drop(cluster, made)
    return None


def token_of(cluster: Cluster, claim: Object) -> str:
    """The harness token of the members of the claim's pool."""
    return manifests.pool_token(claim["spec"]["warmPoolRef"]["name"], cluster.options)


def _served(cluster: Cluster, name: str) -> Object | None:
    """The claim, if it has a ready member, or a sandbox that is started for it alone."""
    found = cluster.claims.get(name)
    is_served = found and (_is_own(found) or condition(found, "Ready").get("status") == "True")
    return found if is_served else None


def _is_own(claim: Object) -> bool:
    """Whether its sandbox is started for it: by its own name."""
    got = (claim.get("status") or {}).get("sandbox") or {}
    return bool(got.get("name") == name_of(claim))


async def _create(cluster: Cluster, spec: SandboxSpec) -> Object | None:
    pool = cluster.pools.get(manifests.pool_name(spec.configuration, cluster.options))
    if pool is None or not (pool.get("status") or {}).get("readyReplicas"):
        return None
    wanted = manifests.claim(spec, cluster.options, starting.shutdown_time(cluster))
    try:
        return await cluster.api.create(CLAIMS, wanted)
    except AlreadyExists:
        return await cluster.peek(CLAIMS, spec.name)
    except ApiError as error:
        if not error.permanent:
            raise
        log.warning("no claim can be made, a sandbox is started without: %s", error)
        return None


async def _drop(cluster: Cluster, claim: Object) -> None:
    """Delete the claim; until it has gone its name is not free. Raises SandboxError."""
    await cluster.delete(CLAIMS, claim)
    deadline = time.monotonic() + starting.GONE_SECONDS
    while await cluster.peek(CLAIMS, name_of(claim)) or cluster.claims.get(name_of(claim)):
        if time.monotonic() > deadline:
            raise SandboxError("a claim that got no sandbox does not go", kind="sandbox_busy")
        await asyncio.sleep(starting.LOOK_AGAIN_SECONDS)
