"""The kinds of object that are served, and how a path names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

SANDBOX_GROUP = "agents.x-k8s.io"
EXTENSIONS_GROUP = "extensions.agents.x-k8s.io"


class Key(NamedTuple):
    """Where an object lies."""

    group: str
    plural: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Resource:
    """One kind. ``has_generation``: changes of the spec are counted."""

    group: str
    version: str
    plural: str
    kind: str
    has_status: bool = False
    has_generation: bool = False
    deletion_returns_object: bool = False
    is_namespaced: bool = True
    fields: frozenset[str] = frozenset()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def is_custom(self) -> bool:
        return bool(self.group)

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def key(self, namespace: str, name: str) -> Key:
        return Key(self.group, self.plural, namespace, name)

    def details(self, name: str) -> dict[str, str]:
        found = {"name": name, "group": self.group, "kind": self.plural}
        return {what: value for what, value in found.items() if value}


def _custom(group: str, plural: str, kind: str, *, has_status: bool = True) -> Resource:
    return Resource(group, "v1beta1", plural, kind, has_status, has_generation=True)


POD_FIELDS = frozenset(
    {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    }
)
EVENT_FIELDS = frozenset(
    {
        *(f"involvedObject.{n}" for n in ("kind", "namespace", "name", "uid", "apiVersion")),
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    }
)

SANDBOXES = _custom(SANDBOX_GROUP, "sandboxes", "Sandbox")
CLAIMS = _custom(EXTENSIONS_GROUP, "sandboxclaims", "SandboxClaim")
TEMPLATES = _custom(EXTENSIONS_GROUP, "sandboxtemplates", "SandboxTemplate", has_status=False)
POOLS = _custom(EXTENSIONS_GROUP, "sandboxwarmpools", "SandboxWarmPool")
PODS = Resource("", "v1", "pods", "Pod", True, True, True, fields=POD_FIELDS)
SERVICES = Resource("", "v1", "services", "Service", True, False, True)
SECRETS = Resource("", "v1", "secrets", "Secret", fields=frozenset({"type"}))
EVENTS = Resource("", "v1", "events", "Event", fields=EVENT_FIELDS)
QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", True, False, True)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", True, is_namespaced=False)

RESOURCES = [
    SANDBOXES,
    CLAIMS,
    TEMPLATES,
    POOLS,
    PODS,
    SERVICES,
    SECRETS,
    EVENTS,
    QUOTAS,
    NAMESPACES,
]
BY_PATH = {(r.group, r.version, r.plural): r for r in RESOURCES}
BY_PLURAL = {r.plural: r for r in RESOURCES}


@dataclass(frozen=True)
class Target:
    """What a path names; ``resource`` is None where nothing is served."""

    group: str
    version: str
    plural: str
    namespace: str
    name: str
    subresource: str

    @property
    def resource(self) -> Resource | None:
        return BY_PATH.get((self.group, self.version, self.plural))

    @property
    def full_plural(self) -> str:
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural


def parse_path(path: str) -> Target | None:
    """None for a path that is not one of objects."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    plural, name, subresource = [*rest, "", ""][:3]
    return Target(group, version, plural, namespace, name, subresource)
