"""Garbage collection: what only had owners that are gone, goes as well."""

from __future__ import annotations

import asyncio

from tests.kubernetes.standin.api import FOREGROUND, Api, by_key
from tests.kubernetes.standin.resources import Key
from tests.kubernetes.standin.store import Change, owners_of


class Collector:
    """Works in the background, ``delay_seconds`` behind."""

    def __init__(self, api: Api) -> None:
        self.delay_seconds = 0.02
        self._api = api
        self._store = api.store
        self._store.listeners.append(self._notice)

    def _notice(self, change: Change) -> None:
        loop = asyncio.get_running_loop()
        if change.after is None and change.before:
            loop.call_later(self.delay_seconds, self._collect, change.before["metadata"]["uid"])
        elif change.before is None and owners_of(change.after):
            loop.call_later(self.delay_seconds, self._judge, change.key)
        elif change.after and FOREGROUND in change.after["metadata"].get("finalizers", []):
            loop.call_later(self.delay_seconds, self._go_first, change.key)

    def _collect(self, uid: str) -> None:
        for key in self._store.owned_by(uid):
            self._judge(key)

    def _judge(self, key: Key) -> None:
        obj = self._store.at(key)
        owners = owners_of(obj)
        if obj and owners and not any(self._store.has_uid(owner["uid"]) for owner in owners):
            self._delete(key)

    def _go_first(self, key: Key) -> None:
        """Foreground deletion: the dependents before their owner."""
        owner = self._store.at(key)
        if not owner or FOREGROUND not in owner["metadata"].get("finalizers", []):
            return
        dependents = self._store.owned_by(owner["metadata"]["uid"])
        for dependent in dependents:
            self._delete(dependent)
        if dependents:
            loop = asyncio.get_running_loop()
            loop.call_later(max(self.delay_seconds, 0.01), self._go_first, key)
            return
        finalizers = [name for name in owner["metadata"]["finalizers"] if name != FOREGROUND]
        self._api.set_metadata(by_key(key), owner, finalizers=finalizers)

    def _delete(self, key: Key) -> None:
        self._api.delete(by_key(key), key.namespace, key.name, {})
