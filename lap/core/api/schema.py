"""How views and serializers declare themselves in the OpenAPI schema.

An app keeps its declarations in a module ``openapi`` of its own: an ``operation`` for each method
of a view, which wears it as a decorator, and a ``describe`` for each serializer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from lap.core.api.schema_components import (
    COMPONENTS,
    KEY,
    JsonSchema,
    error_response,
    shared_error,
)

Method = TypeVar("Method", bound=Callable[..., Any])

JSON = "application/json"
Errors = Mapping[int, str | list[dict[str, str]]]


def operation(
    operation_id: str,
    *,
    tag: str,
    summary: str,
    description: str = "",
    parameters: Sequence[OpenApiParameter] = (),
    request: Any = None,
    needs_body: bool = False,
    request_examples: Mapping[str, Any] | None = None,
    response: Any = None,
    response_examples: Mapping[str, Any] | None = None,
    response_headers: Mapping[str, str] | None = None,
    means: str = "Done.",
    status: int = 200,
    media_types: Sequence[str] = (JSON,),
    also: Mapping[Any, Any] | None = None,
    errors: Errors | None = None,
    security: str | None = KEY,
) -> Callable[[Method], Method]:
    """Declare one method of a view.

    - ``request``, ``response``: a serializer class, ``Serializer(many=True)`` for a list, or a
      JSON schema as a dict; None for no body. The response ``means`` something and has ``status``.
    - ``needs_body``: an empty body is refused although no single field is required.
    - examples: by name; of a list, one item. ``response_headers``: descriptions by name.
    - ``also``: further responses, ``{503: OpenApiResponse({"type": "object"}, "Not healthy.")}``.
    - ``errors``: by status, what the route answers as ``error``, for example. What follows from
      its kind is added: 401, 429, 500; 403 where it writes; 400, 408, 413, 415 with a body.
    - ``security``: ``KEY``; ``CALLBACK`` for the token of a session's sandbox; None for public.
    """
    # the library takes requirements too, but its types know of names only
    auth: list[Any] = [{security: []}] if security else []
    answer = OpenApiResponse(response, means, _examples(response_examples))
    declared = extend_schema(
        operation_id=operation_id,
        tags=[tag],
        summary=summary,
        description=description,
        parameters=[*parameters, *_headers(response_headers or {}, status)],
        request={JSON: request} if request else None,
        responses={(status, *media_types): answer, **(also or {})},
        examples=_examples(request_examples, of_request=True),
        auth=auth,
    )

    def declare(method: Method) -> Method:
        method.declared_errors = errors or {}  # type: ignore[attr-defined]
        method.needs_body = needs_body  # type: ignore[attr-defined]
        return declared(method)

    return declare


def path_id(name: str, description: str) -> OpenApiParameter:
    """An id in the route's address."""
    return OpenApiParameter(
        name, {"type": "string", "format": "uuid"}, "path", description=description
    )


def query(name: str, schema: JsonSchema, description: str) -> OpenApiParameter:
    """An optional query parameter."""
    return OpenApiParameter(name, schema, "query", description=description)


def request_header(name: str, schema: JsonSchema, description: str) -> OpenApiParameter:
    """An optional header of the request."""
    return OpenApiParameter(name, schema, "header", description=description)


def _headers(descriptions: Mapping[str, str], status: int) -> list[OpenApiParameter]:
    return [
        OpenApiParameter(name, str, "header", description=text, response=[status])
        for name, text in descriptions.items()
    ]


def _examples(
    values: Mapping[str, Any] | None, *, of_request: bool = False
) -> list[OpenApiExample]:
    return [
        OpenApiExample(name, value, request_only=of_request, response_only=not of_request)
        for name, value in (values or {}).items()
    ]


class OperationSchema(AutoSchema):
    """Adds to every operation the errors that its route may answer."""

    def get_operation(self, *args: Any) -> JsonSchema | None:
        found: JsonSchema | None = super().get_operation(*args)
        method = getattr(self.view, self.method.lower())
        if found is not None:
            found["responses"] |= self._errors(found, getattr(method, "declared_errors", {}))
            if getattr(method, "needs_body", False):
                found["requestBody"]["required"] = True
        return found

    def _errors(self, found: JsonSchema, declared: Errors) -> JsonSchema:
        own = {str(status): error_response(status, error) for status, error in declared.items()}
        shared = {str(status): shared_error(status) for status in self._statuses(found)}
        return dict(sorted({**shared, **own}.items()))

    def _statuses(self, found: JsonSchema) -> list[int]:
        if "security" not in found:
            return []
        with_body = [400, 408, 413, 415] if "requestBody" in found else []
        only_reads = self.method == "GET" or getattr(self.view, "reads_only", False)
        return [401, 429, 500, *with_body, *([] if only_reads else [403])]


def add_components(result: JsonSchema, **_: Any) -> JsonSchema:
    """Hook of the generator: put in what the operations refer to."""
    for kind, components in COMPONENTS.items():
        result["components"][kind] = {**result["components"].get(kind, {}), **components}
    return result
