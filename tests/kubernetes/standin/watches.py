"""WATCH: the changes of one kind since a version, as one watcher's selector sees them."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Mapping

from tests.kubernetes.standin import selectors, statuses
from tests.kubernetes.standin.lists import check_version
from tests.kubernetes.standin.resources import Resource
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import Change, Store

DEFAULT_SECONDS = 1800.0


class Watch:
    """One watcher. Raises what a refused watch answers when it is made."""

    def __init__(
        self,
        store: Store,
        resource: Resource,
        namespace: str,
        query: Mapping[str, str],
        bookmark_seconds: float,
    ) -> None:
        self.is_cut = False
        self._bell = asyncio.Event()
        self._store = store
        self._resource = resource
        self._namespace = namespace
        self._since = check_version(store, query)
        self._matches = selectors.parse(
            resource, query.get("labelSelector", ""), query.get("fieldSelector", "")
        )
        self._seconds = float(query.get("timeoutSeconds") or DEFAULT_SECONDS)
        self._wants_bookmarks = query.get("allowWatchBookmarks") == "true"
        self._bookmark_seconds = bookmark_seconds
        self._queue: collections.deque[Change] = collections.deque()
        self._reached = 0

    async def events(self) -> AsyncIterator[Object]:
        """Until its time is over or it is cut."""
        if 0 < self._since < self._store.oldest:
            error = statuses.expired(self._since, self._store.oldest)
            yield {"type": "ERROR", "object": error}
            return
        self._store.listeners.append(self._notice)
        try:
            for event in self._first():
                yield event
            async for event in self._follow():
                yield event
        finally:
            self._store.listeners.remove(self._notice)

    def cut(self) -> None:
        """End it in the middle."""
        self.is_cut = True
        self._bell.set()

    def _notice(self, change: Change) -> None:
        self._queue.append(change)
        self._bell.set()

    def _first(self) -> list[Object]:
        """What is there, for one who named no version; else what has happened since.

        Taken in one step with becoming a listener: nothing is missed and nothing seen twice.
        """
        self._reached = self._store.version
        if self._since:
            missed = (self._seen(change) for change in self._store.history_after(self._since))
            return [event for event in missed if event]
        found = self._store.all_of(self._resource, self._namespace)
        return [{"type": "ADDED", "object": obj} for obj in found if self._matches(obj)]

    async def _follow(self) -> AsyncIterator[Object]:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        bookmark = loop.time() + self._bookmark_seconds
        while not self.is_cut and loop.time() < end:
            change = await self._next(min(end, bookmark) - loop.time())
            event = self._seen(change) if change else None
            if event:
                yield event
            if loop.time() >= bookmark and self._wants_bookmarks:
                yield self._bookmark()
            if loop.time() >= bookmark:
                bookmark = loop.time() + self._bookmark_seconds
        if self._wants_bookmarks and not self.is_cut:
            yield self._bookmark()

    async def _next(self, seconds: float) -> Change | None:
        if not self._queue:
            await self._wait(max(0.0, seconds))
        if not self._queue:
            return None
        change = self._queue.popleft()
        self._reached = change.version
        return change

    async def _wait(self, seconds: float) -> None:
        """For something in the queue or the cut."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._bell.wait(), seconds)
        self._bell.clear()

    def _seen(self, change: Change) -> Object | None:
        """A change that moves an object out of the selector is a deletion to this watcher."""
        is_other_place = self._namespace and change.key.namespace != self._namespace
        if change.resource is not self._resource or is_other_place:
            return None
        was = bool(change.before) and self._matches(change.before or {})
        is_now = bool(change.after) and self._matches(change.after or {})
        if is_now:
            return {"type": "MODIFIED" if was else "ADDED", "object": change.after}
        if not was or not change.before:
            return None
        metadata = {**change.before["metadata"], "resourceVersion": str(change.version)}
        return {"type": "DELETED", "object": {**change.before, "metadata": metadata}}

    def _bookmark(self) -> Object:
        obj: Object = {
            "kind": self._resource.kind,
            "apiVersion": self._resource.api_version,
            "metadata": {"resourceVersion": str(self._reached)},
        }
        return {"type": "BOOKMARK", "object": obj}
