"""Reads from a sandbox and its pod how far they are, or why they never will be. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.kubernetes.manifests import CONTAINER
from sessions.sandboxes.kubernetes.resources import Object, condition

PENDING: Final = "pod_pending"
RUNNING: Final = "pod_running"

NODE: Final = "a node"
START: Final = "its containers"
HARNESS: Final = "the harness"

PULLS: Final = frozenset({"ErrImagePull", "ImagePullBackOff"})
NEVER_PULLS: Final = frozenset({"InvalidImageName", "ErrImageNeverPull"})
NO_SUCH_IMAGE: Final = ("not found", "does not exist", "manifest unknown", "denied", "unauthorized")
"""Nothing but the registry's words says that an image will not be there next time either."""
START_ERRORS: Final = frozenset({"CreateContainerError", "RunContainerError", "CrashLoopBackOff"})
ENDED: Final = frozenset(
    {"PodFailed", "PodSucceeded", "SandboxExpired", "SandboxMissing", "ClaimExpired"}
)
"""Reasons of the Ready condition, of a Sandbox or of the claim that has it."""
NEVER_RAN: Final = frozenset({"StartError", "ContainerCannotRun"})
CONFIG_ERROR: Final = "CreateContainerConfigError"
OUT_OF_MEMORY: Final = "out of memory"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a sandbox stands: a phase, what it waits for, and why, in words for the user."""

    phase: str
    waits_for: str = ""
    detail: str = ""

    @property
    def is_ready(self) -> bool:
        return not self.waits_for


def judge(found: Object, pod: Object | None) -> Standing:
    """How far a Sandbox, or a claim on one, is. Raises SandboxError when it never will be ready."""
    ready = condition(found, "Ready")
    if pod is not None:
        _require_life(pod)
    _require_creation(ready)
    if ready.get("status") == "True":
        return Standing(RUNNING)
    if pod is None:
        return Standing(PENDING, START, ready.get("message", ""))
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "True":
        return Standing(PENDING, NODE, scheduled.get("message", ""))
    container = _container(pod)
    if "running" in container.get("state", {}) or pod["status"].get("phase") == "Running":
        return Standing(RUNNING, HARNESS)
    waiting = container.get("state", {}).get("waiting", {})
    if waiting.get("reason") == CONFIG_ERROR:  # its Secret is being written just now
        return Standing(PENDING, START)
    return Standing(PENDING, START, waiting.get("message") or waiting.get("reason", ""))


def has_ended(found: Object) -> bool:
    """Whether the controller says that the sandbox, or its pod, has ended."""
    return condition(found, "Ready").get("reason") in ENDED


def death_of(pod: Object) -> SandboxError | None:
    """Why the pod has ended or is ending; None while it lives."""
    status = pod.get("status") or {}
    terminated = _container(pod).get("state", {}).get("terminated")
    if status.get("reason") == "Evicted":
        message = f"the node evicted the sandbox: {status.get('message', '')}"
        return SandboxError(message, kind="evicted")
    if terminated:
        return _death_of_container(pod, terminated)
    if status.get("phase") in ("Failed", "Succeeded"):
        said = status.get("message") or status.get("reason") or status["phase"].lower()
        return SandboxError(f"the sandbox ended: {said}", kind="sandbox_exited")
    return None


def _death_of_container(pod: Object, terminated: Object) -> SandboxError:
    if terminated.get("reason") == "OOMKilled":
        limit = _limits(pod).get("memory", "unknown")
        message = f"{OUT_OF_MEMORY}: the sandbox used more than its limit of {limit}"
        return SandboxError(message, kind="out_of_memory")
    said = terminated.get("message") or terminated.get("reason", "")
    if terminated.get("reason") in NEVER_RAN:
        message = f"the sandbox's container does not start: {said}"
        return SandboxError(message, kind="sandbox_start_failed")
    message = f"the sandbox's program ended with exit code {terminated.get('exitCode')}"
    return SandboxError(f"{message} ({said})" if said else message, kind="sandbox_exited")


def _require_life(pod: Object) -> None:
    """Raises SandboxError when the pod is dead or its container cannot be started."""
    if death := death_of(pod):
        raise death
    waiting = _container(pod).get("state", {}).get("waiting", {})
    reason, said = waiting.get("reason", ""), waiting.get("message", "")
    if reason in NEVER_PULLS or reason in PULLS:
        _require_image(reason, said, _container_spec(pod).get("image", ""))
    if reason in START_ERRORS:
        message = f"the sandbox's container does not start: {said or reason}"
        raise SandboxError(message, kind="sandbox_start_failed")
    if reason == CONFIG_ERROR and "secret" not in said.lower():
        message = f"the sandbox's container is configured wrongly: {said}"
        raise SandboxError(message, kind="sandbox_start_failed", permanent=True)


def _require_image(reason: str, said: str, image: str) -> None:
    """The kubelet tries a failed pull again by itself once; after that it backs off."""
    is_final = reason in NEVER_PULLS or any(words in said.lower() for words in NO_SUCH_IMAGE)
    if is_final or reason == "ImagePullBackOff":
        message = f'the image "{image}" cannot be pulled: {said or reason}'
        raise SandboxError(message, kind="image_pull", permanent=is_final)


def _require_creation(ready: dict[str, str]) -> None:
    """The controller tells in the Ready condition when it may not make the pod."""
    said = ready.get("message", "")
    if ready.get("reason") == "ReconcilerError" and "quota" in said:
        message = f"the namespace's quota has no room for the sandbox: {said}"
        raise SandboxError(message, kind="quota", permanent="unknown" not in said)
    if ready.get("reason") == "ReconcilerError" and "is forbidden" in said:
        message = f"the cluster's policies refuse the sandbox's pod: {said}"
        raise SandboxError(message, kind="invalid_spec", permanent=True)
    if ready.get("reason") in ENDED:
        raise SandboxError(f"the sandbox ended: {said}", kind="sandbox_exited")


def _container(pod: Object) -> Object:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((s for s in statuses if s.get("name") == CONTAINER), {})


def _container_spec(pod: Object) -> Object:
    return next((c for c in pod["spec"]["containers"] if c["name"] == CONTAINER), {})


def _limits(pod: Object) -> dict[str, str]:
    limits: dict[str, str] = (_container_spec(pod).get("resources") or {}).get("limits") or {}
    return limits
