"""The pods that the backend asks for are let into the namespace that the manifests make."""

from __future__ import annotations

from uuid import uuid4

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from sessions.sandboxes.base import Configuration
from sessions.sandboxes.kubernetes import manifests
from sessions.sandboxes.kubernetes.options import Options
from tests.deploy.rendering import OVERLAYS, Object, of_kind


@pytest.fixture
def sandbox_pod() -> Object:
    options = Options(namespace="lap-sandboxes", harness_image="lap-harness:0.1.0")
    template = manifests.template(Configuration(uuid4(), "shell"), options)
    return dict(template["spec"]["podTemplate"])


def test_the_restricted_policy_admits_it(sandbox_pod: Object) -> None:
    spec = sandbox_pod["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & spec.keys()
    assert not any("hostPort" in port for port in container["ports"])


def test_it_holds_no_token_and_learns_of_no_service(sandbox_pod: Object) -> None:
    assert sandbox_pod["spec"]["automountServiceAccountToken"] is False
    assert sandbox_pod["spec"]["enableServiceLinks"] is False


def test_the_apis_own_schema_takes_it(sandbox_pod: Object) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", **sandbox_pod}
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_quota_counts_what_it_asks_for(folder: str, sandbox_pod: Object) -> None:
    """A quota refuses every pod that does not say how much it wants of what is counted."""
    (quota,) = of_kind(folder, "ResourceQuota")
    counted = {name.partition(".")[2] for name in quota["spec"]["hard"] if "requests." in name}
    assert counted <= sandbox_pod["spec"]["containers"][0]["resources"]["requests"].keys()
