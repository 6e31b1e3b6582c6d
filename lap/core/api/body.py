"""Reads a request's body: bounded, UTF-8, a JSON object and nothing that JSON does not know."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.http import HttpRequest
from rest_framework.exceptions import ParseError, UnsupportedMediaType

from lap.core.api.errors import BodyTooLarge
from lap.core.text import finite

DEPTH_LIMIT = 32
"""Levels of nesting; PostgreSQL and Python would both give up only at some thousands."""


def read_object(request: HttpRequest, limit: int) -> dict[str, Any]:
    """The JSON object in the body of at most ``limit`` bytes; an empty body is ``{}``.

    The stream is read here, not by REST framework, which takes a chunked body (it has no
    Content-Length) for an empty one. Raises the APIException to answer with: 400, 413 or 415.
    """
    body = request.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge(limit)
    if not body.strip():
        return {}
    if request.content_type and not _is_json(request.content_type):
        raise UnsupportedMediaType(
            request.content_type, "the body must be JSON (Content-Type: application/json)"
        )
    value = _parse(body)
    if not isinstance(value, dict):
        raise ParseError("the body must be a JSON object")
    return value


def _is_json(content_type: str) -> bool:
    kind, _, subtype = content_type.partition("/")
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


def _parse(body: bytes) -> Any:
    try:
        value = json.loads(body.decode(), parse_constant=_refuse, parse_float=finite)
    except UnicodeDecodeError:
        raise ParseError("malformed JSON: the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ParseError(f"malformed JSON: {error}") from None
    except ValueError:
        raise ParseError("malformed JSON: a number in it is too large") from None
    except RecursionError:
        value = None
    if value is None or _is_deeper_than(DEPTH_LIMIT, value):
        raise ParseError(f"the body must be an object nested at most {DEPTH_LIMIT} levels deep")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ParseError(f"malformed JSON: {constant} is not a JSON value")


def _is_deeper_than(limit: int, value: Any) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return not limit or any(_is_deeper_than(limit - 1, item) for item in inner)
