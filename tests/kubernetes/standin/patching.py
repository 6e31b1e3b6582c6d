"""PUT and PATCH: from what is stored and what was sent to what is stored next."""

from __future__ import annotations

import copy
from typing import Any

from tests.kubernetes.standin import statuses
from tests.kubernetes.standin.resources import Resource
from tests.kubernetes.standin.statuses import ApiError, Object

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def merged(base: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(base) if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def patched(resource: Resource, before: Object, patch: Object, kind: str) -> Object:
    """Strategic patches are taken for merge patches, and for core objects only."""
    allowed = [MERGE] if resource.is_custom else [MERGE, STRATEGIC]
    if kind.partition(";")[0] not in allowed:
        raise _unsupported(allowed)
    after: Object = merged(before, patch)
    return after


def keep_out(resource: Resource, before: Object, after: Object, subresource: str) -> Object:
    """Without what this path may not change: the status, or all but the status."""
    if subresource == "status":
        return {**before, "status": after.get("status", {})}
    if not resource.has_status:
        return after
    others = {name: value for name, value in after.items() if name != "status"}
    return {**others, **({"status": before["status"]} if "status" in before else {})}


def check_version(resource: Resource, before: Object, after: Object) -> None:
    """Raise the 409 of somebody who saw an older one."""
    metadata = before["metadata"]
    wanted = after.get("metadata", {}).get("resourceVersion")
    if wanted and wanted != metadata["resourceVersion"]:
        raise statuses.modified(resource, metadata["name"])


def _unsupported(allowed: list[str]) -> ApiError:
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(allowed)
    )
    return ApiError(statuses.failure(415, "UnsupportedMediaType", message, {}))
