"""Chooses the sandbox backend that the settings name."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sessions.sandboxes.base import SandboxBackend
from sessions.sandboxes.kubernetes.options import Connection, Options
from sessions.sandboxes.local import LocalBackend

LOCAL: Final = "local"
KUBERNETES: Final = "kubernetes"


def backend_from_settings() -> SandboxBackend:
    """The backend of ``LAP_SANDBOX_BACKEND``. Raises ImproperlyConfigured for an unknown one."""
    if settings.LAP_SANDBOX_BACKEND == LOCAL:
        return LocalBackend(settings.LAP_SANDBOX_DIR)
    if settings.LAP_SANDBOX_BACKEND == KUBERNETES:
        # Its client takes a second to import, which nobody else has to wait for.
        from sessions.sandboxes.kubernetes.backend import KubernetesBackend

        return KubernetesBackend(options_from_settings())
    raise ImproperlyConfigured(
        f"LAP_SANDBOX_BACKEND is {settings.LAP_SANDBOX_BACKEND!r}; "
        f"the backends are: {LOCAL}, {KUBERNETES}"
    )


def options_from_settings() -> Options:
    """What the ``K8S_*`` settings say."""
    return Options(
        namespace=settings.K8S_NAMESPACE,
        harness_image=settings.K8S_HARNESS_IMAGE,
        connection=_connection(),
        install=settings.K8S_INSTALL,
        hash_key=settings.SECRET_KEY,
        expose=settings.K8S_EXPOSE,
        container_port=settings.K8S_CONTAINER_PORT,
        cpu_request=settings.K8S_CPU_REQUEST,
        memory_request=settings.K8S_MEMORY_REQUEST,
        cpu_limit=settings.K8S_CPU_LIMIT,
        memory_limit=settings.K8S_MEMORY_LIMIT,
        run_as_non_root=settings.K8S_RUN_AS_NON_ROOT,
        runtime_class=settings.K8S_RUNTIME_CLASS,
        image_pull_secrets=tuple(settings.K8S_IMAGE_PULL_SECRETS),
        ttl_seconds=settings.K8S_SANDBOX_TTL_SECONDS,
        schedule_timeout_seconds=settings.K8S_SCHEDULE_TIMEOUT_SECONDS,
        start_timeout_seconds=settings.K8S_START_TIMEOUT_SECONDS,
        api_retry_seconds=settings.K8S_API_RETRY_SECONDS,
        warm_pool_size=settings.K8S_WARM_POOL_SIZE,
    )


def _connection() -> Connection:
    return Connection(
        api_server=settings.K8S_API_SERVER,
        kubeconfig=settings.K8S_KUBECONFIG,
        context=settings.K8S_CONTEXT,
        token_file=settings.K8S_TOKEN_FILE,
        ca_file=settings.K8S_CA_FILE,
        skip_tls_verify=settings.K8S_SKIP_TLS_VERIFY,
    )
