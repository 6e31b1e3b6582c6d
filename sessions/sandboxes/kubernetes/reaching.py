"""Where a ready sandbox's harness can be reached."""

from __future__ import annotations

from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.kubernetes import manifests
from sessions.sandboxes.kubernetes.cluster import Cluster
from sessions.sandboxes.kubernetes.resources import PODS, SERVICES, Object, name_of


async def address(cluster: Cluster, sandbox: Object, name: str) -> str:
    """The harness's URL: the Sandbox's Service, or a port of its node outside the cluster.

    ``name`` is the session's, which is not that of a warm sandbox. Raises SandboxError.
    """
    try:
        port = _port(sandbox)
        if cluster.is_inside:
            return f"http://{sandbox['status']['serviceFQDN']}:{port}"
        wanted = manifests.node_service(sandbox, name, port)
        service = await cluster.ensure_owned(SERVICES, wanted)
        node_port = service["spec"]["ports"][0]["nodePort"]
        return f"http://{await _node_of(cluster, name_of(sandbox))}:{node_port}"
    except (KeyError, IndexError) as error:
        message = f"the cluster does not say how the sandbox is reached: no {error}"
        raise SandboxError(message, kind="sandbox_lost") from error


async def _node_of(cluster: Cluster, name: str) -> str:
    """The address of the pod's node. The watch of pods may lag behind that of sandboxes."""
    pod = cluster.pods.get(name)
    if pod is None or "hostIP" not in pod["status"]:
        pod = await cluster.peek(PODS, name)
    if pod is None:
        raise SandboxError("the sandbox's pod has gone", kind="sandbox_lost")
    host = str(pod["status"]["hostIP"])
    return f"[{host}]" if ":" in host else host


def _port(sandbox: Object) -> int:
    containers = sandbox["spec"]["podTemplate"]["spec"]["containers"]
    container = next(c for c in containers if c["name"] == manifests.CONTAINER)
    return int(container["ports"][0]["containerPort"])
