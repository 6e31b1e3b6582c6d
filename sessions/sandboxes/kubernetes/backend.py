"""Sandboxes on Kubernetes: agent-sandbox objects, one for each attempt of a session.

A session's sandbox is a Sandbox of its own, or a SandboxClaim on one that was started ahead;
either has the session's name. What is true is what the API server says: a worker follows it by
watches, and asks again before it takes anything for gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID

from sessions.sandboxes.base import (
    Configuration,
    Report,
    Sandbox,
    SandboxBackend,
    SandboxError,
    SandboxSpec,
    Warmth,
)
from sessions.sandboxes.kubernetes import manifests, pools, reaching, starting, warm
from sessions.sandboxes.kubernetes.cluster import TRIES, Cluster
from sessions.sandboxes.kubernetes.errors import ApiError, NotFound
from sessions.sandboxes.kubernetes.judging import death_of, has_ended
from sessions.sandboxes.kubernetes.options import Options
from sessions.sandboxes.kubernetes.resources import (
    CLAIMS,
    PODS,
    SANDBOXES,
    Object,
    Resource,
    condition,
    created_at,
    is_being_deleted,
    labels_of,
    name_of,
    sandbox_name,
)

log = logging.getLogger(__name__)

LOG_LINES: Final = 500
LOG_LIMIT_BYTES: Final = 1024 * 1024
RENEWALS_AT_ONCE: Final = 10


class KubernetesBackend(SandboxBackend):
    """Sandboxes in one namespace of a cluster."""

    has_warm_pool = True

    def __init__(self, options: Options) -> None:
        self._options = options
        self._cluster = Cluster(options)

    async def __aenter__(self) -> Self:
        await self._cluster.open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._cluster.close()

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Claim a warm sandbox where one is welcome and there, else start one for the session.

        Raises SandboxError.
        """
        await self._cluster.listed()
        has_own = self._cluster.sandboxes.get(spec.name)
        is_welcome = spec.is_warm_welcome and not has_own
        claim = await warm.claim(self._cluster, spec) if is_welcome else None
        if claim is None:
            return _describe(await starting.make(self._cluster, spec))
        return replace(_describe(claim), harness_token=warm.token_of(self._cluster, claim))

    async def wait_ready(self, sandbox: Sandbox, report: Report) -> Sandbox:
        """Wait until the pod is ready, for as long as the settings allow. Raises SandboxError."""
        await self._cluster.listed()
        found = await self._until_ready(sandbox.name, report)
        if found["kind"] == CLAIMS.kind:
            found = await self._adopted(found)
        url = await reaching.address(self._cluster, found, sandbox.name)
        return replace(sandbox, url=url, is_running=True)

    async def _adopted(self, claim: Object) -> Object:
        found = await self._cluster.peek(SANDBOXES, sandbox_name(claim))
        if found is None:
            raise SandboxError("the warm sandbox has gone", kind="sandbox_lost")
        return found

    async def _until_ready(self, name: str, report: Report) -> Object:
        try:
            return await starting.until_ready(self._cluster, name, report)
        except SandboxError as error:
            if error.kind != "sandbox_exited":
                raise
            said = await self.logs(name, 2000)
            message = f"{error}; its last output:\n{said}" if said else str(error)
            raise SandboxError(message, kind=error.kind) from error

    async def stop(self, name: str) -> None:
        """Delete what has this name, and wait for its pod to go. Raises SandboxError."""
        await self._cluster.listed()
        claim, sandbox = self._cluster.claims.get(name), self._cluster.sandboxes.get(name)
        if not (claim or sandbox):
            claim = await self._cluster.peek_claim(name)
        await self._delete(CLAIMS, claim)
        await self._delete(SANDBOXES, sandbox or await self._cluster.peek(SANDBOXES, name))
        pod = sandbox_name(claim) if claim else name
        if not await starting.until_gone(self._cluster, name, pod):
            log.warning("the pod of %s does not end; the cluster has to end it", name)

    async def _delete(self, resource: Resource, found: Object | None) -> None:
        """Delete the object, and whatever has its name by now: names are one attempt's."""
        for _ in range(TRIES):
            if not found or await self._cluster.delete(resource, found):
                return
            found = await self._cluster.peek(resource, name_of(found))
        raise SandboxError(f"{resource.kind} keeps coming back", kind="sandbox_busy")

    async def list(self) -> list[Sandbox]:
        """Every sandbox and claim of this installation, asked of the API server anew."""
        await self._cluster.pods.listed()
        selector = f"{manifests.selector(self._options)},{manifests.SESSION}"
        objects, _ = await self._cluster.api.list(SANDBOXES, labelSelector=selector)
        objects += await self._list_claims(selector)
        return [self._look_at(found) for found in objects if _is_whole(found)]

    async def _list_claims(self, selector: str) -> Sequence[Object]:
        """All of them; none where LAP makes none."""
        try:
            claims, _ = await self._cluster.api.list(CLAIMS, labelSelector=selector)
        except ApiError as error:
            if self._cluster.has_no_claims(error):
                return []
            raise
        return claims

    async def find(self, name: str) -> Sandbox | None:
        """What our watches show alive is alive; all is asked anew before it is taken for gone."""
        known = self._cluster.claims.get(name) or self._cluster.sandboxes.get(name)
        if known and (seen := self._look_at(known)).is_running:
            return seen
        found = await self._cluster.peek_claim(name) or await self._cluster.peek(SANDBOXES, name)
        if found is None:
            return None
        return _judge(found, await self._cluster.peek(PODS, sandbox_name(found)))

    async def check(self) -> None:
        await self._cluster.api.probe(SANDBOXES)

    async def renew(self, names: Collection[str]) -> None:
        """Push the end of these sandboxes away that half their time has passed of.

        One that cannot be renewed keeps none from being. Raises SandboxError about the last one.
        """
        await self._cluster.listed()
        room = asyncio.Semaphore(RENEWALS_AT_ONCE)
        done = [self._renew(name, room) for name in names]
        errors = [error for error in await asyncio.gather(*done) if error]
        if errors:
            message = f"{len(errors)} sandboxes could not be renewed: {errors[-1]}"
            raise SandboxError(message, kind=errors[-1].kind)

    async def _renew(self, name: str, room: asyncio.Semaphore) -> ApiError | None:
        later = starting.shutdown_time(self._cluster)
        soon = later - timedelta(seconds=self._options.ttl_seconds / 2)
        end = {"shutdownTime": manifests.stamp(later)}
        claim, sandbox = self._cluster.claims.get(name), self._cluster.sandboxes.get(name)
        try:
            async with room:
                if claim and _ends_before(soon, claim["spec"].get("lifecycle") or {}):
                    await self._cluster.api.patch(CLAIMS, name, {"spec": {"lifecycle": end}})
                if sandbox and _ends_before(soon, sandbox["spec"]):
                    await self._cluster.api.patch(SANDBOXES, name, {"spec": end})
        except NotFound:
            log.info("%s ended before it was renewed", name)
        except ApiError as error:
            return error
        return None

    async def keep_warm(self, wanted: Sequence[Configuration]) -> Warmth:
        """Have a pool for each of the configurations, and no others. Raises SandboxError."""
        await self._cluster.listed()
        can_claim = self._cluster.claims.is_listed
        return await pools.keep(self._cluster, wanted) if can_claim else Warmth()

    async def logs(self, name: str, limit_bytes: int = 16_384) -> str:
        """The tail of what the container wrote; empty when there is no such pod."""
        claim = self._cluster.claims.get(name)
        pod = sandbox_name(claim) if claim else name
        try:
            said = await self._cluster.api.log(pod, manifests.CONTAINER, LOG_LINES, LOG_LIMIT_BYTES)
        except SandboxError as error:
            log.info("%s has no log: %s", name, error)
            return ""
        return said.encode()[-limit_bytes:].decode(errors="ignore")

    def _look_at(self, found: Object) -> Sandbox:
        return _judge(found, self._cluster.pods.get(sandbox_name(found)))


