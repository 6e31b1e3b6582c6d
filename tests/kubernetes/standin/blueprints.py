"""Sandboxes made from a SandboxTemplate: for a pool, for a claim, and from one to the other."""

from __future__ import annotations

import copy
import json

from tests.kubernetes.standin.controller import CREATED_BY, SYSTEM, controller_reference
from tests.kubernetes.standin.names import name_hash
from tests.kubernetes.standin.selectors import labels_of
from tests.kubernetes.standin.statuses import Object

POOL_LABEL = f"{SYSTEM}warm-pool-sandbox"
TEMPLATE_REF_HASH = f"{SYSTEM}sandbox-template-ref-hash"
TEMPLATE_HASH = f"{SYSTEM}sandbox-template-hash"
POD_TEMPLATE_HASH = f"{SYSTEM}sandbox-pod-template-hash"
TEMPLATE_REF = f"{SYSTEM}sandbox-template-ref"
CLAIM_UID = f"{SYSTEM}claim-uid"
LAUNCH_TYPE = f"{SYSTEM}launch-type"
EVICTABLE = "cluster-autoscaler.kubernetes.io/safe-to-evict"


def for_pool(pool: Object, template: Object) -> Object:
    """A new member that nobody has claimed."""
    hashes = {
        **_template_label(template),
        TEMPLATE_HASH: _content_hash(template["spec"]),
        POD_TEMPLATE_HASH: _content_hash(template["spec"]["podTemplate"]),
        POOL_LABEL: name_hash(pool["metadata"]["name"]),
    }
    metadata = {
        "generateName": f"{pool['metadata']['name']}-",
        "labels": {**hashes, CREATED_BY: "controller", LAUNCH_TYPE: "warm"},
        "annotations": {TEMPLATE_REF: template["metadata"]["name"]},
        "ownerReferences": [controller_reference(pool)],
    }
    return _sandbox(metadata, template, hashes, {EVICTABLE: "true"})


def for_claim(claim: Object, template: Object) -> Object:
    """A new sandbox of a claim that found no member to take over."""
    identity = {CLAIM_UID: claim["metadata"]["uid"], **_template_label(template)}
    extra = claim["spec"].get("additionalPodMetadata", {})
    metadata = {
        "name": claim["metadata"]["name"],
        "labels": {**identity, LAUNCH_TYPE: "cold"},
        "annotations": {TEMPLATE_REF: template["metadata"]["name"]},
        "ownerReferences": [controller_reference(claim)],
    }
    labels = {**identity, **extra.get("labels", {})}
    sandbox = _sandbox(metadata, template, labels, extra.get("annotations", {}))
    env = [{"name": v["name"], "value": v["value"]} for v in claim["spec"].get("env", [])]
    if env:
        container = sandbox["spec"]["podTemplate"]["spec"]["containers"][0]
        container["env"] = [*container.get("env", []), *env]
    return sandbox


def adopted(member: Object, claim: Object, template: Object) -> Object:
    """The member as the claim's own."""
    made = for_claim(claim, template)
    labels = {**made["metadata"]["labels"], LAUNCH_TYPE: "warm"}
    owners = made["metadata"]["ownerReferences"]
    pod_template = {**member["spec"]["podTemplate"]}
    pod_template["metadata"] = made["spec"]["podTemplate"]["metadata"]
    return {
        **member,
        "metadata": {**member["metadata"], "labels": labels, "ownerReferences": owners},
        "spec": {**member["spec"], "podTemplate": pod_template},
    }


def _sandbox(
    metadata: Object, template: Object, labels: dict[str, str], annotations: dict[str, str]
) -> Object:
    blueprint = ("podTemplate", "service", "volumeClaimTemplates")
    spec = {n: v for n, v in copy.deepcopy(template["spec"]).items() if n in blueprint}
    pod_template = spec["podTemplate"]
    own = pod_template.get("metadata", {})
    pod_metadata = {
        "labels": {**(own.get("labels") or {}), **labels},
        "annotations": {**(own.get("annotations") or {}), **annotations},
    }
    pod_template["metadata"] = {name: found for name, found in pod_metadata.items() if found}
    pod_template["spec"].setdefault("automountServiceAccountToken", False)
    for container in pod_template["spec"]["containers"]:
        container.setdefault("resources", {})
    api_version = "agents.x-k8s.io/v1beta1"
    return {"apiVersion": api_version, "kind": "Sandbox", "metadata": metadata, "spec": spec}


def _template_label(template: Object) -> dict[str, str]:
    return {TEMPLATE_REF_HASH: name_hash(template["metadata"]["name"])}


def _content_hash(value: Object) -> str:
    return name_hash(json.dumps(value, sort_keys=True))


def pool_hash_of(sandbox: Object) -> str | None:
    """The label of the pool whose unclaimed member it is."""
    return labels_of(sandbox).get(POOL_LABEL)
