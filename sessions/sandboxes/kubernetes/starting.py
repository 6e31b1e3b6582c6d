"""Makes the sandbox of one attempt, or adopts it, and waits until it can be reached."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from sessions.sandboxes.base import Report, SandboxError, SandboxSpec
from sessions.sandboxes.kubernetes import manifests
from sessions.sandboxes.kubernetes.cluster import Cluster
from sessions.sandboxes.kubernetes.errors import AlreadyExists, ApiError
from sessions.sandboxes.kubernetes.judging import (
    HARNESS,
    NODE,
    Standing,
    death_of,
    has_ended,
    judge,
)
from sessions.sandboxes.kubernetes.resources import (
    CLAIMS,
    EVENTS,
    PODS,
    SANDBOXES,
    SECRETS,
    Object,
    created_at,
    is_being_deleted,
    labels_of,
    name_of,
    owner_kind,
    sandbox_name,
)

log = logging.getLogger(__name__)

GONE_SECONDS: Final = 30.0
LOOK_AGAIN_SECONDS: Final = 0.5
EVENT_KINDS: Final = {
    "FailedCreatePodSandBox": "network_setup",
    "FailedMount": "volume_setup",
    "FailedAttachVolume": "volume_setup",
}
IDENTITY: Final = (manifests.INSTALL, manifests.SESSION, manifests.ATTEMPT)
"""The labels that say whose a sandbox is; others may add more."""


def shutdown_time(cluster: Cluster) -> datetime:
    """When a sandbox ends by itself unless it is renewed: a backstop, hours ahead."""
    return datetime.now(UTC) + timedelta(seconds=cluster.options.ttl_seconds)


async def make(cluster: Cluster, spec: SandboxSpec) -> Object:
    """The Sandbox of that name with its Secret. Raises SandboxError.

    The Secret follows the Sandbox, because it belongs to it; the pod waits for it.
    """
    wanted = manifests.sandbox(spec, cluster.options, shutdown_time(cluster))
    sandbox = await _create_or_adopt(cluster, wanted)
    secret = manifests.secret(sandbox, SANDBOXES, spec.env, spec.harness_token)
    await cluster.ensure_owned(SECRETS, secret)
    return sandbox


async def _create_or_adopt(cluster: Cluster, wanted: Object) -> Object:
    """A former Sandbox of the name that is about to go is waited for, a while."""
    deadline = time.monotonic() + GONE_SECONDS
    while time.monotonic() < deadline:
        try:
            return await cluster.api.create(SANDBOXES, wanted)
        except AlreadyExists:
            found = await cluster.peek(SANDBOXES, name_of(wanted))
        if found and not _is_leaving(found):
            return _require_own(found, wanted)
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    message = f"the former sandbox of the name {name_of(wanted)} does not go"
    raise SandboxError(message, kind="sandbox_busy")


def _is_leaving(sandbox: Object) -> bool:
    """Being deleted, or started for a claim that was given up: the collector takes it."""
    return is_being_deleted(sandbox) or owner_kind(sandbox) == CLAIMS.kind


def _require_own(found: Object, wanted: Object) -> Object:
    ours, theirs = labels_of(wanted), labels_of(found)
    if any(theirs.get(label) != ours[label] for label in IDENTITY):
        message = f"the name {name_of(found)} is taken by a Sandbox that is not LAP's; delete it"
        raise SandboxError(message, kind="sandbox_busy", permanent=True)
    return found


async def until_gone(cluster: Cluster, name: str, pod: str) -> bool:
    """Wait until a sandbox and its pod have gone; False when that takes too long.

    A lost node keeps its pods for hours: whoever waits goes on, the cluster ends them.
    """

    def is_gone() -> bool:
        return not cluster.sandboxes.get(name) and not cluster.pods.get(pod)

    return await wait(cluster, (name, pod), is_gone, GONE_SECONDS)


async def wait(
    cluster: Cluster, names: tuple[str, ...], condition: Callable[[], bool], seconds: float
) -> bool:
    """Wait for a condition that news of these names may make true; whether it did."""
    with cluster.bells.listen(*names) as bell, suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():
                bell.clear()
                await bell.wait()
    return condition()


async def until_ready(cluster: Cluster, name: str, report: Report) -> Object:
    """Wait for the Sandbox, or the claim, of that name to be ready, telling what it waits in.

    Raises SandboxError.
    """
    told, since = Standing(""), time.monotonic()
    while True:
        with cluster.bells.listen(name, _pod_name(cluster, name)) as bell:
            found = _known(cluster, name) or await _confirm(cluster, name)
            standing = judge(found, await _pod(cluster, found))
            if standing.waits_for != told.waits_for:
                since = time.monotonic()
            elif standing.waits_for and _left(cluster, standing, since) <= 0:
                found, standing = await _last_look(cluster, name, standing)
                since = time.monotonic()
            if standing.is_ready:
                return found
            if standing != told:
                await report(standing.phase, standing.detail)
                told = standing
            with suppress(TimeoutError):
                async with asyncio.timeout(_left(cluster, standing, since)):
                    await bell.wait()


def _known(cluster: Cluster, name: str) -> Object | None:
    return cluster.claims.get(name) or cluster.sandboxes.get(name)


def _pod_name(cluster: Cluster, name: str) -> str:
    """The name under which news of its pod come."""
    known = _known(cluster, name)
    return sandbox_name(known) if known else name


async def _pod(cluster: Cluster, found: Object) -> Object | None:
    """Its pod; asked for when the watch of pods lags behind one that tells of its end."""
    name = sandbox_name(found)
    pod = cluster.pods.get(name)
    if has_ended(found) and not (pod and death_of(pod)):
        return await cluster.peek(PODS, name)
    return pod


async def _confirm(cluster: Cluster, name: str) -> Object:
    """Our watch may lag behind: only the API server knows that a sandbox is gone."""
    found = await cluster.peek_claim(name) or await cluster.peek(SANDBOXES, name)
    if found is None:
        raise SandboxError("somebody deleted the sandbox while it started", kind="sandbox_lost")
    return found


def _left(cluster: Cluster, standing: Standing, since: float) -> float:
    """Seconds that it may go on waiting for the same."""
    options = cluster.options
    is_unscheduled = standing.waits_for == NODE
    limit = options.schedule_timeout_seconds if is_unscheduled else options.start_timeout_seconds
    return since + limit - time.monotonic()


async def _last_look(cluster: Cluster, name: str, waited: Standing) -> tuple[Object, Standing]:
    """When the time is up the API server is asked: our watch may have stood still meanwhile.

    Where it is further by now it may go on waiting. Raises SandboxError where it is not.
    """
    found = await _confirm(cluster, name)
    standing = judge(found, await cluster.peek(PODS, sandbox_name(found)))
    if standing.waits_for == waited.waits_for:
        raise await _overdue(cluster, sandbox_name(found), standing)
    return found, standing


async def _overdue(cluster: Cluster, pod: str, standing: Standing) -> SandboxError:
    """What kept the sandbox; for the container's start only the pod's events know."""
    limit = cluster.options.start_timeout_seconds
    if standing.waits_for == NODE:
        after = cluster.options.schedule_timeout_seconds
        message = f"no node takes the sandbox after {after:g} s: {standing.detail}"
        return SandboxError(message, kind="unschedulable", permanent=True)
    if standing.waits_for == HARNESS:
        message = f"the harness did not listen within {limit:g} s"
        return SandboxError(message, kind="start_timeout")
    for event in sorted(await _events(cluster, pod), key=_event_time, reverse=True):
        if kind := EVENT_KINDS.get(event.get("reason", "")):
            message = f"the sandbox did not start within {limit:g} s: {event.get('message')}"
            return SandboxError(message, kind=kind)
    why = standing.detail or "the cluster gives no reason"
    message = f"the sandbox did not start within {limit:g} s: {why}"
    return SandboxError(message, kind="start_timeout")


async def _events(cluster: Cluster, pod: str) -> list[Object]:
    """They only explain: not to get them is no other error."""
    try:
        events, _ = await cluster.api.list(EVENTS, fieldSelector=f"involvedObject.name={pod}")
    except ApiError as error:
        log.warning("no events of %s: %s", pod, error)
        return []
    return events


def _event_time(event: Object) -> datetime:
    told = event.get("lastTimestamp") or event.get("eventTime")
    return datetime.fromisoformat(told) if told else created_at(event)
