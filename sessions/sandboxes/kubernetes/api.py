"""The API server's verbs over plain dictionaries, tried again where that may help."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from lap.core import metrics
from sessions.sandboxes.kubernetes.errors import (
    ApiDown,
    ApiError,
    Conflict,
    parse,
    refusal,
    unreached,
)
from sessions.sandboxes.kubernetes.pauses import Pauses
from sessions.sandboxes.kubernetes.resources import Object, Resource

log = logging.getLogger(__name__)

REQUEST_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=10)
PAUSES: Final = (0.2, 10.0)
PAGE_SIZE: Final = 500
WATCH_SECONDS: Final = 300
SILENCE_SECONDS: Final = 120
"""Bookmarks come about every minute."""

TLS_CLOSE_SECONDS: Final = 0.1
"""aiohttp leaves it to the event loop to end TLS connections after the client has closed."""

UNREACHED: Final = (aiohttp.ClientError, TimeoutError, OSError, ValueError, ConfigException)
"""No connection, no answer in time, one that cannot be read; a token file that is empty."""

_MERGE_PATCH = "application/merge-patch+json"


class Api:
    """One namespace of one API server. Every call raises ApiError.

    Requests that got no answer, or one that blames the server, are repeated with growing pauses
    for ``retry_seconds``; all of them may be, since names are ours and deletions name the uid.
    So are creations that met a conflict: it is the quota's, which others count in meanwhile.
    """

    def __init__(self, client: ApiClient, namespace: str, retry_seconds: float) -> None:
        self._client = client
        self._namespace = namespace
        self._retry_seconds = retry_seconds

    async def close(self) -> None:
        await self._client.close()
        await asyncio.sleep(TLS_CLOSE_SECONDS)

    async def get(self, resource: Resource, name: str) -> Object:
        return await self._json("get", resource, "GET", name)

    async def create(self, resource: Resource, body: Object) -> Object:
        return await self._json("create", resource, "POST", body=body)

    async def patch(self, resource: Resource, name: str, body: Object) -> Object:
        """Merge the body into the object."""
        return await self._json("patch", resource, "PATCH", name, body=body)

    async def delete(self, resource: Resource, name: str, uid: str) -> None:
        """Delete the object if it still has this uid. Raises NotFound, Conflict."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        await self._json("delete", resource, "DELETE", name, body=body)

    async def list(self, resource: Resource, **query: Any) -> tuple[list[Object], str]:
        """All matching objects, page by page, and the resource version to watch from."""
        found: list[Object] = []
        query = {"limit": PAGE_SIZE, **query}
        while True:
            page = await self._json("list", resource, "GET", query=query)
            metadata = page.get("metadata") or {}
            found += page.get("items") or []
            query["continue"] = metadata.get("continue")
            if not query["continue"]:
                return found, str(metadata.get("resourceVersion", ""))

    async def probe(self, resource: Resource) -> None:
        """One look, without a second try."""
        path = resource.path(self._namespace)
        await self._counted("list", resource.plural, "GET", path, {"limit": 1}, None)

    async def log(self, pod: str, container: str, lines: int, limit_bytes: int) -> str:
        """What the container wrote last, at most ``lines`` of it."""
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log"
        query = {"container": container, "tailLines": lines, "limitBytes": limit_bytes}
        content = await self._counted("get", "pods/log", "GET", path, query, None)
        return content.decode(errors="replace")

    async def watch(self, resource: Resource, **query: Any) -> AsyncGenerator[Object, None]:
        """Events ``{type, object}`` until the watch ends, as it does by and by.

        The server ends it after some minutes; we do when it is silent for long, since a
        connection may be dead without telling.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": int(WATCH_SECONDS * random.uniform(0.8, 1.2)),  # noqa: S311
            **query,
        }
        timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_read=SILENCE_SECONDS)
        path = resource.path(self._namespace)
        async with _answered("watch", resource.plural):
            response = await self._send("GET", path, query, None, timeout)
            try:
                await _require_success(response)
                metrics.sandbox_api.labels("watch", resource.plural, "ok").inc()
                while line := await _next_line(response):
                    yield json.loads(line)
            finally:
                response.close()

    async def _json(
        self,
        verb: str,
        resource: Resource,
        method: str,
        name: str = "",
        *,
        query: Mapping[str, Any] | None = None,
        body: Object | None = None,
    ) -> Object:
        path = resource.path(self._namespace, name)
        deadline = time.monotonic() + self._retry_seconds
        pauses = Pauses(*PAUSES)
        while True:
            try:
                call = self._counted(verb, resource.plural, method, path, query or {}, body)
                return _require_object(await call)
            except (ApiDown, Conflict) as error:
                if isinstance(error, Conflict) and verb != "create":
                    raise
                seconds = pauses.next(at_least=error.retry_after)
                if time.monotonic() + seconds > deadline:
                    raise
                log.info("%s %s: %s; again in %.1f s", verb, resource.plural, error, seconds)
                await asyncio.sleep(seconds)

    async def _counted(
        self,
        verb: str,
        plural: str,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Object | None,
    ) -> bytes:
        async with _answered(verb, plural):
            response = await self._send(method, path, query, body, REQUEST_TIMEOUT)
            async with response:
                await _require_success(response)
                content = await response.read()
        metrics.sandbox_api.labels(verb, plural, "ok").inc()
        return content

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Object | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        content_type = _MERGE_PATCH if method == "PATCH" else "application/json"
        request = await self._client.param_serialize(
            method,
            path,
            query_params=[(name, value) for name, value in query.items() if value],
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(*request, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answer.response
        return response


@asynccontextmanager
async def _answered(verb: str, plural: str) -> AsyncIterator[None]:
    """Turns every way of getting no answer into ApiError, and counts the error."""
    try:
        try:
            yield
        except UNREACHED as error:
            raise unreached(error) from error
    except ApiError as error:
        metrics.sandbox_api.labels(verb, plural, error.kind).inc()
        raise


def _require_object(content: bytes) -> Object:
    if found := parse(content):
        return found
    raise ApiDown("something in front of the API server answers in its place")


async def _next_line(response: aiohttp.ClientResponse) -> bytes:
    """Empty at the end, and after a long silence."""
    try:
        return await response.content.readline()
    except TimeoutError:
        return b""


async def _require_success(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        retry_after = response.headers.get("Retry-After", "")
        raise refusal(response.status, await response.read(), retry_after)
