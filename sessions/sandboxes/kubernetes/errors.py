"""What the API server's refusals mean: a sentence, a word for statistics, and permanence."""

from __future__ import annotations

import json
import ssl
from typing import Any, Final

import aiohttp

from sessions.sandboxes.base import SandboxError

LONGEST_PAUSE: Final = 60.0
"""Seconds: who asks for a longer one is no API server."""
NO_SUCH_API: Final = b"404 page not found"
"""What the API server itself answers for a group that it does not know, and nobody else."""


class ApiError(SandboxError):
    """The API server refused a request; ``status`` is 0 when it was not reached.

    ``retry_after`` are the seconds that it wants to be left alone for, if it said so.
    """

    retry_after: float | None = None

    def __init__(
        self, message: str, *, kind: str, permanent: bool = False, status: int = 0
    ) -> None:
        super().__init__(message, kind=kind, permanent=permanent)
        self.status = status


class NotFound(ApiError):
    """There is no such object."""


class AlreadyExists(ApiError):
    """The name is taken."""


class Conflict(ApiError):
    """The object is not the one that was meant: another uid, or changed meanwhile."""


class ApiDown(ApiError):
    """The API server cannot be reached, is overloaded or fails; trying again may help."""

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, kind="api_down", status=status)
        self.retry_after = retry_after


def refusal(status: int, content: bytes, retry_after: str = "") -> ApiError:
    """The error for an answer of 400 and above."""
    details = parse(content)
    said = details.get("message") or f"status {status}"
    if status == 429 or status >= 500:
        seconds = min(float(retry_after), LONGEST_PAUSE) if retry_after.isdigit() else None
        return ApiDown(
            f"the API server is not available: {said}", status=status, retry_after=seconds
        )
    if status == 404:
        return _not_found(details, said, content)
    if status == 409:
        kind = AlreadyExists if details.get("reason") == "AlreadyExists" else Conflict
        return kind(f"the API server refused: {said}", kind="conflict", status=status)
    if status == 410:
        return ApiError(said, kind="expired", status=status)
    return _denied(status, said)


def _denied(status: int, said: str) -> ApiError:
    if status == 401:
        message = (
            "the API server does not accept LAP's credentials; the operator has to renew the "
            f"worker's service account token or kubeconfig ({said})"
        )
        return ApiError(message, kind="unauthorized", permanent=True, status=status)
    if status == 403:
        return _forbidden(said)
    message = f"the API server refuses the sandbox as invalid: {said}"
    return ApiError(message, kind="invalid_spec", permanent=True, status=status)


def _forbidden(said: str) -> ApiError:
    """These share a status and a reason; only the sentence tells them apart."""
    if "being terminated" in said:
        message = f"the namespace of K8S_NAMESPACE is being deleted: {said}"
        return ApiError(message, kind="namespace_missing", permanent=True, status=403)
    if "quota" not in said:
        message = f"LAP may not do this in the cluster; its Role has to allow it: {said}"
        return ApiError(message, kind="forbidden", permanent=True, status=403)
    is_known = "status unknown for quota" not in said
    message = f"the namespace's quota has no room for the sandbox: {said}"
    return ApiError(message, kind="quota", permanent=is_known, status=403)


def _not_found(details: dict[str, Any], said: str, content: bytes) -> ApiError:
    if not details and content.strip() != NO_SUCH_API:
        return ApiDown("something in front of the API server answers 404 in its place", status=404)
    if not details:
        message = (
            "the cluster does not know agent-sandbox objects; the operator has to install the "
            "agent-sandbox controller and its CRDs (v1beta1)"
        )
        return ApiError(message, kind="crds_missing", permanent=True, status=404)
    if (details.get("details") or {}).get("kind") == "namespaces":
        message = f"the namespace of K8S_NAMESPACE does not exist: {said}"
        return ApiError(message, kind="namespace_missing", permanent=True, status=404)
    return NotFound(said, kind="not_found", status=404)


def parse(content: bytes) -> dict[str, Any]:
    """The object that was answered; empty when the answer is none."""
    try:
        details = json.loads(content)
    except ValueError:
        return {}
    return details if isinstance(details, dict) else {}


def unreached(error: Exception) -> ApiError:
    """The error for a request that got no answer."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        message = (
            "the API server's certificate cannot be verified; set K8S_CA_FILE, or correct the "
            f"kubeconfig ({error})"
        )
        return ApiError(message, kind="tls", permanent=True)
    why = str(error) or type(error).__name__
    return ApiDown(f"the API server cannot be reached: {why}")
