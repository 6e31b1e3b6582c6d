"""Create, change and delete with all that happens on the way. Controllers use it as well."""

from __future__ import annotations

import copy
from collections.abc import Callable

from tests.kubernetes.standin import defaults, names, patching, schemas, statuses
from tests.kubernetes.standin.quotas import Quotas
from tests.kubernetes.standin.resources import (
    BY_PLURAL,
    NAMESPACES,
    PODS,
    QUOTAS,
    Key,
    Resource,
)
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import Store, owners_of, timestamp

FOREGROUND = "foregroundDeletion"


class Api:
    """The API server without its HTTP. Lives on the event loop of the stand-in."""

    def __init__(self, store: Store, quotas: Quotas) -> None:
        self.store = store
        self._quotas = quotas
        self.admission: list[Callable[[Resource, Object], None]] = []
        """What may still change a new object, as a cluster's own machinery does."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        found = self.store.find(resource, namespace, name)
        if not found:
            raise statuses.not_found(resource, name)
        return found

    def create(self, resource: Resource, namespace: str, sent: Object) -> Object:
        """Namespace, defaults, validation, quota, and only then whether the name is free."""
        if resource.is_namespaced and not self.store.find(NAMESPACES, "", namespace):
            raise statuses.not_found(NAMESPACES, namespace)
        obj = self._prepared(resource, namespace, sent)
        name = obj["metadata"]["name"]
        self._quotas.check(resource, namespace, name)
        for admit in self.admission:
            admit(resource, obj)
        created = self.store.create(resource, namespace, obj)
        if resource is QUOTAS:
            self._quotas.count_later(created)
        return created

    def replace(
        self, resource: Resource, namespace: str, name: str, sent: Object, subresource: str = ""
    ) -> Object:
        before = self.get(resource, namespace, name)
        return self._change(resource, before, sent, subresource)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Object,
        *,
        kind: str = patching.MERGE,
        subresource: str = "",
    ) -> Object:
        before = self.get(resource, namespace, name)
        after = patching.patched(resource, before, patch, kind)
        return self._change(resource, before, after, subresource)

    def delete(self, resource: Resource, namespace: str, name: str, options: Object) -> Object:
        """The answer. A pod that has a node, or what has finalizers, goes later."""
        obj = self.get(resource, namespace, name)
        _check_preconditions(resource, obj, options.get("preconditions") or {})
        policy = options.get("propagationPolicy")
        if policy == "Orphan":
            self._orphan(obj["metadata"]["uid"])
        if policy == "Foreground":
            finalizers = [*obj["metadata"].get("finalizers", []), FOREGROUND]
            obj = self._marked(resource, obj, finalizers=sorted(set(finalizers)))
        elif self._is_graceful(resource, obj, options):
            obj = self._marked(resource, obj, deletionGracePeriodSeconds=30)
        elif obj["metadata"].get("finalizers"):
            obj = self._marked(resource, obj)
        else:
            self.store.remove(resource, obj)
            if not resource.deletion_returns_object:
                return statuses.success(resource, obj["metadata"])
        return obj

    def set_status(self, resource: Resource, obj: Object, status: Object) -> Object:
        """Write a status, if the object is still there."""
        metadata = obj["metadata"]
        now = self.store.find(resource, metadata["namespace"], metadata["name"])
        if not now or now["metadata"]["uid"] != metadata["uid"]:
            return obj
        return self.store.update(resource, now, {**now, "status": status})

    def set_metadata(self, resource: Resource, obj: Object, **fields: object) -> Object:
        """Write parts of the metadata; a None takes them away."""
        metadata = {**obj["metadata"], **fields}
        kept = {name: value for name, value in metadata.items() if value is not None}
        return self.store.update(resource, obj, {**obj, "metadata": kept})

    def _prepared(self, resource: Resource, namespace: str, sent: Object) -> Object:
        _check_envelope(resource, namespace, sent)
        obj = {name: value for name, value in sent.items() if name != "status"}
        obj["metadata"] = metadata = copy.deepcopy(sent["metadata"])
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = names.made_up(metadata["generateName"])
        if not metadata.get("name"):
            cause = "Required value: name or generateName is required"
            raise statuses.invalid(resource, "", [("FieldValueRequired", cause, "metadata.name")])
        if not resource.is_custom:
            self._validate(resource, obj)
            return defaults.complete(resource, obj)
        obj = schemas.complete(resource, obj)
        self._validate(resource, obj)
        return obj

    def _validate(self, resource: Resource, obj: Object) -> None:
        causes = names.problems(resource, obj)
        if resource.is_custom:
            causes += schemas.problems(resource, obj)
        if resource is PODS and not obj.get("spec", {}).get("containers"):
            causes.append(("FieldValueRequired", "Required value", "spec.containers"))
        if causes:
            raise statuses.invalid(resource, obj["metadata"]["name"], causes)

    def _change(self, resource: Resource, before: Object, sent: Object, subresource: str) -> Object:
        patching.check_version(resource, before, sent)
        after = patching.keep_out(resource, before, sent, subresource)
        if resource is PODS:
            defaults.complete_status(after)
        if resource.is_custom:
            after = schemas.complete(resource, after)
        if not subresource:
            self._validate(resource, after)
        return self.store.update(resource, before, after)

    def _marked(self, resource: Resource, obj: Object, **fields: object) -> Object:
        since = obj["metadata"].get("deletionTimestamp", timestamp())
        return self.set_metadata(resource, obj, deletionTimestamp=since, **fields)

    def _is_graceful(self, resource: Resource, obj: Object, options: Object) -> bool:
        is_placed = resource is PODS and obj["spec"].get("nodeName")
        return bool(is_placed) and options.get("gracePeriodSeconds") != 0

    def _orphan(self, uid: str) -> None:
        for key in self.store.owned_by(uid):
            obj = self.store.at(key)
            if obj:
                kept = [owner for owner in owners_of(obj) if owner["uid"] != uid]
                self.set_metadata(by_key(key), obj, ownerReferences=kept or None)


def by_key(key: Key) -> Resource:
    """The resource of a stored object."""
    return BY_PLURAL[key[1]]


def _check_envelope(resource: Resource, namespace: str, sent: Object) -> None:
    for field, expected in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        found = sent.get(field)
        is_missing = resource.is_custom and not found
        if is_missing or (found and found != expected):
            told = f"the {field} in the data ({found or ''})"
            raise statuses.bad_request(f"{told} does not match the expected {field} ({expected})")
    if not isinstance(sent.get("metadata"), dict):
        raise statuses.bad_request("the object provided has no metadata")
    if sent["metadata"].get("namespace", namespace) != namespace:
        message = (
            "the namespace of the provided object does not match the namespace sent on the request"
        )
        raise statuses.bad_request(message)


def _check_preconditions(resource: Resource, obj: Object, preconditions: Object) -> None:
    metadata = obj["metadata"]
    wanted = preconditions.get("uid")
    if wanted and wanted != metadata["uid"]:
        raise statuses.other_uid(resource, metadata["name"], wanted, metadata["uid"])
    version = preconditions.get("resourceVersion")
    if version and version != metadata["resourceVersion"]:
        raise statuses.modified(resource, metadata["name"])
