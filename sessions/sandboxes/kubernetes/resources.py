"""The kinds of objects that the backend handles, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

Object: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A namespaced resource: ``group`` is empty for the core API."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "") -> str:
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        path = f"{root}/namespaces/{namespace}/{self.plural}"
        return f"{path}/{name}" if name else path


_EXTENSIONS = "extensions.agents.x-k8s.io"

SANDBOXES: Final = Resource("agents.x-k8s.io", "v1beta1", "sandboxes", "Sandbox")
CLAIMS: Final = Resource(_EXTENSIONS, "v1beta1", "sandboxclaims", "SandboxClaim")
TEMPLATES: Final = Resource(_EXTENSIONS, "v1beta1", "sandboxtemplates", "SandboxTemplate")
POOLS: Final = Resource(_EXTENSIONS, "v1beta1", "sandboxwarmpools", "SandboxWarmPool")
PODS: Final = Resource("", "v1", "pods", "Pod")
EVENTS: Final = Resource("", "v1", "events", "Event")
SERVICES: Final = Resource("", "v1", "services", "Service")
SECRETS: Final = Resource("", "v1", "secrets", "Secret")


def name_of(found: Object) -> str:
    return str(found["metadata"]["name"])


def uid_of(found: Object) -> str:
    return str(found["metadata"]["uid"])


def labels_of(found: Object) -> dict[str, str]:
    return found["metadata"].get("labels") or {}


def is_being_deleted(found: Object) -> bool:
    return "deletionTimestamp" in found["metadata"]


def created_at(found: Object) -> datetime:
    return datetime.fromisoformat(found["metadata"]["creationTimestamp"])


def sandbox_name(found: Object) -> str:
    """The name of the Sandbox, and of its pod: a claim's is the one that it got, if any."""
    got = (found.get("status") or {}).get("sandbox") or {}
    return str(got.get("name") or name_of(found))


def owner_kind(found: Object) -> str:
    """The kind of the first owner; empty without one."""
    return str(_owner(found).get("kind", ""))


def owner_name(found: Object) -> str:
    """The name of the first owner; empty without one."""
    return str(_owner(found).get("name", ""))


def owner_uid(found: Object) -> str:
    """The uid of the first owner; empty without one."""
    return str(_owner(found).get("uid", ""))


def _owner(found: Object) -> Object:
    owners = found["metadata"].get("ownerReferences") or [{}]
    return dict(owners[0])


def condition(found: Object, kind: str) -> dict[str, str]:
    """The condition of that type; empty while nobody has written it."""
    conditions = (found.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), {})
