"""What the API server answers when it refuses: ``Status`` objects in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.kubernetes.standin.resources import Resource

Object = dict[str, Any]


class ApiError(Exception):
    """A request ends here, with this ``Status``."""

    def __init__(self, status: Object, headers: dict[str, str] | None = None) -> None:
        super().__init__(status["message"])
        self.status = status
        self.code: int = status["code"]
        self.headers = headers or {}


def failure(code: int, reason: str, message: str, details: Object | None = None) -> Object:
    """The ``Status`` itself."""
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }
    return {name: value for name, value in status.items() if value is not None}


def success(resource: Resource, metadata: Object) -> Object:
    """What a DELETE of most kinds answers."""
    details = {**resource.details(metadata["name"]), "uid": metadata["uid"]}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


def not_found(resource: Resource, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(failure(404, "NotFound", message, resource.details(name)))


def already_exists(resource: Resource, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(failure(409, "AlreadyExists", message, resource.details(name)))


def bad_request(message: str) -> ApiError:
    return ApiError(failure(400, "BadRequest", message))


def unauthorized() -> ApiError:
    return ApiError(failure(401, "Unauthorized", "Unauthorized"))


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError(failure(405, "MethodNotAllowed", message, {}))


def modified(resource: Resource, name: str) -> ApiError:
    """A PUT or PATCH that names an older resourceVersion."""
    message = (
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": the object has been '
        "modified; please apply your changes to the latest version and try again"
    )
    return ApiError(failure(409, "Conflict", message, resource.details(name)))


def other_uid(resource: Resource, name: str, wanted: str, found: str) -> ApiError:
    """A DELETE whose precondition names another object."""
    message = (
        f'Operation cannot be fulfilled on {resource.qualified_kind} "{name}": the UID in the '
        f"precondition ({wanted}) does not match the UID in record ({found}). The object might "
        "have been deleted and then recreated"
    )
    details = {**resource.details(name), "kind": resource.kind}
    return ApiError(failure(409, "Conflict", message, details))


def forbidden(resource: Resource, name: str, why: str, *, kind: str = "") -> ApiError:
    """By a quota (``why`` begins with what was exceeded) or by missing rights."""
    named = f' "{name}"' if name else ""
    details = resource.details(name)
    message = f"{resource.qualified}{named} is forbidden: {why}"
    return ApiError(
        failure(403, "Forbidden", message, {**details, "kind": kind or details["kind"]})
    )


def invalid(resource: Resource, name: str, causes: list[tuple[str, str, str]]) -> ApiError:
    """``causes`` are (reason, message, field)."""
    told = [f"{field}: {message}" for _, message, field in causes]
    text = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    details: Object = {**resource.details(name), "kind": resource.kind}
    details["causes"] = [{"reason": r, "message": m, "field": f} for r, m, f in causes]
    message = f'{resource.qualified_kind} "{name}" is invalid: {text}'
    return ApiError(failure(422, "Invalid", message, details))


def expired(wanted: int, oldest: int) -> Object:
    """The ERROR event of a watch from before the kept history."""
    return failure(410, "Expired", f"too old resource version: {wanted} ({oldest})")


def continue_expired() -> ApiError:
    message = (
        "The provided continue parameter is too old to display a consistent list result. You "
        "must start a new list without the continue parameter."
    )
    return ApiError(failure(410, "Expired", message))


def version_too_large(wanted: int, current: int) -> ApiError:
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": 1}
    return ApiError(failure(504, "Timeout", message, details), {"Retry-After": "1"})


def too_many_requests(seconds: int) -> ApiError:
    message = "Too many requests, please try again later."
    status = failure(429, "TooManyRequests", message, {"retryAfterSeconds": seconds})
    return ApiError(status, {"Retry-After": str(seconds)})


def internal_error() -> ApiError:
    message = "Internal error occurred: etcdserver: request timed out"
    details = {"causes": [{"message": "etcdserver: request timed out"}]}
    return ApiError(failure(500, "InternalError", message, details))


def unavailable() -> ApiError:
    message = "apiserver is shutting down"
    return ApiError(failure(503, "ServiceUnavailable", message, {}))
