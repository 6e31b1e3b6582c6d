"""Real workers with the Kubernetes backend, for tests that need the whole platform."""

from __future__ import annotations

from pathlib import Path

from tests.kubernetes.backends import IMAGE, WORKER
from tests.kubernetes.role import worker_rules
from tests.kubernetes.standin import StandIn

LEFT = ("sandboxes", "sandboxclaims", "pods", "secrets", "services")
"""The kinds of objects that a session makes."""


def environment(cluster: StandIn, folder: Path, **changed: str) -> dict[str, str]:
    """What a worker process needs to use the cluster, with the rights of the deployed one."""
    cluster.token(WORKER, worker_rules())
    return {
        "LAP_SANDBOX_BACKEND": "kubernetes",
        "K8S_KUBECONFIG": str(cluster.kubeconfig(folder / "kubeconfig", WORKER)),
        "K8S_NAMESPACE": cluster.namespace,
        "K8S_EXPOSE": "nodeport",
        "K8S_HARNESS_IMAGE": IMAGE,
        "K8S_WARM_POOL_SIZE": "0",
        "LAP_RECONCILE_SECONDS": "0.5",
        "LAP_RECONCILE_GRACE_SECONDS": "2",
        **changed,
    }


def left(cluster: StandIn) -> dict[str, list[str]]:
    """The names of what sessions have made, by kind; kinds without any are left out."""
    found = {kind: [one["metadata"]["name"] for one in cluster.objects(kind)] for kind in LEFT}
    return {kind: names for kind, names in found.items() if names}