def _is_whole(found: Object) -> bool:
    """Whether it has all our labels: what somebody has changed must not stop the others."""
    try:
        _describe(found)
    except (KeyError, ValueError):
        log.warning("%s %s is not LAP's, in spite of its labels", found["kind"], name_of(found))
        return False
    return True


def _describe(found: Object) -> Sandbox:
    labels = labels_of(found)
    return Sandbox(
        name=name_of(found),
        session_id=UUID(labels[manifests.SESSION]),
        attempt=int(labels[manifests.ATTEMPT]),
        created_at=created_at(found),
    )


def _judge(found: Object, pod: Object | None) -> Sandbox:
    """Alive until the cluster says that the pod, or the sandbox itself, has ended."""
    death = death_of(pod) if pod else None
    if death is None and has_ended(found):
        death = SandboxError(condition(found, "Ready").get("message", ""), kind="sandbox_exited")
    if death:
        because, kind = str(death), death.kind
        return replace(_describe(found), is_running=False, ended_because=because, ended_kind=kind)
    return replace(_describe(found), is_running=not is_being_deleted(found))


def _ends_before(moment: datetime, lifecycle: Object) -> bool:
    end = lifecycle.get("shutdownTime")
    return end is None or datetime.fromisoformat(end).astimezone(UTC) < moment
