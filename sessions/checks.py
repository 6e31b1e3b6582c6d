"""Bad configuration of sandboxes, found by ``manage.py check`` and before a worker starts."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from sessions.backends import KUBERNETES, LOCAL
from sessions.quantities import amount
from sessions.reconcile import LEASE_SECONDS

TAG: Final = "sandboxes"
LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
IMAGE: Final = re.compile(
    r"([a-zA-Z0-9][-.a-zA-Z0-9]*(:\d+)?/)?"
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
ADDRESS: Final = re.compile(r"https://[^/\s]\S*")
FILES: Final = ("K8S_KUBECONFIG", "K8S_TOKEN_FILE", "K8S_CA_FILE")
RESOURCES: Final = {
    "K8S_CPU_REQUEST": "100m", "K8S_CPU_LIMIT": "2",
    "K8S_MEMORY_REQUEST": "512Mi", "K8S_MEMORY_LIMIT": "4Gi",
}  # fmt: skip


@register(TAG)
def check_backend(**kwargs: Any) -> list[CheckMessage]:
    if settings.LAP_SANDBOX_BACKEND in (LOCAL, KUBERNETES):
        return []
    said = f"LAP_SANDBOX_BACKEND is {settings.LAP_SANDBOX_BACKEND!r}, which there is not."
    hint = f"Set it to {LOCAL} (sandboxes on the worker's machine) or {KUBERNETES}."
    return [Error(said, hint=hint, id="sessions.E001")]


@register(TAG)
def check_kubernetes(**kwargs: Any) -> list[CheckMessage]:
    if settings.LAP_SANDBOX_BACKEND != KUBERNETES:
        return []
    where = (_connection(), _server(), _files(), _authority())
    what = (_names(), _image(), _resources(), _times())
    return list(chain(*where, *what))


def _connection() -> Iterator[CheckMessage]:
    if settings.K8S_SKIP_TLS_VERIFY and not settings.K8S_API_SERVER:
        yield Error(
            "K8S_SKIP_TLS_VERIFY is set without K8S_API_SERVER.",
            hint="Unset it, or name the one server that may go unverified in K8S_API_SERVER.",
            id="sessions.E002",
        )
    if not _has_way():
        yield Error(
            "There is no way to the API server: LAP does not run in a pod, and there is no "
            "kubeconfig.",
            hint="Set K8S_KUBECONFIG to a kubeconfig, or K8S_API_SERVER to an https:// address.",
            id="sessions.E003",
        )


def _server() -> Iterator[CheckMessage]:
    if (server := settings.K8S_API_SERVER) and not ADDRESS.fullmatch(server):
        yield Error(
            f"K8S_API_SERVER is {server!r}, which is not an https:// address.",
            hint="Write it whole, e.g. K8S_API_SERVER=https://10.0.0.1:6443.",
            id="sessions.E011",
        )


def _has_way() -> bool:
    """The places where the client looks; files that settings name are checked for themselves."""
    is_named = settings.K8S_API_SERVER or settings.K8S_KUBECONFIG
    if is_named or os.environ.get("KUBERNETES_SERVICE_HOST"):
        return True
    places = os.environ.get("KUBECONFIG", "~/.kube/config").split(os.pathsep)
    return any(Path(place).expanduser().is_file() for place in places)


def _files() -> Iterator[CheckMessage]:
    for name in FILES:
        if (path := getattr(settings, name)) and (trouble := _unreadable(Path(path).expanduser())):
            yield Error(
                f"{name} is {path}, which cannot be read: {trouble}.",
                hint="Correct the path, mount the file, or let this user read it; else unset it.",
                id="sessions.E004",
            )


def _authority() -> Iterator[CheckMessage]:
    path = Path(settings.K8S_CA_FILE).expanduser()
    if not settings.K8S_CA_FILE or _unreadable(path):
        return
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        yield Error(
            f"K8S_CA_FILE is {path}, which holds no certificate.",
            hint="Name a file with the certificate of the cluster's authority, in PEM format.",
            id="sessions.E012",
        )


def _unreadable(path: Path) -> str:
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _names() -> Iterator[CheckMessage]:
    for name, example in {"K8S_NAMESPACE": "lap-sandboxes", "K8S_INSTALL": "lap"}.items():
        if not LABEL.fullmatch(value := getattr(settings, name)):
            yield Error(
                f"{name} is {value!r}, which Kubernetes does not take for a name.",
                hint=f"Use lower-case letters, digits and inner hyphens, e.g. {name}={example}.",
                id="sessions.E005",
            )


def _image() -> Iterator[CheckMessage]:
    image = settings.K8S_HARNESS_IMAGE
    example = "Set it to an image with a tag or digest, e.g. registry.example.com/lap/harness:1.0."
    if not image:
        yield Error("K8S_HARNESS_IMAGE is not set.", hint=example, id="sessions.E006")
    elif not IMAGE.fullmatch(image):
        said = f"K8S_HARNESS_IMAGE is {image!r}, which is not an image's name."
        yield Error(said, hint=example, id="sessions.E006")


def _resources() -> Iterator[CheckMessage]:
    amounts = {name: amount(getattr(settings, name)) for name in RESOURCES}
    for name, example in RESOURCES.items():
        if not amounts[name]:
            yield Error(
                f"{name} is {getattr(settings, name)!r}, which is not an amount above 0.",
                hint=f"Write it as Kubernetes does, e.g. {name}={example}.",
                id="sessions.E007",
            )
    for what in ("CPU", "MEMORY"):
        request, limit = f"K8S_{what}_REQUEST", f"K8S_{what}_LIMIT"
        if (amounts[request] or 0) > (amounts[limit] or amounts[request] or 0):
            yield Error(
                f"{request} ({getattr(settings, request)}) is above {limit} "
                f"({getattr(settings, limit)}).",
                hint=f"Raise {limit} or lower {request}.",
                id="sessions.E008",
            )


def _times() -> Iterator[CheckMessage]:
    """A sandbox outlives two passes that fail, each as late as it can be."""
    interval = settings.LAP_RECONCILE_SECONDS
    least = 2 * (interval + LEASE_SECONDS)
    if least > settings.K8S_SANDBOX_TTL_SECONDS:
        yield Error(
            f"K8S_SANDBOX_TTL_SECONDS is {settings.K8S_SANDBOX_TTL_SECONDS:g}: sandboxes may end "
            "before they are renewed.",
            hint=f"Set it to {least:g} or more, or lower LAP_RECONCILE_SECONDS.",
            id="sessions.E009",
        )
    if settings.K8S_WARM_POOL_SIZE and interval > settings.K8S_WARM_LEAD_SECONDS:
        yield Error(
            f"K8S_WARM_LEAD_SECONDS is {settings.K8S_WARM_LEAD_SECONDS:g}: agents fall due before "
            "anybody looks which ones to keep a sandbox warm for.",
            hint=f"Set it to {interval:g} (LAP_RECONCILE_SECONDS) or more, or switch warm pools "
            "off with K8S_WARM_POOL_SIZE=0.",
            id="sessions.E010",
        )
