"""The agent-sandbox controller: a pod and a Service for every Sandbox, and its status."""

from __future__ import annotations

import copy

from tests.kubernetes.standin import conditions
from tests.kubernetes.standin.api import Api
from tests.kubernetes.standin.names import name_hash
from tests.kubernetes.standin.resources import PODS, SANDBOXES, SERVICES, Key
from tests.kubernetes.standin.selectors import labels_of
from tests.kubernetes.standin.statuses import ApiError, Object
from tests.kubernetes.standin.store import Change, owners_of
from tests.kubernetes.standin.work import WorkQueue, is_over

NAME_HASH = "agents.x-k8s.io/sandbox-name-hash"
POD_NAME = "agents.x-k8s.io/pod-name"
PROPAGATED_LABELS = "agents.x-k8s.io/propagated-labels"
PROPAGATED_ANNOTATIONS = "agents.x-k8s.io/propagated-annotations"
SYSTEM = "agents.x-k8s.io/"
CREATED_BY = f"{SYSTEM}created-by"
SYSTEM_LABELS_OF_PODS = {f"{SYSTEM}sandbox-template-ref-hash", f"{SYSTEM}warm-pool-sandbox"}


class SandboxController:
    """Level-triggered: every change of a Sandbox, its pod or its Service makes it look again."""

    def __init__(self, api: Api) -> None:
        self.queue = WorkQueue(self._reconcile)
        self._api = api
        self._store = api.store
        self._store.listeners.append(self._notice)

    def _notice(self, change: Change) -> None:
        if change.resource is SANDBOXES and change.after:
            self.queue.add(change.key)
        if change.resource in (PODS, SERVICES):
            for owner in owners_of(change.after or change.before):
                if owner["kind"] == SANDBOXES.kind:
                    self.queue.add(SANDBOXES.key(change.key.namespace, owner["name"]))

    def _reconcile(self, key: Key) -> None:
        sandbox = self._store.at(key)
        if not sandbox or "deletionTimestamp" in sandbox["metadata"]:
            return
        shutdown_time = sandbox["spec"].get("shutdownTime")
        if is_over(shutdown_time):
            self._expire(sandbox)
            return
        if shutdown_time:
            self.queue.add_at(key, shutdown_time)
        self._run(sandbox)

    def _run(self, sandbox: Object) -> None:
        error: ApiError | None = None
        try:
            pod = self._pod(sandbox)
        except ApiError as refusal:
            pod, error = None, refusal
        sandbox = self._annotated(sandbox, pod)
        service = self._service(sandbox)
        status = _status(sandbox, pod, service, str(error) if error else "")
        self._api.set_status(SANDBOXES, sandbox, status)
        if error:
            raise error

    def _pod(self, sandbox: Object) -> Object | None:
        """Its pod, as it should be; None while it is suspended or another one has the name."""
        namespace, name = sandbox["metadata"]["namespace"], sandbox["metadata"]["name"]
        pod = self._store.find(PODS, namespace, name)
        if conditions.is_suspended(sandbox):
            if pod and "deletionTimestamp" not in pod["metadata"]:
                self._api.delete(PODS, namespace, name, {})
            return self._store.find(PODS, namespace, name)
        if not pod:
            return self._api.create(PODS, namespace, _new_pod(sandbox))
        return self._relabelled(sandbox, pod)

    def _relabelled(self, sandbox: Object, pod: Object) -> Object:
        fresh = _new_pod(sandbox)["metadata"]
        kept = pod["metadata"].get("annotations", {})
        annotations = fresh["annotations"]
        if PROPAGATED_ANNOTATIONS in kept:
            annotations.setdefault(PROPAGATED_ANNOTATIONS, "")
        return self._api.set_metadata(PODS, pod, labels=fresh["labels"], annotations=annotations)

    def _annotated(self, sandbox: Object, pod: Object | None) -> Object:
        annotations = dict(sandbox["metadata"].get("annotations", {}))
        annotations.pop(POD_NAME, None)
        if pod:
            annotations[POD_NAME] = pod["metadata"]["name"]
        return self._api.set_metadata(SANDBOXES, sandbox, annotations=annotations or None)

    def _service(self, sandbox: Object) -> Object | None:
        namespace, name = sandbox["metadata"]["namespace"], sandbox["metadata"]["name"]
        found = self._store.find(SERVICES, namespace, name)
        if found or not sandbox["spec"].get("service"):
            return found
        return self._api.create(SERVICES, namespace, _new_service(sandbox))

    def _expire(self, sandbox: Object) -> None:
        namespace, name = sandbox["metadata"]["namespace"], sandbox["metadata"]["name"]
        if sandbox["spec"]["shutdownPolicy"] == "Delete":
            self._api.delete(SANDBOXES, namespace, name, {})
            return
        for resource in (PODS, SERVICES):
            found = self._store.find(resource, namespace, name)
            if found and "deletionTimestamp" not in found["metadata"]:
                self._api.delete(resource, namespace, name, {})
        told = conditions.updated(sandbox, [conditions.EXPIRED], {"PodScheduled"})
        self._api.set_status(SANDBOXES, sandbox, {"conditions": told})


