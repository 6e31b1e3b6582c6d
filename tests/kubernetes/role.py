"""What the deployed worker may do, read from the manifest that gives it the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROLE = Path(__file__).parents[2] / "deploy/kubernetes/base/sandboxes/role.yaml"

Right = tuple[str, str, str]
"""API group, resource (with its subresource) and verb."""


def worker_rules() -> list[dict[str, Any]]:
    """The rules of the worker's Role."""
    objects = yaml.safe_load_all(ROLE.read_text(encoding="utf-8"))
    (role,) = (found for found in objects if found["kind"] == "Role")
    rules: list[dict[str, Any]] = role["rules"]
    return rules


def rights() -> set[Right]:
    """The same, one by one."""
    return {
        (group, resource, verb)
        for rule in worker_rules()
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
