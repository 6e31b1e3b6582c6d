"""What the API server adds to core objects that are created."""

from __future__ import annotations

import base64
import copy
import itertools
from collections.abc import Callable
from typing import Any

from tests.kubernetes.standin.resources import PODS, QUOTAS, SECRETS, SERVICES, Resource
from tests.kubernetes.standin.statuses import Object

_numbers = itertools.count(1)


def complete(resource: Resource, obj: Object) -> Object:
    """The same object with the defaults of its kind."""
    completed = copy.deepcopy(obj)
    if fill := _FILLERS.get(resource.plural):
        fill(completed)
    return completed


def complete_status(pod: Object) -> None:
    """What a pod's status has even where its writer left it out."""
    status = pod["status"] = {**pod["status"]}
    for name in ("containerStatuses", "initContainerStatuses"):
        if name in status:
            status[name] = [{"lastState": {}, **container} for container in status[name]]


def _toleration(condition: str) -> Object:
    return {
        "key": f"node.kubernetes.io/{condition}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    }


def _pod(pod: Object) -> None:
    defaults: Object = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": [_toleration("not-ready"), _toleration("unreachable")],
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    spec = pod["spec"] = {**defaults, **pod["spec"]}
    for container in spec["containers"]:
        _container(container)
    pod["status"] = {"phase": "Pending", "qosClass": _quality(spec["containers"])}


def _container(container: Object) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    tag = container["image"].rpartition("/")[2].partition(":")[2]
    is_fixed = tag not in ("", "latest")
    container.setdefault("imagePullPolicy", "IfNotPresent" if is_fixed else "Always")
    for port in container.get("ports", []):
        port.setdefault("protocol", "TCP")
    for kind in ("readinessProbe", "livenessProbe", "startupProbe"):
        if probe := container.get(kind):
            _probe(probe)


def _probe(probe: Object) -> None:
    times = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    for name, value in times.items():
        probe.setdefault(name, value)
    if "httpGet" in probe:
        probe["httpGet"] = {"path": "/", "scheme": "HTTP", **probe["httpGet"]}


def _quality(containers: list[Object]) -> str:
    wanted = [container["resources"] for container in containers]
    if not any(wanted):
        return "BestEffort"
    is_guaranteed = all(
        w.get("limits", {}).keys() >= {"cpu", "memory"}
        and w.get("requests", w["limits"]) == w["limits"]
        for w in wanted
    )
    return "Guaranteed" if is_guaranteed else "Burstable"


def _service(service: Object) -> None:
    number = next(_numbers)
    address = f"10.96.{number // 250 % 250}.{number % 250 + 1}"
    defaults: Object = {
        "type": "ClusterIP",
        "clusterIP": address,
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    spec = service["spec"] = {**defaults, **service["spec"]}
    spec["clusterIPs"] = [spec["clusterIP"]]
    if spec["type"] == "NodePort":
        spec.setdefault("externalTrafficPolicy", "Cluster")
    for port in spec.get("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    service["status"] = {"loadBalancer": {}}


def _secret(secret: Object) -> None:
    secret.setdefault("type", "Opaque")
    plain: dict[str, str] = secret.pop("stringData", {})
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in plain.items()}
    secret["data"] = {**secret.get("data", {}), **encoded}


def _quota(quota: Object) -> None:
    quota["status"] = {}


_FILLERS: dict[str, Callable[[Any], None]] = {
    PODS.plural: _pod,
    SERVICES.plural: _service,
    SECRETS.plural: _secret,
    QUOTAS.plural: _quota,
}