def controller_reference(owner: Object) -> Object:
    """The ownerReference of what a controller makes."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _new_pod(sandbox: Object) -> Object:
    template = sandbox["spec"]["podTemplate"]
    wanted = template.get("metadata", {})
    labels = wanted.get("labels") or {}
    annotations = dict(wanted.get("annotations") or {})
    own = {name: value for name, value in labels.items() if not name.startswith(SYSTEM)}
    system = {name: labels[name] for name in labels if name in SYSTEM_LABELS_OF_PODS}
    if maker := labels_of(sandbox).get(CREATED_BY):
        system[CREATED_BY] = maker
    if annotations:
        annotations[PROPAGATED_ANNOTATIONS] = ",".join(sorted(annotations))
    if own:
        annotations[PROPAGATED_LABELS] = ",".join(sorted(own))
    metadata = {
        "name": sandbox["metadata"]["name"],
        "labels": {**own, **system, NAME_HASH: name_hash(sandbox["metadata"]["name"])},
        "annotations": annotations,
        "ownerReferences": [controller_reference(sandbox)],
    }
    return {"metadata": metadata, "spec": copy.deepcopy(template["spec"])}


def _new_service(sandbox: Object) -> Object:
    name = sandbox["metadata"]["name"]
    tracking = {NAME_HASH: name_hash(name)}
    containers = sandbox["spec"]["podTemplate"]["spec"]["containers"]
    ports = [port for container in containers for port in container.get("ports", [])]
    metadata = {
        "name": name,
        "labels": tracking,
        "ownerReferences": [controller_reference(sandbox)],
    }
    spec = {"selector": tracking, "clusterIP": "None", "ports": [_port(port) for port in ports]}
    return {"metadata": metadata, "spec": {n: v for n, v in spec.items() if v}}


def _port(port: Object) -> Object:
    number, protocol = port["containerPort"], port["protocol"]
    name = port.get("name") or f"p-{number}-{protocol.lower()}"
    return {"name": name, "protocol": protocol, "port": number, "targetPort": number}


def _status(sandbox: Object, pod: Object | None, service: Object | None, error: str) -> Object:
    status = dict(sandbox.get("status", {}))
    for name in ("podIPs", "nodeName"):
        status.pop(name, None)
    if pod:
        status["selector"] = f"{NAME_HASH}={name_hash(sandbox['metadata']['name'])}"
        if ips := pod["status"].get("podIPs"):
            status["podIPs"] = [ip["ip"] for ip in ips]
        if node := pod["spec"].get("nodeName"):
            status["nodeName"] = node
    if service:
        name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
        status |= {"service": name, "serviceFQDN": f"{name}.{namespace}.svc.cluster.local"}
    status["conditions"] = conditions.compute(sandbox, pod, service, error)
    return status
