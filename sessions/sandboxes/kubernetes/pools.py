"""Keeps pools of sandboxes for the configurations that will be wanted soon."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from sessions.sandboxes.base import Configuration, Pool, SandboxError, Warmth
from sessions.sandboxes.kubernetes import manifests
from sessions.sandboxes.kubernetes.cluster import Cluster
from sessions.sandboxes.kubernetes.errors import AlreadyExists, ApiError, NotFound
from sessions.sandboxes.kubernetes.judging import death_of
from sessions.sandboxes.kubernetes.resources import (
    POOLS,
    SANDBOXES,
    SECRETS,
    TEMPLATES,
    Object,
    Resource,
    condition,
    created_at,
    is_being_deleted,
    labels_of,
    name_of,
)

log = logging.getLogger(__name__)

Wanted = Mapping[str, Configuration]


async def keep(cluster: Cluster, wanted: Sequence[Configuration]) -> Warmth:
    """Make the pools that are wanted and missing, remove those that nobody wants.

    Raises ApiError when they cannot be listed; one that fails is tried again by the next pass.
    """
    by_name = {manifests.pool_name(one, cluster.options): one for one in wanted}
    selector = manifests.selector(cluster.options)
    templates, _ = await cluster.api.list(TEMPLATES, labelSelector=selector)
    living = {name_of(found): found for found in templates if not is_being_deleted(found)}
    recycled, orphans = await _remove(cluster, living, by_name)
    stale = [await _replace_dead(cluster, name) for name in by_name]
    made = [await _provision(cluster, one, living.get(name)) for name, one in by_name.items()]
    pools = [_describe(cluster, name, one) for name, one in by_name.items()]
    return Warmth(
        pools,
        provisioned=sum(made),
        recycled=recycled,
        orphans_stopped=orphans,
        stale_killed=sum(stale),
    )


async def _remove(
    cluster: Cluster, living: Mapping[str, Object], wanted: Wanted
) -> tuple[int, int]:
    """How many pools of outdated configurations were removed, and of agents not wanted at all."""
    agents = {str(one.agent_id) for one in wanted.values()}
    unwanted = [found for name, found in living.items() if name not in wanted]
    removed = [found for found in unwanted if await _try_to_delete(cluster, TEMPLATES, found)]
    recycled = sum(labels_of(found).get(manifests.AGENT) in agents for found in removed)
    return recycled, len(removed) - recycled


async def _try_to_delete(cluster: Cluster, resource: Resource, found: Object) -> bool:
    """Whether it was deleted; what is refused is tried again by the next pass."""
    try:
        return await cluster.delete(resource, found)
    except ApiError as error:
        log.warning("%s %s cannot be deleted: %s", resource.kind, name_of(found), error)
        return False


async def _provision(
    cluster: Cluster, configuration: Configuration, template: Object | None
) -> bool:
    """Have the pool, whatever a pass before this one left undone; whether it was made now.

    One without a ready member may lack its Secret.
    """
    options = cluster.options
    pool = cluster.pools.get(name_of(template)) if template else None
    if pool and (pool.get("status") or {}).get("readyReplicas"):
        return False
    try:
        template = template or await _template(cluster, configuration)
        token = manifests.pool_token(name_of(template), options)
        secret = manifests.secret(template, TEMPLATES, configuration.env, token)
        await cluster.ensure_owned(SECRETS, secret)
        if pool:
            return False
        await cluster.api.create(POOLS, manifests.pool(configuration, options, template))
    except (AlreadyExists, NotFound) as error:
        log.info("a warm pool of agent %s waits: %s", configuration.agent_id, error)
        return False
    except SandboxError as error:
        log.warning("agent %s has no warm pool: %s", configuration.agent_id, error)
        return False
    return True


async def _template(cluster: Cluster, configuration: Configuration) -> Object:
    wanted = manifests.template(configuration, cluster.options)
    try:
        return await cluster.api.create(TEMPLATES, wanted)
    except AlreadyExists:
        return await cluster.api.get(TEMPLATES, name_of(wanted))


async def _replace_dead(cluster: Cluster, pool: str) -> int:
    """Delete free members whose pods have died, so that the controller starts others; how many."""
    names = [name_of(pod) for pod in _members(cluster, pool) if _is_free(pod) and death_of(pod)]
    dead = [await cluster.peek(SANDBOXES, name) for name in names]
    return sum([await _try_to_delete(cluster, SANDBOXES, found) for found in dead if found])


def _describe(cluster: Cluster, name: str, configuration: Configuration) -> Pool:
    """Counts the pool's members by their pods."""
    pods = _members(cluster, name)
    free = [pod for pod in pods if _is_free(pod)]
    dead = [pod for pod in free if death_of(pod)]
    warm = [pod for pod in free if condition(pod, "Ready").get("status") == "True"]
    return Pool(
        agent_id=configuration.agent_id,
        provisioning=len(free) - len(dead) - len(warm),
        warm=len(warm),
        claimed=len(pods) - len(free),
        dead=len(dead),
        oldest_warm_at=min(map(created_at, warm), default=None),
    )


def _members(cluster: Cluster, pool: str) -> list[Object]:
    return [pod for pod in cluster.pods.all() if _pool_of(pod) == pool]


def _is_free(pod: Object) -> bool:
    return manifests.CLAIMED_BY not in labels_of(pod)


def _pool_of(pod: Object) -> str:
    labels = labels_of(pod)
    if manifests.CONFIG_HASH not in labels:
        return ""
    return f"w-{labels.get(manifests.AGENT)}-{labels[manifests.CONFIG_HASH]}"
