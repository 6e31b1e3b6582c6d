"""The objects that the backend writes. Pure: options and specs in, dictionaries out."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sessions.sandboxes.base import Configuration, SandboxSpec
from sessions.sandboxes.kubernetes.options import Options
from sessions.sandboxes.kubernetes.resources import (
    CLAIMS,
    POOLS,
    SANDBOXES,
    SECRETS,
    SERVICES,
    TEMPLATES,
    Object,
    Resource,
    name_of,
    uid_of,
)

DOMAIN: Final = "lap.internal"
MANAGED_BY: Final = f"{DOMAIN}/managed-by"
INSTALL: Final = f"{DOMAIN}/install"
SESSION: Final = f"{DOMAIN}/session-id"
ATTEMPT: Final = f"{DOMAIN}/attempt"
AGENT: Final = f"{DOMAIN}/agent-id"
CONFIG_HASH: Final = f"{DOMAIN}/config-hash"
CLAIMED_BY: Final = "sandbox.users.io/session-id"
"""On the pod of a claim: the only domain that the controller's default policy lets through."""

CONTAINER: Final = "harness"
TOKEN: Final = "HARNESS_AUTH_TOKEN"  # noqa: S105 (the variable's name)
HASH_LENGTH: Final = 8
END_SECONDS: Final = 10


def selector(options: Options) -> str:
    """Selects what this installation made."""
    return f"{INSTALL}={options.install}"


def sandbox(spec: SandboxSpec, options: Options, shutdown_at: datetime) -> Object:
    """A sandbox of its own for one attempt of one session."""
    labels = _session_labels(spec, options)
    return _object(SANDBOXES, spec.name, labels) | {
        "spec": {
            "service": True,
            "operatingMode": "Running",
            "shutdownTime": stamp(shutdown_at),
            "shutdownPolicy": "Delete",
            "podTemplate": _pod(spec.configuration, options, labels, spec.name, spec.env),
        }
    }


def claim(spec: SandboxSpec, options: Options, shutdown_at: datetime) -> Object:
    """A claim on a sandbox that was started ahead for the spec's configuration."""
    labels = _session_labels(spec, options)
    return _object(CLAIMS, spec.name, labels) | {
        "spec": {
            "warmPoolRef": {"name": pool_name(spec.configuration, options)},
            "lifecycle": {"shutdownTime": stamp(shutdown_at), "shutdownPolicy": "Delete"},
            "additionalPodMetadata": {"labels": {CLAIMED_BY: str(spec.session_id)}},
        }
    }


def template(configuration: Configuration, options: Options) -> Object:
    """What the members of a pool are made from. Its deletion takes pool and secret along."""
    name = pool_name(configuration, options)
    labels = _pool_labels(configuration, options)
    return _object(TEMPLATES, name, labels) | {
        "spec": {
            "service": True,
            "networkPolicyManagement": "Unmanaged",
            "podTemplate": _pod(configuration, options, labels, name, configuration.env),
        }
    }


def pool(configuration: Configuration, options: Options, owner: Object) -> Object:
    name = pool_name(configuration, options)
    made = _object(POOLS, name, _pool_labels(configuration, options), _owned_by(owner, TEMPLATES))
    return made | {
        "spec": {"replicas": options.warm_pool_size, "sandboxTemplateRef": {"name": name}}
    }


def secret(owner: Object, resource: Resource, env: Mapping[str, str], token: str) -> Object:
    """The environment of the owner's pods."""
    made = _object(SECRETS, name_of(owner), owner["metadata"]["labels"], _owned_by(owner, resource))
    return made | {"type": "Opaque", "stringData": {**env, TOKEN: token}}


def node_service(owner: Object, name: str, port: int) -> Object:
    """An address of the owner's pods outside the cluster, on every node."""
    key, _, value = owner["status"]["selector"].partition("=")
    labels = owner["metadata"].get("labels") or {}
    return _object(SERVICES, f"{name}-node", labels, _owned_by(owner, SANDBOXES)) | {
        "spec": {
            "type": "NodePort",
            "selector": {key: value},
            "ports": [{"name": CONTAINER, "port": port, "targetPort": port, "protocol": "TCP"}],
        }
    }


def pool_name(configuration: Configuration, options: Options) -> str:
    """Names agent and configuration; another configuration has another pool."""
    return f"w-{configuration.agent_id}-{config_hash(configuration, options)}"


def config_hash(configuration: Configuration, options: Options) -> str:
    """A keyed hash of all that a pool is made from."""
    pod = _pod(configuration, options, {}, "", configuration.env)
    made_from = json.dumps([pod, dict(configuration.env), options.warm_pool_size], sort_keys=True)
    digest = hmac.new(options.hash_key.encode(), made_from.encode(), "sha256")
    return digest.hexdigest()[:HASH_LENGTH]


def pool_token(name: str, options: Options) -> str:
    """The harness token of a pool's members, which every worker derives alike."""
    return hmac.new(options.hash_key.encode(), f"token {name}".encode(), "sha256").hexdigest()


def port_of(configuration: Configuration, options: Options) -> int:
    return configuration.container_port or options.container_port


def stamp(moment: datetime) -> str:
    """An instant in UTC as the API server writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _object(
    resource: Resource, name: str, labels: Mapping[str, str], owner: Object | None = None
) -> Object:
    metadata: Object = {"name": name, "labels": dict(labels)}
    if owner:
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _owned_by(owner: Object, resource: Resource) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
    }


def _session_labels(spec: SandboxSpec, options: Options) -> dict[str, str]:
    own = {SESSION: str(spec.session_id), ATTEMPT: str(spec.attempt)}
    return _labels(spec.configuration, options) | own


def _pool_labels(configuration: Configuration, options: Options) -> dict[str, str]:
    own = {CONFIG_HASH: config_hash(configuration, options)}
    return _labels(configuration, options) | own


def _labels(configuration: Configuration, options: Options) -> dict[str, str]:
    return {
        MANAGED_BY: "lap",
        INSTALL: options.install,
        AGENT: str(configuration.agent_id),
    }


def _pod(
    configuration: Configuration,
    options: Options,
    labels: Mapping[str, str],
    secret_name: str,
    env: Mapping[str, str],
) -> Object:
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": END_SECONDS,
        "securityContext": {
            "runAsNonRoot": options.run_as_non_root,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [_spread(configuration)],
        "containers": [_container(configuration, options, secret_name, env)],
    }
    if options.runtime_class:
        spec["runtimeClassName"] = options.runtime_class
    if options.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    return {"metadata": {"labels": dict(labels)}, "spec": spec}


def _spread(configuration: Configuration) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {AGENT: str(configuration.agent_id)}},
    }


def _container(
    configuration: Configuration, options: Options, secret_name: str, env: Mapping[str, str]
) -> Object:
    port = port_of(configuration, options)
    return {
        "name": CONTAINER,
        "image": configuration.harness_image or options.harness_image,
        "ports": [{"name": CONTAINER, "containerPort": port, "protocol": "TCP"}],
        "env": [*_references(secret_name, env), {"name": "PORT", "value": str(port)}],
        # The harness answers strangers with 401, which an HTTP probe would take for a failure.
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 60},
        "resources": {
            "requests": {"cpu": options.cpu_request, "memory": options.memory_request},
            "limits": {"cpu": options.cpu_limit, "memory": options.memory_limit},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _references(secret_name: str, env: Mapping[str, str]) -> list[dict[str, Any]]:
    """Variables by reference: values never stand in the spec."""
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret_name, "key": name}}}
        for name in sorted({*env, TOKEN} - {"PORT"})
    ]
