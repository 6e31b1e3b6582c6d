"""The SandboxWarmPool controller: so many unclaimed sandboxes, always."""

from __future__ import annotations

from tests.kubernetes.standin import blueprints, conditions
from tests.kubernetes.standin.api import Api
from tests.kubernetes.standin.names import name_hash
from tests.kubernetes.standin.resources import POOLS, SANDBOXES, TEMPLATES, Key
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import Change, owners_of
from tests.kubernetes.standin.work import WorkQueue


class PoolController:
    """Looks again when a pool, a template or a member changes."""

    def __init__(self, api: Api) -> None:
        self.queue = WorkQueue(self._reconcile)
        self._api = api
        self._store = api.store
        self._store.listeners.append(self._notice)

    def _notice(self, change: Change) -> None:
        namespace = change.key.namespace
        if change.resource is POOLS and change.after:
            self.queue.add(change.key)
        if change.resource is TEMPLATES and change.before is None:
            for pool in self._store.all_of(POOLS, namespace):
                self.queue.add(POOLS.key(namespace, pool["metadata"]["name"]))
        if change.resource is SANDBOXES:
            for owner in [*owners_of(change.before), *owners_of(change.after)]:
                if owner["kind"] == POOLS.kind:
                    self.queue.add(POOLS.key(namespace, owner["name"]))

    def _reconcile(self, key: Key) -> None:
        pool = self._store.at(key)
        if not pool or "deletionTimestamp" in pool["metadata"]:
            return
        self._scale(pool)
        found = members(self._api, pool)
        ready = sum(conditions.is_true(member, "Ready") for member in found)
        status = {
            "observedGeneration": pool["metadata"]["generation"],
            "readyReplicas": ready,
            "replicas": len(found),
            "selector": f"{blueprints.POOL_LABEL}={name_hash(pool['metadata']['name'])}",
        }
        self._api.set_status(POOLS, pool, status)

    def _scale(self, pool: Object) -> None:
        namespace = pool["metadata"]["namespace"]
        template_name = pool["spec"]["sandboxTemplateRef"]["name"]
        template = self._store.find(TEMPLATES, namespace, template_name)
        found = members(self._api, pool)
        wanted: int = pool["spec"]["replicas"]
        for _ in range(wanted - len(found) if template else 0):
            self._api.create(SANDBOXES, namespace, blueprints.for_pool(pool, template or {}))
        for member in found[wanted:]:
            self._api.delete(SANDBOXES, namespace, member["metadata"]["name"], {})


def members(api: Api, pool: Object) -> list[Object]:
    """Its sandboxes that nobody has claimed: the ready ones first, then the oldest."""
    namespace, uid = pool["metadata"]["namespace"], pool["metadata"]["uid"]
    owned = (api.store.at(key) for key in api.store.owned_by(uid))
    found = [s for s in owned if s and s["kind"] == SANDBOXES.kind]
    found = [s for s in found if s["metadata"]["namespace"] == namespace]
    return sorted(found, key=lambda s: (not conditions.is_true(s, "Ready"), _age(s)))


def _age(sandbox: Object) -> tuple[str, str]:
    return sandbox["metadata"]["creationTimestamp"], sandbox["metadata"]["name"]
