"""What a sandbox and its pod tell: phases, and reasons why they never will be ready."""

from __future__ import annotations

from typing import Any

import pytest

from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.kubernetes.judging import Standing, death_of, judge
from sessions.sandboxes.kubernetes.resources import Object

IMAGE = "example/harness:1"


def conditions(*told: tuple[str, str, str, str]) -> list[dict[str, str]]:
    return [
        {"type": kind, "status": status, "reason": reason, "message": message}
        for kind, status, reason, message in told
    ]


def sandbox(
    reason: str = "DependenciesNotReady", message: str = "", status: str = "False"
) -> Object:
    told = conditions(("Ready", status, reason, message))
    return {"metadata": {"name": "s-1"}, "status": {"conditions": told}}


def pod(
    phase: str = "Pending",
    state: dict[str, Any] | None = None,
    scheduled: str = "True",
    **status: Any,
) -> Object:
    statuses = [
        {"name": "proxy", "state": {"terminated": {"exitCode": 9}}},
        {"name": "harness", "state": state or {}},
    ]
    limits = {"memory": "4Gi"}
    return {
        "metadata": {"name": "s-1"},
        "spec": {
            "containers": [
                {"name": "proxy", "image": "example/proxy:1"},
                {"name": "harness", "image": IMAGE, "resources": {"limits": limits}},
            ]
        },
        "status": {
            "phase": phase,
            "conditions": conditions(("PodScheduled", scheduled, "", status.pop("why", ""))),
            "containerStatuses": statuses,
            **status,
        },
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


STANDINGS = [
    ("nothing is known yet", {"metadata": {}}, None, Standing("pod_pending", "its containers")),
    (
        "no node yet",
        sandbox(),
        pod(scheduled="False", why="0/1 nodes are available: 1 Insufficient cpu."),
        Standing("pod_pending", "a node", "0/1 nodes are available: 1 Insufficient cpu."),
    ),
    (
        "containers are made",
        sandbox(),
        pod(state=waiting("ContainerCreating")),
        Standing("pod_pending", "its containers", "ContainerCreating"),
    ),
    (
        "a first pull failed",
        sandbox(),
        pod(state=waiting("ErrImagePull", "i/o timeout")),
        Standing("pod_pending", "its containers", "i/o timeout"),
    ),
    (
        "the secret comes later",
        sandbox(),
        pod(state=waiting("CreateContainerConfigError", 'secret "s-1" not found')),
        Standing("pod_pending", "its containers"),
    ),
    ("running", sandbox(), pod("Running", {"running": {}}), Standing("pod_running", "the harness")),
    (
        "ready",
        sandbox("DependenciesReady", status="True"),
        pod("Running", {"running": {}}),
        Standing("pod_running"),
    ),
]


@pytest.mark.parametrize(("what", "box", "its_pod", "standing"), STANDINGS)
def test_where_it_stands(
    what: str, box: Object, its_pod: Object | None, standing: Standing
) -> None:
    assert judge(box, its_pod) == standing
    assert standing.is_ready == (what == "ready")


ERRORS: list[tuple[Object, Object | None, str, bool, str]] = [
    (
        sandbox(),
        pod(state=waiting("ImagePullBackOff", f'Back-off pulling "{IMAGE}": not found')),
        "image_pull",
        True,
        f'the image "{IMAGE}" cannot be pulled',
    ),
    (
        sandbox(),
        pod(state=waiting("ErrImagePull", "pull access denied")),
        "image_pull",
        True,
        "pull access denied",
    ),
    (
        sandbox(),
        pod(state=waiting("ImagePullBackOff", "Back-off")),
        "image_pull",
        False,
        "Back-off",
    ),
    (sandbox(), pod(state=waiting("InvalidImageName")), "image_pull", True, "InvalidImageName"),
    (
        sandbox(),
        pod(state=waiting("CreateContainerError", "no such file")),
        "sandbox_start_failed",
        False,
        "no such file",
    ),
    (
        sandbox(),
        pod(state=waiting("CreateContainerConfigError", "image will run as root")),
        "sandbox_start_failed",
        True,
        "image will run as root",
    ),
    (
        sandbox(),
        pod("Failed", {"terminated": {"reason": "OOMKilled", "exitCode": 137}}),
        "out_of_memory",
        False,
        "out of memory: .* limit of 4Gi",
    ),
    (
        sandbox("PodFailed", "Pod failed"),
        pod("Failed", reason="Evicted", message="The node was low on resource: memory."),
        "evicted",
        False,
        "The node was low on resource: memory",
    ),
    (
        sandbox(),
        pod("Failed", {"terminated": {"reason": "Error", "exitCode": 3}}),
        "sandbox_exited",
        False,
        "exit code 3",
    ),
    (sandbox("PodSucceeded", "Pod succeeded"), None, "sandbox_exited", False, "Pod succeeded"),
    (sandbox("SandboxExpired", "expired"), None, "sandbox_exited", False, "expired"),
    (
        sandbox("ReconcilerError", 'pods "s-1" is forbidden: exceeded quota: q, requested: pods=1'),
        None,
        "quota",
        True,
        "exceeded quota: q",
    ),
    (
        sandbox("ReconcilerError", 'pods "s-1" is forbidden: violates PodSecurity "restricted"'),
        None,
        "invalid_spec",
        True,
        "policies refuse the sandbox's pod: .*PodSecurity",
    ),
    (
        sandbox("ReconcilerError", 'pods "s-1" is forbidden: status unknown for quota: q'),
        None,
        "quota",
        False,
        "status unknown for quota",
    ),
]


@pytest.mark.parametrize(("box", "its_pod", "kind", "permanent", "words"), ERRORS)
def test_why_it_never_will_be_ready(
    box: Object, its_pod: Object | None, kind: str, permanent: bool, words: str
) -> None:
    with pytest.raises(SandboxError, match=words) as caught:
        judge(box, its_pod)
    assert (caught.value.kind, caught.value.permanent) == (kind, permanent)


def test_a_neighbour_that_ended_is_not_the_death_of_the_harness() -> None:
    assert death_of(pod("Running", {"running": {}})) is None
