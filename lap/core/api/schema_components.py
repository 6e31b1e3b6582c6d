"""What every operation of the OpenAPI schema shares: errors, headers, ways to say who calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

JsonSchema = dict[str, Any]

KEY: Final = "key"
CALLBACK: Final = "callbackToken"

SHARED: Final = {
    400: "malformed JSON: Expecting value: line 1 column 11 (char 10)",
    401: "unauthorized",
    403: "this key may only read; use one with the scope write",
    408: "the body stopped arriving: 60 seconds went by without progress",
    413: "the body is larger than 262144 bytes",
    415: "the body must be JSON (Content-Type: application/json)",
    429: "too many requests; try again in 12 s",
    500: "internal error",
}
"""What routes answer because of their kind, with a sentence of each."""

_MEANINGS: Final = {
    400: "Something that was sent is wrong.",
    401: "No key was sent, or a wrong one.",
    403: "The key is right, but may not do this.",
    408: "The body did not arrive in time.",
    404: "What the address names does not exist.",
    409: "It does not go with the present state.",
    412: "Somebody has changed the row since.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many requests from this key or address.",
    500: "A fault of the server, told to its log only.",
    502: "The harness in the sandbox did not answer as it should.",
    503: "Not available at present.",
}

ERROR: Final[JsonSchema] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "description": "One sentence; or, where values are to blame, what is wrong with each.",
            "oneOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["path", "message"],
                        "properties": {
                            "path": {
                                "type": "string",
                                "description": "Where, e.g. `initial_attachments.0.mime_type`.",
                            },
                            "message": {"type": "string"},
                        },
                    },
                },
            ],
        }
    },
}

SECURITY_SCHEMES: Final[JsonSchema] = {
    KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "The master key or an API key: `Authorization: Bearer <key>`.",
    },
    CALLBACK: {
        "type": "http",
        "scheme": "bearer",
        "description": "The token that LAP gave to a session's sandbox, for that session only.",
    },
}

_HEADERS: Final[Mapping[int, JsonSchema]] = {
    401: {
        "WWW-Authenticate": {
            "description": "Always `Bearer`.",
            "required": True,
            "schema": {"type": "string"},
        }
    },
    429: {
        "Retry-After": {
            "description": "Seconds to wait.",
            "required": True,
            "schema": {"type": "integer", "minimum": 0},
        }
    },
}


def error_response(status: int, error: str | list[dict[str, str]]) -> JsonSchema:
    """The response object of a status that answers, for example, ``error``."""
    content = {"schema": {"$ref": "#/components/schemas/Error"}, "example": {"error": error}}
    return {
        **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        "content": {"application/json": content},
        "description": _MEANINGS[status],
    }


def shared_error(status: int) -> JsonSchema:
    """A reference to the response that the operations have in common."""
    return {"$ref": f"#/components/responses/Error{status}"}


COMPONENTS: Final[JsonSchema] = {
    "schemas": {"Error": ERROR},
    "responses": {
        f"Error{status}": error_response(status, sentence) for status, sentence in SHARED.items()
    },
    "securitySchemes": SECURITY_SCHEMES,
}
