"""One worker's view of the cluster: a client, and a store for each resource that it follows."""

from __future__ import annotations

import asyncio
from typing import Final

from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.kubernetes import manifests
from sessions.sandboxes.kubernetes.api import Api
from sessions.sandboxes.kubernetes.connection import connect, is_in_cluster
from sessions.sandboxes.kubernetes.errors import AlreadyExists, ApiError, Conflict, NotFound
from sessions.sandboxes.kubernetes.options import AUTO, SERVICE, Options
from sessions.sandboxes.kubernetes.resources import (
    CLAIMS,
    PODS,
    POOLS,
    SANDBOXES,
    Object,
    Resource,
    name_of,
    owner_name,
    owner_uid,
    uid_of,
)
from sessions.sandboxes.kubernetes.watching import Bells, Store

TRIES: Final = 10
AGAIN_SECONDS: Final = 0.2


class Cluster:
    """Open from ``open`` to ``close``, on one event loop."""

    api: Api
    bells: Bells
    sandboxes: Store
    pods: Store
    claims: Store
    pools: Store

    def __init__(self, options: Options) -> None:
        self.options = options
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_inside(self) -> bool:
        """Whether sandboxes are reached by the cluster's own names."""
        if self.options.expose == AUTO:
            return is_in_cluster(self.options.connection)
        return self.options.expose == SERVICE

    async def open(self) -> None:
        """Connect and begin to follow; an API server that is away is waited for.

        Raises SandboxError when the connection is not configured.
        """
        client, refresh = await connect(self.options.connection)
        self.api = Api(client, self.options.namespace, self.options.api_retry_seconds)
        self.bells = Bells()
        self.sandboxes, self.pods = Store(SANDBOXES), Store(PODS, owner_name)
        self.claims, self.pools = Store(CLAIMS), Store(POOLS)
        selector = manifests.selector(self.options)
        followed = (self.sandboxes, self.pods, self.claims, self.pools)
        running = [store.follow(self.api, selector, self.bells) for store in followed]
        running += [refresh()] if refresh else []
        self._tasks = [asyncio.create_task(task) for task in running]

    async def listed(self) -> None:
        """Wait until everything has been listed once: before, our stores tell nothing.

        Raises ApiError when sandboxes or pods cannot be listed. Claims and pools need not be had.
        """
        await self.sandboxes.listed()
        await self.pods.listed()
        await self.claims.answered()
        await self.pools.answered()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.api.close()

    async def ensure_owned(self, resource: Resource, wanted: Object) -> Object:
        """Have an object that belongs to the owner it names, and to no former one of that name.

        A former owner's object is about to be collected: it is deleted here, and made anew.
        """
        for _ in range(TRIES):
            try:
                return await self.api.create(resource, wanted)
            except AlreadyExists:
                found = await self.peek(resource, name_of(wanted))
            if found and owner_uid(found) == owner_uid(wanted):
                return found
            if found:
                await self.delete(resource, found)
            await asyncio.sleep(AGAIN_SECONDS)
        message = f"{resource.kind} {name_of(wanted)} of a former owner does not go"
        raise SandboxError(message, kind="sandbox_busy")

    async def peek(self, resource: Resource, name: str) -> Object | None:
        """The object as it is now; None when there is none."""
        try:
            return await self.api.get(resource, name)
        except NotFound:
            return None

    async def peek_claim(self, name: str) -> Object | None:
        """The claim as it is now; None when there is none, or no claims at all."""
        try:
            return await self.peek(CLAIMS, name)
        except ApiError as error:
            if self.has_no_claims(error):
                return None
            raise

    def has_no_claims(self, error: ApiError) -> bool:
        """Whether the error means that LAP makes none: they are an extension of agent-sandbox.

        Not when they could be listed before: then it tells of the moment.
        """
        return error.kind in ("crds_missing", "forbidden") and not self.claims.is_listed

    async def delete(self, resource: Resource, found: Object) -> bool:
        """Delete this very object; False when the name stands for another one by now."""
        try:
            await self.api.delete(resource, name_of(found), uid_of(found))
        except NotFound:
            return True
        except Conflict:
            return False
        return True
