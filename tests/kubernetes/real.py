"""A real cluster in the stand-in's place, as far as it can take it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from kubernetes import client, config

from tests.harness.server import wait_until
from tests.kubernetes.standin.access import Rules
from tests.kubernetes.standin.resources import BY_PLURAL, Resource
from tests.kubernetes.standin.selectors import labels_of
from tests.kubernetes.standin.statuses import Object

MANAGED_BY = "lap.internal/managed-by"
CLEAR_SECONDS = 120.0


class RealCluster:
    """What tests may ask of any cluster; whoever asks for more is skipped.

    The kubeconfig's current context names the namespace (else ``default``); its user is taken
    for every user.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._file = kubeconfig
        _, current = config.list_kube_config_contexts(str(kubeconfig))
        self.namespace: str = current["context"].get("namespace", "default")
        self._client = config.new_client_from_config(str(kubeconfig))

    def __getattr__(self, name: str) -> NoReturn:
        pytest.skip(f"only the stand-in has {name!r}")

    def kubeconfig(self, path: Path, user: str = "") -> Path:
        """A copy of the one it was made from, whoever the user is."""
        path.write_text(self._file.read_text(encoding="utf-8"), encoding="utf-8")
        return path

    def token(self, user: str = "", rules: Rules | None = None) -> str:
        """Nothing to hand out: every user is the one of the kubeconfig."""
        return ""

    def objects(self, plural: str, namespace: str = "") -> list[Object]:
        """All of that kind."""
        items: list[Object] = self._ask("GET", BY_PLURAL[plural], namespace)["items"]
        return items

    def object(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """One, if it is there."""
        try:
            return self._ask("GET", BY_PLURAL[plural], namespace, name)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def create(self, plural: str, obj: Object, namespace: str = "") -> Object:
        resource = BY_PLURAL[plural]
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        return self._ask("POST", resource, namespace, body=whole)

    def delete(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """None when it had gone."""
        try:
            return self._ask("DELETE", BY_PLURAL[plural], namespace, name)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def clear(self) -> None:
        """Delete what LAP made in the namespace, and wait until its pods are gone."""
        for plural in ("sandboxclaims", "sandboxtemplates", "sandboxes", "secrets", "services"):
            for found in self._ours(plural):
                self.delete(plural, found["metadata"]["name"])
        wait_until(lambda: not self._ours("pods"), CLEAR_SECONDS)

    def _ours(self, plural: str) -> list[Object]:
        return [o for o in self.objects(plural) if labels_of(o).get(MANAGED_BY) == "lap"]

    def _ask(
        self, method: str, resource: Resource, namespace: str, name: str = "", body: Any = None
    ) -> Object:
        root = f"/apis/{resource.api_version}" if resource.is_custom else "/api/v1"
        path = f"{root}/namespaces/{namespace or self.namespace}/{resource.plural}/{name}"
        request = self._client.param_serialize(
            method,
            path.rstrip("/"),
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = self._client.call_api(*request)
        answer.read()
        if answer.status >= 400:
            raise client.ApiException(http_resp=answer)
        found: Object = json.loads(answer.data)
        return found
