"""The manifests are what the API server accepts, and fit together."""

from __future__ import annotations

from collections import Counter
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from lap.core.probes import PATHS
from tests.deploy.rendering import OVERLAYS, RENDERED, Object, named, of_kind, pods, render

CUSTOM = {("monitoring.coreos.com/v1", "ServiceMonitor")}
"""Kinds that come with operators: the API's own schemas do not know them."""

NAMESPACES = {"lap", "lap-sandboxes"}
WORKER_MAY = {
    ("agents.x-k8s.io", "sandboxes"): "get list watch create patch delete",
    ("extensions.agents.x-k8s.io", "sandboxclaims"): "get list watch create patch delete",
    ("extensions.agents.x-k8s.io", "sandboxtemplates"): "get list create delete",
    ("extensions.agents.x-k8s.io", "sandboxwarmpools"): "list watch create",
    ("", "pods"): "get list watch",
    ("", "pods/log"): "get",
    ("", "events"): "list",
    ("", "services"): "create get delete",
    ("", "secrets"): "create get delete",
}


@pytest.mark.parametrize("folder", RENDERED)
def test_every_object_fits_the_apis_own_schemas(folder: str) -> None:
    assert render(folder)
    for found in render(folder):
        if (found["apiVersion"], found["kind"]) not in CUSTOM:
            kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)


def test_the_schemas_refuse_what_is_wrong() -> None:
    wrong = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "x"},
        "spec": {"prots": []},
    }
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("folder", RENDERED)
def test_objects_live_in_laps_namespaces_under_names_of_their_own(folder: str) -> None:
    metas = [(found["kind"], found["metadata"]) for found in render(folder)]
    assert {name["name"] for kind, name in metas if kind == "Namespace"} <= NAMESPACES
    assert {meta["namespace"] for kind, meta in metas if kind != "Namespace"} <= NAMESPACES
    names = Counter((kind, meta.get("namespace"), meta["name"]) for kind, meta in metas)
    assert max(names.values()) == 1


@pytest.mark.parametrize("folder", RENDERED)
def test_no_secret_stands_in_a_manifest(folder: str) -> None:
    assert of_kind(folder, "Secret") == []


@pytest.mark.parametrize("folder", [*OVERLAYS, "demo-database"])
def test_every_selector_finds_pods(folder: str) -> None:
    labels = {(pod.namespace, *pod.labels.items()) for pod in pods(folder)}
    for found in of_kind(folder, "Deployment", "StatefulSet", "PodDisruptionBudget", "Service"):
        selector = found["spec"].get("selector") or {}
        wanted = selector.get("matchLabels", selector)
        assert found["metadata"]["name"] == "lap-nobody" or any(
            {*wanted.items(), found["metadata"]["namespace"]} <= set(there) for there in labels
        ), found["metadata"]["name"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_services_lead_to_ports_that_their_pods_have(folder: str) -> None:
    for service in of_kind(folder, "Service"):
        for pod in pods(folder):
            selector = service["spec"].get("selector", {None: None})
            if selector.items() <= pod.labels.items():
                have = {port["name"] for port in pod.container["ports"]}
                assert {port["targetPort"] for port in service["spec"]["ports"]} <= have


@pytest.mark.parametrize("folder", OVERLAYS)
def test_nothing_keeps_a_node_from_being_drained(folder: str) -> None:
    for budget in of_kind(folder, "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("folder", OVERLAYS)
def test_a_node_that_is_drained_is_not_the_one_to_be_filled(folder: str) -> None:
    """Counted, it stays the emptiest one, and no other may get the next pod."""
    for pod in pods(folder):
        for spread in pod.spec["topologySpreadConstraints"]:
            is_soft = spread["whenUnsatisfiable"] == "ScheduleAnyway"
            assert is_soft or spread["nodeTaintsPolicy"] == "Honor"


@pytest.mark.parametrize("folder", OVERLAYS)
def test_a_rollout_takes_no_pod_away_before_its_successor_is_ready(folder: str) -> None:
    for found in of_kind(folder, "Deployment"):
        rolling = found["spec"]["strategy"]["rollingUpdate"]
        assert (rolling["maxSurge"], rolling["maxUnavailable"]) == (1, 0)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_only_the_worker_may_use_the_kubernetes_api_and_only_for_sandboxes(folder: str) -> None:
    assert of_kind(folder, "ClusterRole", "ClusterRoleBinding") == []
    (binding,), (role,) = of_kind(folder, "RoleBinding"), of_kind(folder, "Role")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "lap-worker", "namespace": "lap"}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    namespace = settings_of(folder)["K8S_NAMESPACE"]
    assert binding["metadata"]["namespace"] == role["metadata"]["namespace"] == namespace
    assert granted(role) == {thing: set(verbs.split()) for thing, verbs in WORKER_MAY.items()}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_sandboxes_are_held_to_the_restricted_policy(folder: str) -> None:
    for name in NAMESPACES:
        labels = named(folder, "Namespace", name)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        assert labels["pod-security.kubernetes.io/enforce-version"].startswith("v1.")


@pytest.mark.parametrize("folder", OVERLAYS)
def test_sandboxes_reach_lap_by_webs_service(folder: str) -> None:
    meta = named(folder, "Service", "lap-web")["metadata"]
    (port,) = named(folder, "Service", "lap-web")["spec"]["ports"]
    host = f"{meta['name']}.{meta['namespace']}.svc"
    found = settings_of(folder)
    assert port["port"] == 80
    assert found["LAP_SANDBOX_URL"] == f"http://{host}"
    assert host in found["LAP_ALLOWED_HOSTS"].split(",")


def test_prometheus_reads_ports_that_services_have() -> None:
    (monitor,) = of_kind("overlays/production", "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    ports = {
        port["name"]
        for service in of_kind("overlays/production", "Service")
        if wanted <= service["metadata"].get("labels", {}).items()
        for port in service["spec"]["ports"]
    }
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} == ports


def test_the_ingress_answers_under_the_public_address_and_publishes_no_probe() -> None:
    folder = "overlays/production"
    (ingress,) = of_kind(folder, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    found = settings_of(folder)
    assert found["LAP_PUBLIC_URL"] == f"https://{rule['host']}"
    assert rule["host"] in found["LAP_ALLOWED_HOSTS"].split(",")
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
    to = {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
    assert to == {"/": "lap-web", **dict.fromkeys(PATHS, "lap-nobody")}
    assert "selector" not in named(folder, "Service", "lap-nobody")["spec"]


def settings_of(folder: str) -> dict[str, Any]:
    (found,) = of_kind(folder, "ConfigMap")
    return dict(found["data"])


def granted(role: Object) -> dict[tuple[str, str], set[str]]:
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
