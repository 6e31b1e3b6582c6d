"""LIST: selectors, pages, and versions from the future."""

from __future__ import annotations

import base64
import collections
import secrets
from collections.abc import Mapping

from tests.kubernetes.standin import selectors, statuses
from tests.kubernetes.standin.resources import Resource
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import Store

PAGES_LIMIT = 100


class Lists:
    """Keeps the rest of every list that was read in pages, as it was at the first page."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rests: collections.OrderedDict[str, tuple[int, list[Object]]]
        self._rests = collections.OrderedDict()

    def expire(self) -> None:
        """Every continue token given so far gets 410."""
        self._rests.clear()

    def answer(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> Object:
        if token := query.get("continue"):
            version, found = self._resume(token)
        else:
            version, found = self._begin(resource, namespace, query)
        limit = int(query.get("limit") or 0) or len(found)
        metadata: Object = {"resourceVersion": str(version)}
        rest = found[limit:]
        if rest or resource.is_custom:
            metadata["continue"] = self._keep(version, rest) if rest else ""
        if rest and not (query.get("labelSelector") or query.get("fieldSelector")):
            metadata["remainingItemCount"] = len(rest)
        items = [_item(resource, obj) for obj in found[:limit]]
        kind = f"{resource.kind}List"
        api_version = resource.api_version
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "items": items}

    def _begin(
        self, resource: Resource, namespace: str, query: Mapping[str, str]
    ) -> tuple[int, list[Object]]:
        check_version(self._store, query)
        matches = selectors.parse(
            resource, query.get("labelSelector", ""), query.get("fieldSelector", "")
        )
        found = [obj for obj in self._store.all_of(resource, namespace) if matches(obj)]
        return self._store.version, found

    def _keep(self, version: int, rest: list[Object]) -> str:
        token = base64.urlsafe_b64encode(secrets.token_bytes(18)).decode()
        self._rests[token] = version, rest
        while len(self._rests) > PAGES_LIMIT:
            self._rests.popitem(last=False)
        return token

    def _resume(self, token: str) -> tuple[int, list[Object]]:
        if token not in self._rests:
            raise statuses.continue_expired()
        return self._rests[token]


def check_version(store: Store, query: Mapping[str, str]) -> int:
    """The resourceVersion asked for, 0 if none; one that is not there yet is a 504."""
    text = query.get("resourceVersion") or "0"
    if not text.isdigit():
        raise statuses.bad_request(f"Invalid value: {text!r}: must be a resource version")
    if int(text) > store.version:
        raise statuses.version_too_large(int(text), store.version)
    return int(text)


def _item(resource: Resource, obj: Object) -> Object:
    """Core lists leave kind and apiVersion out of their items."""
    if resource.is_custom:
        return obj
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
