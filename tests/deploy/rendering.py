"""What ``kubectl kustomize`` makes of ``deploy/kubernetes``, offline."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

Object: TypeAlias = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
KUBECTL: Final = Path(sys.executable).with_name("kubectl")
OVERLAYS: Final = ("overlays/small", "overlays/production")
RENDERED: Final = (
    "base/namespaces", "demo-database", "components/model-gateway",
    *OVERLAYS, *(f"{overlay}/migrate" for overlay in OVERLAYS),
)  # fmt: skip
"""Everything that docs/deploy.md has an operator apply."""


@cache
def render(folder: str) -> tuple[Object, ...]:
    """The objects of a folder below deploy/kubernetes."""
    command = [str(KUBECTL), "kustomize", str(DEPLOY / "kubernetes" / folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(folder: str, *kinds: str) -> list[Object]:
    return [found for found in render(folder) if found["kind"] in kinds]


def named(folder: str, kind: str, name: str) -> Object:
    return next(o for o in of_kind(folder, kind) if o["metadata"]["name"] == name)


@dataclass(frozen=True)
class Pod:
    """The pod template of a workload."""

    folder: str
    name: str
    namespace: str
    labels: dict[str, str]
    spec: Object

    def __str__(self) -> str:
        return f"{self.folder}:{self.name}"

    @property
    def container(self) -> Object:
        (only,) = self.spec["containers"]
        return dict(only)

    @property
    def secret_keys(self) -> set[str]:
        return {
            variable["valueFrom"]["secretKeyRef"]["key"]
            for variable in self.container["env"]
            if "valueFrom" in variable
        }

    @property
    def environment(self) -> dict[str, str]:
        """Its variables, with those of its ConfigMap; a secret's value is its own name."""
        found: dict[str, str] = {}
        for source in self.container.get("envFrom", ()):
            found |= named(self.folder, "ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in self.container["env"]:
            found[variable["name"]] = variable.get("value", variable["name"])
        return found


def pods(folder: str) -> Iterator[Pod]:
    for workload in of_kind(folder, "Deployment", "StatefulSet", "Job"):
        template, meta = workload["spec"]["template"], workload["metadata"]
        labels = template["metadata"]["labels"]
        yield Pod(folder, meta["name"], meta["namespace"], labels, template["spec"])


def all_pods() -> list[Pod]:
    return [pod for folder in RENDERED if "component" not in folder for pod in pods(folder)]


def pod(folder: str, name: str) -> Pod:
    return next(found for found in pods(folder) if found.name == name)
