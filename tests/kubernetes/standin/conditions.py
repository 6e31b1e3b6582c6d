"""The conditions that the controller writes into a Sandbox."""

from __future__ import annotations

from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import timestamp

ENDS = {
    "Succeeded": ("PodSucceeded", "Pod completed successfully"),
    "Failed": ("PodFailed", "Pod failed"),
}
EXPIRED = ("Ready", "False", "SandboxExpired", "Sandbox has expired")

Condition = tuple[str, str, str, str]
"""Type, status, reason, message."""


def compute(
    sandbox: Object, pod: Object | None, service: Object | None, error: str
) -> list[Object]:
    """All of them; those that do not apply any more are left out."""
    found = [_suspended(sandbox, pod)]
    if pod and pod["status"]["phase"] in ENDS:
        found.append(("Finished", "True", *ENDS[pod["status"]["phase"]]))
    if error:
        told = "Pod state is unknown. Pod scheduling cannot be determined"
        found.append(("PodScheduled", "Unknown", "PodSchedulingUnknown", told))
    elif pod:
        found.append(_scheduled(pod))
    found.append(_ready(sandbox, pod, service, error))
    return updated(sandbox, found, {"Finished", "PodScheduled"})


def updated(sandbox: Object, found: list[Condition], passing: set[str]) -> list[Object]:
    """In the order they first appeared; the time moves when the status does."""
    wanted = {condition[0]: condition for condition in found}
    before = sandbox.get("status", {}).get("conditions", [])
    result = []
    for old in before:
        new = wanted.pop(old["type"], None)
        if new:
            result.append(_written(sandbox, new, old))
        elif old["type"] not in passing:
            result.append(old)
    return result + [_written(sandbox, new, None) for new in wanted.values()]


def find(obj: Object, kind: str) -> Object | None:
    """The condition of that type in a status."""
    conditions = obj.get("status", {}).get("conditions") or []
    return next((found for found in conditions if found["type"] == kind), None)


def is_true(obj: Object, kind: str) -> bool:
    return (find(obj, kind) or {}).get("status") == "True"


def _written(sandbox: Object, new: Condition, old: Object | None) -> Object:
    kind, status, reason, message = new
    is_same = old and old["status"] == status
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": sandbox["metadata"]["generation"],
        "lastTransitionTime": old["lastTransitionTime"] if old and is_same else timestamp(),
    }


def _suspended(sandbox: Object, pod: Object | None) -> Condition:
    if not is_suspended(sandbox):
        return "Suspended", "False", "NotSuspended", "Sandbox is not suspended"
    if pod:
        return "Suspended", "False", "PodTerminating", "Pod is terminating. Sandbox is suspending"
    told = "Pod has been terminated. Sandbox is suspended"
    return "Suspended", "True", "PodTerminated", told


def is_suspended(sandbox: Object) -> bool:
    return bool(sandbox["spec"]["operatingMode"] == "Suspended")


def _scheduled(pod: Object) -> Condition:
    found = find(pod, "PodScheduled")
    if not found:
        told = "Pod has not reported a PodScheduled condition yet"
        return "PodScheduled", "Unknown", "PodSchedulingUnknown", told
    unnamed = "PodScheduled" if found["status"] == "True" else "PodSchedulingUnknown"
    reason = found.get("reason") or unnamed
    return "PodScheduled", found["status"], reason, found.get("message") or ""


def _ready(sandbox: Object, pod: Object | None, service: Object | None, error: str) -> Condition:
    if error:
        return "Ready", "False", "ReconcilerError", f"Error seen: {error}"
    if is_suspended(sandbox):
        told = "Sandbox is suspending" if pod else "Sandbox is suspended"
        return "Ready", "False", "SandboxSuspended", told
    if pod and pod["status"]["phase"] in ENDS:
        return ("Ready", "False", *ENDS[pod["status"]["phase"]])
    told, is_ready = _pod_state(pod)
    if sandbox["spec"].get("service"):
        told += "; Service Exists" if service else "; Service does not exist"
        is_ready = is_ready and bool(service)
    if is_ready:
        return "Ready", "True", "DependenciesReady", told
    return "Ready", "False", "DependenciesNotReady", told


def _pod_state(pod: Object | None) -> tuple[str, bool]:
    if not pod:
        return "Pod does not exist", False
    phase = pod["status"]["phase"]
    if phase != "Running":
        return f"Pod exists with phase: {phase}", False
    if not is_true(pod, "Ready"):
        return "Pod is Running but not Ready", False
    if not pod["status"].get("podIPs"):
        return "Pod is Ready but has no podIPs yet", False
    return "Pod is Ready", True
