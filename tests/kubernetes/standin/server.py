"""The API server's HTTP: from a request to the store and back."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

from tests.kubernetes.standin import calls, statuses
from tests.kubernetes.standin.access import Access, authorize
from tests.kubernetes.standin.api import Api
from tests.kubernetes.standin.calls import Call
from tests.kubernetes.standin.faults import ConnectionCut, Faults
from tests.kubernetes.standin.lists import Lists
from tests.kubernetes.standin.resources import RESOURCES, Resource, Target, parse_path
from tests.kubernetes.standin.statuses import ApiError, Object
from tests.kubernetes.standin.watches import Watch

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
BODY_LIMIT = 8 * 1024 * 1024
NOT_SERVED = "404 page not found\n"
PLAIN_PATHS = {"/readyz", "/livez", "/healthz"}

Logs = Callable[[str, str], list[str]]


class ApiServer:
    """Lives on the event loop. ``bookmark_seconds`` between two bookmarks of a watch."""

    def __init__(
        self, api: Api, access: Access, faults: Faults, logs: Logs, context: ssl.SSLContext
    ) -> None:
        self.calls: list[Call] = []
        self.bookmark_seconds = 2.0
        self.port = 0
        self.lists = Lists(api.store)
        self.unserved_groups: set[str] = set()
        self._api = api
        self._access = access
        self._faults = faults
        self._logs = logs
        self._context = context
        self._watches: set[Watch] = set()
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    async def start(self) -> None:
        application = web.Application(client_max_size=BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await self.open()

    async def open(self) -> None:
        """Listen: on any port at first, later on the same."""
        if self._runner and not self._site:
            self._site = web.TCPSite(
                self._runner, ADDRESS, self.port, ssl_context=self._context, backlog=1024
            )
            await self._site.start()
            self.port = self._runner.addresses[0][1]

    async def shut(self) -> None:
        """Refuse connections and cut those that are open."""
        site, self._site = self._site, None
        if site:
            await site.stop()
        if self._runner and self._runner.server:
            for connection in list(self._runner.server.connections):
                if connection.transport:
                    connection.transport.abort()

    async def stop(self) -> None:
        await self.shut()
        if self._runner:
            await self._runner.cleanup()

    def cut_watches(self) -> int:
        """End every watch in the middle; how many there were."""
        for watch in self._watches:
            watch.cut()
        return len(self._watches)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        target = parse_path(request.path)
        agent = request.headers.get("User-Agent", "")
        call = calls.describe(request.method, request.path, request.query, target, agent)
        self.calls.append(call)
        try:
            answer = await self._answer(request, target, call)
        except ConnectionCut:
            return await self._cut(request)
        except ApiError as error:
            answer = _json(error.status, error.code, error.headers)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            raise
        call.status = answer.status
        if call.injected == "cut-after":
            return await self._cut(request)
        return answer

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        if request.transport:
            request.transport.abort()
        return web.Response()

    async def _answer(
        self, request: web.Request, target: Target | None, call: Call
    ) -> web.StreamResponse:
        body = await _body(request)
        await self._faults.before(self._faults.pick(call), call)
        user = self._access.authenticate(request.headers.get("Authorization", ""))
        call.user = user.name
        if target is None:
            return self._other(request.path)
        authorize(user, call.verb, target)
        resource = target.resource
        if not resource or target.group in self.unserved_groups:
            return web.Response(text=NOT_SERVED, status=404)
        if call.verb == "watch":
            return await self._watch(request, resource, target, call)
        if target.subresource == "log":
            return self._log(request, target)
        return self._verbs(call.verb)(request, resource, target, body)

    def _verbs(self, verb: str) -> Callable[..., web.StreamResponse]:
        known: dict[str, Callable[..., web.StreamResponse]] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
        }
        if verb not in known:
            raise statuses.method_not_allowed()
        return known[verb]

    def _get(
        self, request: web.Request, resource: Resource, target: Target, body: Any
    ) -> web.StreamResponse:
        return _json(self._api.get(resource, target.namespace, target.name))

    def _list(
        self, request: web.Request, resource: Resource, target: Target, body: Any
    ) -> web.StreamResponse:
        return _json(self.lists.answer(resource, target.namespace, request.query))

    def _create(
        self, request: web.Request, resource: Resource, target: Target, body: Any
    ) -> web.StreamResponse:
        return _json(self._api.create(resource, target.namespace, _object(body)), 201)

    def _update(
        self, request: web.Request, resource: Resource, target: Target, body: Any
    ) -> web.StreamResponse:
        place = (target.namespace, target.name)
        sent = _object(body)
        return _json(self._api.replace(resource, *place, sent, target.subresource))

    def _patch(
        self, request: web.Request, resource: Resource, target: Target, body: Any
    ) -> web.StreamResponse:
        changed = self._api.patch(
            resource,
            target.namespace,
            target.name,
            _object(body),
            kind=request.headers.get("Content-Type", ""),
            subresource=target.subresource,
        )
        return _json(changed)

    def _delete(
        self, request: web.Request, resource: Resource, target: Target, body: Any
    ) -> web.StreamResponse:
        asked: Object = {n: v for n, v in request.query.items() if n == "propagationPolicy"}
        if "gracePeriodSeconds" in request.query:
            asked["gracePeriodSeconds"] = int(request.query["gracePeriodSeconds"])
        options = {**asked, **(_object(body) if body is not None else {})}
        return _json(self._api.delete(resource, target.namespace, target.name, options))

    def _log(self, request: web.Request, target: Target) -> web.StreamResponse:
        lines = self._logs(target.namespace, target.name)
        if tail := request.query.get("tailLines"):
            lines = lines[-int(tail) :]
        text = "".join(f"{line}\n" for line in lines)
        limit = int(request.query.get("limitBytes") or 0)
        return web.Response(text=text[:limit] if limit else text)

    async def _watch(
        self, request: web.Request, resource: Resource, target: Target, call: Call
    ) -> web.StreamResponse:
        watch = Watch(
            self._api.store, resource, target.namespace, request.query, self.bookmark_seconds
        )
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        call.status = response.status
        self._watches.add(watch)
        with suppress(ConnectionResetError):
            try:
                async for event in watch.events():
                    await response.write(json.dumps(event).encode() + b"\n")
            finally:
                self._watches.discard(watch)
            if watch.is_cut:
                raise ConnectionCut
            await response.write_eof()
        return response

    def _other(self, path: str) -> web.StreamResponse:
        if path in PLAIN_PATHS:
            return web.Response(text="ok")
        if path == "/version":
            return _json({"major": "1", "minor": "36", "gitVersion": "v1.36.2"})
        found = [r for r in RESOURCES if path == f"/apis/{r.api_version}"]
        if found and found[0].group not in self.unserved_groups:
            listed = [{"name": r.plural, "kind": r.kind, "namespaced": True} for r in found]
            kind, version = "APIResourceList", found[0].api_version
            return _json({"kind": kind, "groupVersion": version, "resources": listed})
        return web.Response(text=NOT_SERVED, status=404)


async def _body(request: web.Request) -> Any:
    text = await request.text()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise statuses.bad_request(f"the request's body is not JSON: {error}") from error


def _object(body: Any) -> Object:
    if not isinstance(body, dict):
        raise statuses.bad_request("the request's body must be an object")
    return body


def _json(value: Object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(value, status=status, headers=headers)
