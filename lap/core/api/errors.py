"""Every error of the API as JSON: ``{"error": <sentence, or list of {path, message}>}``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.core.exceptions import ValidationError as ModelError
from django.http import Http404
from django.http.request import UnreadablePostError
from rest_framework import exceptions, status
from rest_framework.response import Response

from lap.core.errors import Conflict, StaleVersion
from lap.core.text import storable

log = logging.getLogger(__name__)


class BodyTooLarge(exceptions.APIException):
    """The request's body is longer than its route takes."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes")


def answer_error(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer an error that a view raised; what nobody foresaw is a 500 without details."""
    code, content = _explain(error)
    if code == status.HTTP_500_INTERNAL_SERVER_ERROR:
        request = context.get("request")
        where = f"{request.method} {request.path}" if request else "the API"
        log.error("unforeseen error in %s", where, exc_info=error)
    return Response({"error": storable(content)}, status=code, headers=_headers(error))


def _explain(error: Exception) -> tuple[int, Any]:
    match error:
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return error.status_code, "unauthorized"
        case exceptions.ValidationError():
            return error.status_code, sentence_or_list(error.detail)
        case exceptions.Throttled():
            return error.status_code, f"too many requests; try again in {_seconds(error)} s"
        case exceptions.APIException(status_code=code) if code < 500:
            return code, str(error.detail)
        case ModelError():
            named = hasattr(error, "error_dict")
            return 400, sentence_or_list(error.message_dict if named else error.messages)
    return _explain_plain(error)


def _explain_plain(error: Exception) -> tuple[int, Any]:
    match error:
        case Http404():
            return 404, "not found"
        case RequestDataTooBig():
            return 413, "the body is too large"
        case UnreadablePostError():
            return 400, "the body could not be read"
        case Conflict():
            return 409, str(error)
        case StaleVersion():
            return 412, str(error)
    return 500, "internal error"


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, exceptions.Throttled):
        return {"Retry-After": str(_seconds(error))}
    scheme = getattr(error, "auth_header", None)
    return {"WWW-Authenticate": scheme} if scheme else {}


def _seconds(error: exceptions.Throttled) -> int:
    """Whole seconds to wait, rounded up."""
    return max(1, ceil(getattr(error, "wait", None) or 0))


def sentence_or_list(detail: Any) -> str | list[dict[str, str]]:
    """One sentence where no value is to blame, else a list of ``{path, message}``."""
    found = list(_flatten(detail, ""))
    if any(path for path, _ in found):
        return [{"path": path, "message": message} for path, message in found]
    return " ".join(message for _, message in found)


def _flatten(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _flatten(inner, _join(path, name))
    elif isinstance(detail, Sequence) and not isinstance(detail, str):
        for index, inner in enumerate(detail):
            yield from _flatten(inner, path if isinstance(inner, str) else _join(path, index))
    else:
        yield path, str(detail)


def _join(path: str, name: object) -> str:
    if name in ("non_field_errors", "__all__"):
        return path
    return f"{path}.{name}" if path else str(name)
