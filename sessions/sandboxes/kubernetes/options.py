"""What the Kubernetes backend has to know, as the K8S_* settings say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

AUTO: Final = "auto"
SERVICE: Final = "service"


@dataclass(frozen=True, slots=True)
class Connection:
    """How the API server is reached.

    With neither ``api_server`` nor ``kubeconfig``: the pod's own service account where there is
    one, else the default kubeconfig. ``api_server`` overrides the server of a kubeconfig.
    """

    api_server: str = ""
    kubeconfig: str = ""
    context: str = ""
    token_file: str = ""
    ca_file: str = ""
    skip_tls_verify: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """Times are in seconds, quantities in Kubernetes' notation.

    ``install`` tells the installations of one namespace apart. ``hash_key`` keeps the names of
    warm pools from telling anything about the configuration they stand for.
    """

    namespace: str
    harness_image: str
    connection: Connection = field(default_factory=Connection)
    install: str = "lap"
    hash_key: str = field(repr=False, default="")
    expose: str = AUTO
    container_port: int = 4096
    cpu_request: str = "100m"
    memory_request: str = "512Mi"
    cpu_limit: str = "2"
    memory_limit: str = "4Gi"
    run_as_non_root: bool = True
    runtime_class: str = ""
    image_pull_secrets: tuple[str, ...] = ()
    ttl_seconds: float = 7200
    schedule_timeout_seconds: float = 300
    start_timeout_seconds: float = 180
    api_retry_seconds: float = 120
    warm_pool_size: int = 1
