"""Keeps what the API server knows of a resource, by one list and one watch.

However many sessions wait for news, a worker has one stream for each resource.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Final

from sessions.sandboxes.kubernetes.api import Api
from sessions.sandboxes.kubernetes.errors import ApiError
from sessions.sandboxes.kubernetes.pauses import Pauses
from sessions.sandboxes.kubernetes.resources import Object, Resource, name_of

log = logging.getLogger(__name__)

PAUSES: Final = (0.1, 15.0)
USUAL: Final = frozenset({"crds_missing", "expired"})


class Bells:
    """Wakes whoever waits for news of a name."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def ring(self, name: str) -> None:
        for event in self._waiting.get(name, ()):
            event.set()

    @contextmanager
    def listen(self, *names: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        for name in names:
            self._waiting[name].add(event)
        try:
            yield event
        finally:
            for name in names:
                self._waiting[name].discard(event)
                if not self._waiting[name]:
                    del self._waiting[name]


class Store:
    """The objects of one resource that match a selector. ``owner`` names whom news is for.

    What was listed once stays known while the server is away.
    """

    def __init__(self, resource: Resource, owner: Callable[[Object], str] = name_of) -> None:
        self._resource = resource
        self._owner = owner
        self._objects: dict[str, Object] = {}
        self._answered = asyncio.Event()
        self._error: ApiError | None = None
        self.is_listed = False

    def get(self, name: str) -> Object | None:
        return self._objects.get(name)

    def all(self) -> list[Object]:
        return list(self._objects.values())

    async def answered(self) -> None:
        """Wait until the server has answered the first list, one way or the other."""
        await self._answered.wait()

    async def listed(self) -> None:
        """Wait for the first list. Raises ApiError when there is none to be had."""
        await self._answered.wait()
        if not self.is_listed and self._error:
            raise self._error

    async def follow(self, api: Api, selector: str, bells: Bells) -> None:
        """Keep up until cancelled: whatever goes wrong, it goes on after a while.

        Where no answer came it goes on from where it was, else by listing anew.
        """
        pauses, version = Pauses(*PAUSES), ""
        while True:
            asked: float | None = None
            try:
                version = version or await self._list(api, selector, bells)
                watch = api.watch(self._resource, labelSelector=selector, resourceVersion=version)
                async with aclosing(watch):
                    async for event in watch:
                        version = self._apply(event, bells)
                        pauses.reset()
            except ApiError as error:
                self._take_error(error)
                asked = error.retry_after
                version = version if error.status in (0, 429) else ""
            except Exception:
                log.exception("%s: the watch failed with an error of ours", self._resource.plural)
                version = ""
            await asyncio.sleep(pauses.next(at_least=asked))

    async def _list(self, api: Api, selector: str, bells: Bells) -> str:
        objects, version = await api.list(self._resource, labelSelector=selector)
        before, self._objects = self._objects, {name_of(found): found for found in objects}
        for known in {**before, **self._objects}.values():
            bells.ring(self._owner(known))
        self.is_listed = True
        self._answered.set()
        return version

    def _take_error(self, error: ApiError) -> None:
        """Some errors are usual; what was never listed must not be waited for."""
        level = logging.DEBUG if error.kind in USUAL else logging.WARNING
        log.log(level, "%s cannot be watched: %s", self._resource.plural, error)
        self._error = error
        self._answered.set()

    def _apply(self, event: Object, bells: Bells) -> str:
        """Take over one event; the version that it brings."""
        found: Object = event["object"]
        if event["type"] == "ERROR":
            code = found.get("code", 500)
            kind = "expired" if code == 410 else "api_down"
            raise ApiError(f"the watch ended: {found.get('message')}", kind=kind, status=code)
        if event["type"] == "DELETED":
            self._objects.pop(name_of(found), None)
        elif event["type"] != "BOOKMARK":
            self._objects[name_of(found)] = found
        if event["type"] != "BOOKMARK":
            bells.ring(self._owner(found))
        return str(found["metadata"]["resourceVersion"])
