"""Connects to the API server: in the cluster, by kubeconfig, or to an explicit address."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.kubernetes.options import Connection

log = logging.getLogger(__name__)

TOKEN_PERIOD_SECONDS: Final = 60.0
REFRESH_SECONDS: Final = 30
_CLUSTER_VARIABLE: Final = "KUBERNETES_SERVICE_HOST"

UNUSABLE: Final = (
    config.ConfigException, OSError, yaml.YAMLError, KeyError, TypeError, ValueError
)  # fmt: skip
"""What the client raises for files that are missing, or are something else."""

Refresh = Callable[[], Coroutine[Any, Any, None]]


def is_in_cluster(connection: Connection) -> bool:
    """Whether this process is a pod that uses its own service account."""
    is_explicit = connection.api_server or connection.kubeconfig
    return not is_explicit and bool(os.environ.get(_CLUSTER_VARIABLE))


async def connect(connection: Connection) -> tuple[ApiClient, Refresh | None]:
    """A client with verified TLS, and what keeps credentials of a plugin fresh, if there is one.

    Raises SandboxError when the configuration cannot be used.
    """
    configuration = Configuration()
    # Proxies are for what is outside; a kubeconfig may name one of its own.
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        refresh = await _load(connection, configuration)
        return ApiClient(configuration), refresh
    except UNUSABLE as error:
        message = f"the connection to Kubernetes is not configured: {error}"
        raise SandboxError(message, kind="unauthorized", permanent=True) from error


async def _load(connection: Connection, configuration: Configuration) -> Refresh | None:
    if is_in_cluster(connection):
        config.load_incluster_config(configuration)
        return None
    if connection.kubeconfig or not connection.api_server:
        return await _load_kubeconfig(connection, configuration)
    configuration.host = connection.api_server.rstrip("/")
    configuration.verify_ssl = not connection.skip_tls_verify
    _override(connection, configuration)
    return None


async def _load_kubeconfig(connection: Connection, configuration: Configuration) -> Refresh | None:
    """The overrides go into the loaded dictionary: the client's refresh would undo others."""
    loaded = _read(connection.kubeconfig or os.environ.get("KUBECONFIG", "~/.kube/config"))
    if connection.api_server:
        for entry in loaded["clusters"]:
            entry.value["cluster"]["server"] = connection.api_server
            if connection.skip_tls_verify:
                entry.value["cluster"]["insecure-skip-tls-verify"] = True
    loader = await config.load_kube_config_from_dict(
        loaded, context=connection.context or None, client_configuration=configuration
    )
    _override(connection, configuration)
    if connection.token_file or not _has_plugin(loaded, loader.current_context):
        return None

    async def refresh() -> None:
        while True:
            try:
                await config.refresh_token(loader, configuration, interval=REFRESH_SECONDS)
                return
            except Exception:
                log.exception("the kubeconfig's credentials could not be renewed, trying again")
                await asyncio.sleep(REFRESH_SECONDS)

    return refresh


def _has_plugin(loaded: dict[str, Any], context: dict[str, Any]) -> bool:
    """Whether a program gives the context's user a token, which it has to renew."""
    name = context["context"].get("user")
    users = [entry.value for entry in loaded["users"] if entry.value["name"] == name]
    return any({"exec", "auth-provider"} & set(user.get("user") or ()) for user in users)


def _read(paths: str) -> dict[str, Any]:
    """The merged files, of which some may be missing. Raises ValueError when they are unusable."""
    places = os.pathsep.join(str(Path(path).expanduser()) for path in paths.split(os.pathsep))
    merged = config.kube_config.KubeConfigMerger(places).config
    if merged is None or not isinstance(merged.value, dict):
        raise ValueError(f"{paths} is not a kubeconfig")
    return merged.value


def _override(connection: Connection, configuration: Configuration) -> None:
    """Certificate and token by the settings go before those of a kubeconfig."""
    if connection.ca_file:
        configuration.ssl_ca_cert = str(Path(connection.ca_file).expanduser())
    if connection.token_file:
        read = _token_reader(Path(connection.token_file).expanduser())
        configuration.refresh_api_key_hook = read  # type: ignore[assignment]
        read(configuration)  # the client asks only where there is one already


def _token_reader(path: Path) -> Callable[[Configuration], None]:
    """Reads a mounted token again and again: the kubelet replaces it before it expires."""
    read_at = float("-inf")

    def read(configuration: Configuration) -> None:
        nonlocal read_at
        if time.monotonic() - read_at > TOKEN_PERIOD_SECONDS:
            configuration.api_key["BearerToken"] = f"Bearer {path.read_text().strip()}"
            read_at = time.monotonic()

    return read
