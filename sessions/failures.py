"""What it means when a session ends early, and what to do about it."""

from __future__ import annotations

from typing import Final

ADVICE: Final = {
    "agent_deleted": "Its agent was deleted, and its sessions were ended with it.",
    "api_down": (
        "The cluster's API server did not answer for too long. LAP retries by itself up to"
        " K8S_API_RETRY_SECONDS; when the cluster is back, a restart begins the session again."
    ),
    "bringup_timeout": (
        "The sandbox took too long to come up. Look at the worker's log; a restart tries again."
    ),
    "crds_missing": (
        "The cluster lacks what sandboxes are made of. The operator installs the agent-sandbox"
        " controller with its extensions (v1beta1); then restart the session."
    ),
    "evicted": (
        "Its node ran short of memory or disk and threw the sandbox out. A restart uses whichever"
        " node has room; the operator may raise K8S_MEMORY_REQUEST so that more is set aside."
    ),
    "forbidden": (
        "The worker's service account lacks a right. The operator applies the Role of"
        " deploy/kubernetes in the namespace of K8S_NAMESPACE; then restart the session."
    ),
    "harness": (
        "The program in the sandbox answered with an error, or not at all. The worker's log has"
        " the details."
    ),
    "harness_lost": (
        "The program in the sandbox was started anew and has forgotten the conversation. A restart"
        " tells it what was said."
    ),
    "harness_not_installed": (
        "Choose a harness in the agent's settings that this backend has: shell works everywhere;"
        " others need an image that carries them (the agent's harness image, or"
        " K8S_HARNESS_IMAGE)."
    ),
    "host_lost": (
        "The machine that its sandbox ran on has not been seen for a while. A restart uses"
        " another one."
    ),
    "idle": "Nobody used the conversation for a while. A restart takes it up again.",
    "image_pull": (
        "Check the image's name and tag in the agent's settings (without one: K8S_HARNESS_IMAGE)."
        " A private registry needs the name of a pull secret in K8S_IMAGE_PULL_SECRETS."
    ),
    "internal": "This is an error in LAP itself. The worker's log has the details.",
    "invalid_spec": (
        "The cluster refuses the sandbox as it is described. Look at the agent's image, port and"
        " variables; what holds for all agents is in the K8S_ settings (manage.py check)."
    ),
    "namespace_missing": (
        "The operator creates the namespace that K8S_NAMESPACE names, or corrects the setting;"
        " then restart the session."
    ),
    "network_setup": (
        "The node could not connect the sandbox to the network. The operator looks at the node"
        " and its network plugin; a restart may get another node."
    ),
    "out_of_memory": (
        "It used more memory than a sandbox may. Make the task smaller, or have the operator"
        " raise K8S_MEMORY_LIMIT."
    ),
    "platform_stopped": "A restart begins it again.",
    "prompt": (
        "The agent was asked and answered with an error; for a script that is any exit status but"
        " 0. The thread shows how far it came."
    ),
    "quota": (
        "The namespace holds as much as its quota allows. Stop sessions that nobody needs, or"
        " have the operator raise the ResourceQuota or lower K8S_CPU_REQUEST, K8S_MEMORY_REQUEST"
        " or K8S_WARM_POOL_SIZE."
    ),
    "sandbox_busy": "Something else was changing its sandbox. A restart tries again.",
    "sandbox_exited": (
        "The program in the sandbox ended by itself. The reason shows what it said last; check"
        " the agent's repository, requirements and image."
    ),
    "sandbox_lost": (
        "Its sandbox ended before it did: it ran out of memory, was killed, or its machine was"
        " restarted. LAP does not repeat a prompt by itself; a restart does."
    ),
    "sandbox_start_failed": "The sandbox did not start. The worker's log has the details.",
    "start_timeout": (
        "The sandbox's containers were not up in time: the image may be large or the node busy. A"
        " restart tries again; the operator may raise K8S_START_TIMEOUT_SECONDS."
    ),
    "timeout": (
        "It took longer than it may. Make the task smaller, or raise the time limit of runs in"
        " the agent's schedule."
    ),
    "tls": (
        "LAP does not trust the API server's certificate. The operator sets K8S_CA_FILE to the"
        " cluster's authority, or corrects the kubeconfig of K8S_KUBECONFIG."
    ),
    "unauthorized": (
        "The API server does not know LAP's credentials. The operator renews the service"
        " account's token, K8S_TOKEN_FILE or the kubeconfig of K8S_KUBECONFIG."
    ),
    "uncertain_prompt": (
        "The connection broke while the prompt was sent, and this harness cannot say whether it"
        " arrived. LAP does not send it twice; a restart does."
    ),
    "unschedulable": (
        "No node has room for the sandbox, or none may take it; the reason names the constraint."
        " Try later, or have the operator add nodes or lower K8S_CPU_REQUEST and"
        " K8S_MEMORY_REQUEST."
    ),
    "volume_setup": (
        "The node could not give the sandbox its files. The operator looks at the sandbox's"
        " Secret and at the node's storage; a restart may get another node."
    ),
}
"""By ``failure_kind``. Kinds that explain themselves are not here."""

AS_ASKED: Final = frozenset({"agent_deleted", "idle", "platform_stopped", "stopped"})
"""Kinds of an end that somebody asked for."""


def advice(kind: str) -> str:
    """A sentence or two; empty where the reason says it all."""
    return ADVICE.get(kind, "")
