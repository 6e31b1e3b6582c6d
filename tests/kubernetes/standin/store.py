"""Every object, one version counter for all, and the history that watches begin from."""

from __future__ import annotations

import collections
import copy
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.kubernetes.standin import statuses
from tests.kubernetes.standin.resources import Key, Resource
from tests.kubernetes.standin.statuses import Object

FIRST_VERSION = 221
HISTORY_LIMIT = 50_000


@dataclass(frozen=True)
class Change:
    """One step of the history. ``before`` is None when it was added, ``after`` when deleted."""

    version: int
    resource: Resource
    key: Key
    before: Object | None
    after: Object | None


def timestamp() -> str:
    """Now, as the API server writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Lives on the event loop of the stand-in. Objects in it are never changed in place."""

    def __init__(self) -> None:
        self.version = FIRST_VERSION
        self.oldest = FIRST_VERSION
        self.listeners: list[Callable[[Change], None]] = []
        self._objects: dict[tuple[str, str], dict[Key, Object]] = collections.defaultdict(dict)
        self._history: collections.deque[Change] = collections.deque(maxlen=HISTORY_LIMIT)
        self._owned: dict[str, set[Key]] = collections.defaultdict(set)
        self._uids: set[str] = set()

    def all_of(self, resource: Resource, namespace: str = "") -> list[Object]:
        """By namespace and name; of all namespaces when none is named."""
        found = self._objects[resource.group, resource.plural]
        return [found[key] for key in sorted(found) if not namespace or key.namespace == namespace]

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self.at(resource.key(namespace, name))

    def at(self, key: Key) -> Object | None:
        return self._objects[key.group, key.plural].get(key)

    def owned_by(self, uid: str) -> list[Key]:
        return sorted(self._owned[uid])

    def has_uid(self, uid: str) -> bool:
        return uid in self._uids

    def history_after(self, version: int) -> Iterator[Change]:
        return (change for change in list(self._history) if change.version > version)

    def forget_history(self) -> None:
        """Watches from before now get 410."""
        self._history.clear()
        self.oldest = self.version

    def create(self, resource: Resource, namespace: str, obj: Object) -> Object:
        """Store a new object under a uid of its own."""
        name = obj["metadata"]["name"]
        key = resource.key(namespace, name)
        if self.at(key):
            raise statuses.already_exists(resource, name)
        created = copy.deepcopy(obj)
        metadata = created["metadata"]
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        if namespace:
            metadata["namespace"] = namespace
        if resource.has_generation:
            metadata["generation"] = 1
        created |= {"apiVersion": resource.api_version, "kind": resource.kind}
        return self._put(resource, key, None, created)

    def update(self, resource: Resource, before: Object, after: Object) -> Object:
        """Replace it; the same content again is no change. The last finalizer gone ends it."""
        kept = before["metadata"]
        after = copy.deepcopy(after)
        own = ("uid", "name", "namespace", "creationTimestamp", "resourceVersion", "generation")
        after["metadata"] |= {name: kept[name] for name in own if name in kept}
        after |= {"apiVersion": resource.api_version, "kind": resource.kind}
        if after == before:
            return before
        if resource.has_generation and after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] = kept["generation"] + 1
        key = resource.key(kept.get("namespace", ""), kept["name"])
        updated = self._put(resource, key, before, after)
        metadata = updated["metadata"]
        was_held = kept.get("finalizers") and "deletionTimestamp" in metadata
        if was_held and not metadata.get("finalizers"):
            self.remove(resource, updated)
        return updated

    def remove(self, resource: Resource, obj: Object) -> None:
        """Take it out; its last state goes to the watches under a new version."""
        metadata = obj["metadata"]
        key = resource.key(metadata.get("namespace", ""), metadata["name"])
        gone = self._objects[resource.group, resource.plural].pop(key, None)
        if gone is None:
            return
        self._uids.discard(metadata["uid"])
        self._index_owners(key, gone, None)
        self.version += 1
        self._tell(Change(self.version, resource, key, gone, None))

    def _put(self, resource: Resource, key: Key, before: Object | None, after: Object) -> Object:
        self.version += 1
        after["metadata"]["resourceVersion"] = str(self.version)
        self._objects[resource.group, resource.plural][key] = after
        self._uids.add(after["metadata"]["uid"])
        self._index_owners(key, before, after)
        self._tell(Change(self.version, resource, key, before, after))
        return after

    def _index_owners(self, key: Key, before: Object | None, after: Object | None) -> None:
        for owner in owners_of(before):
            self._owned[owner["uid"]].discard(key)
        for owner in owners_of(after):
            self._owned[owner["uid"]].add(key)

    def _tell(self, change: Change) -> None:
        if len(self._history) == HISTORY_LIMIT:
            self.oldest = self._history[0].version
        self._history.append(change)
        for listener in list(self.listeners):
            listener(change)


def owners_of(obj: Object | None) -> list[Object]:
    """Its ownerReferences."""
    return (obj or {}).get("metadata", {}).get("ownerReferences") or []
