"""What was asked of the API server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.kubernetes.standin.resources import Target

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Call:
    """One request. ``resource`` is the plural; ``injected`` the fault it suffered, if any;
    ``status`` 0 while it is under way or when its connection was cut before.
    """

    method: str
    path: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user: str = ""
    agent: str = ""
    status: int = 0
    injected: str = ""


def describe(
    method: str, path: str, query: Mapping[str, str], target: Target | None, agent: str
) -> Call:
    """The call, with the verb that RBAC knows it by."""
    if target is None:
        return Call(method, path, method.lower(), "", "", "", "", "", agent=agent)
    verb = _verb(method, query, bool(target.name))
    return Call(
        method,
        path,
        verb,
        target.group,
        target.plural,
        target.subresource,
        target.namespace,
        target.name,
        agent=agent,
    )


def _verb(method: str, query: Mapping[str, str], has_name: bool) -> str:
    if method == "GET":
        if query.get("watch") in ("true", "1"):
            return "watch"
        return "get" if has_name else "list"
    if method == "DELETE" and not has_name:
        return "deletecollection"
    return VERBS.get(method, method.lower())
