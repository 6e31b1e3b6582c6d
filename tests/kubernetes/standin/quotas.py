"""ResourceQuotas that count objects."""

from __future__ import annotations

import asyncio

from tests.kubernetes.standin import statuses
from tests.kubernetes.standin.resources import BY_PLURAL, PODS, QUOTAS, Key, Resource
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import Store

FINISHED = ("Succeeded", "Failed")


class Quotas:
    """A quota refuses everything it limits until it has been counted for the first time.

    ``sync_seconds`` is how long that takes for core objects, ``custom_sync_seconds`` for others.
    """

    def __init__(self, store: Store) -> None:
        self.sync_seconds = 0.0
        self.custom_sync_seconds = 0.0
        self._store = store

    def count_later(self, quota: Object) -> None:
        """Begin to count what a new quota limits."""
        loop = asyncio.get_running_loop()
        metadata = quota["metadata"]
        key = QUOTAS.key(metadata["namespace"], metadata["name"])
        loop.call_later(self.sync_seconds, self._count, key, False)
        loop.call_later(max(self.sync_seconds, self.custom_sync_seconds), self._count, key, True)

    def check(self, resource: Resource, namespace: str, name: str) -> None:
        """Raise the 403 of the first quota that leaves no room for one more."""
        for quota in self._store.all_of(QUOTAS, namespace):
            for item, limit in quota["spec"]["hard"].items():
                if _resource(item) is resource:
                    self._check(quota, item, int(limit), resource, name)

    def _check(self, quota: Object, item: str, limit: int, resource: Resource, name: str) -> None:
        quota_name = quota["metadata"]["name"]
        if item not in quota["status"].get("used", {}):
            why = f"status unknown for quota: {quota_name}, resources: {item}"
            raise statuses.forbidden(resource, name, why)
        used = self._used(resource, quota["metadata"]["namespace"])
        if used + 1 > limit:
            told = f"requested: {item}=1, used: {item}={used}, limited: {item}={limit}"
            why = f"exceeded quota: {quota_name}, {told}"
            raise statuses.forbidden(resource, name, why)

    def _count(self, key: Key, has_custom: bool) -> None:
        quota = self._store.at(key)
        if not quota:
            return
        hard = quota["spec"]["hard"]
        counted = {item: _resource(item) for item in hard}
        used = {
            item: str(self._used(resource, key.namespace))
            for item, resource in counted.items()
            if resource and (has_custom or not resource.is_custom)
        }
        self._store.update(QUOTAS, quota, {**quota, "status": {"hard": hard, "used": used}})

    def _used(self, resource: Resource, namespace: str) -> int:
        found = self._store.all_of(resource, namespace)
        if resource is PODS:
            found = [pod for pod in found if pod["status"]["phase"] not in FINISHED]
        return len(found)


def _resource(item: str) -> Resource | None:
    plain = item.removeprefix("count/")
    found = BY_PLURAL.get(plain.partition(".")[0])
    return found if found and found.qualified == plain else None
