"""The API's own description: its OpenAPI schema, and a page that shows it. Both are public."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any, Final

from django.http import Http404, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from lap.core.api.schema import operation, query
from lap.core.api.views import ApiView

_FORMATS: Final = (
    OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer2, OpenApiYamlRenderer,
)  # fmt: skip
_MEDIA_TYPES: Final = [renderer.media_type for renderer in _FORMATS]


class JsonOrYaml(DefaultContentNegotiation):
    """By ``?format`` or ``Accept``; JSON for callers that want neither."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        offered = list(renderers)
        chosen: tuple[BaseRenderer, str] = (offered[0], offered[0].media_type or "")
        with suppress(Http404, NotAcceptable):
            chosen = super().select_renderer(request, offered, format_suffix)
        return chosen


class ApiSchema(APIView):
    """The OpenAPI schema. It holds nothing that is not in the source code."""

    http_method_names = ("get", "head")
    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = JsonOrYaml
    renderer_classes = _FORMATS

    @operation(
        "get_schema",
        tag="description",
        summary="This description, as JSON or YAML",
        parameters=[
            query("format", {"type": "string", "enum": ["json", "yaml"]}, "Instead of `Accept`.")
        ],
        response={"type": "object", "required": ["openapi", "paths"]},
        media_types=_MEDIA_TYPES,
        means="An OpenAPI 3.1 document.",
        security=None,
    )
    def get(self, request: Request) -> HttpResponse:
        chosen = request.accepted_renderer
        text = _yaml() if chosen.format == "yaml" else _json()
        return HttpResponse(text, content_type=chosen.media_type)


class ApiPage(ApiView):
    """Swagger UI, from this server's own static files."""

    authentication_classes = ()
    permission_classes = ()

    @operation(
        "get_docs",
        tag="description",
        summary="A page that shows this description",
        response={"type": "string"},
        media_types=["text/html"],
        means="The page.",
        security=None,
    )
    def get(self, request: Request) -> HttpResponse:
        return render(request._request, "api_docs.html")


@cache
def _yaml() -> bytes:
    text: bytes = OpenApiYamlRenderer().render(_schema(), renderer_context={})
    return text


@cache
def _json() -> bytes:
    text: bytes = OpenApiJsonRenderer().render(_schema(), renderer_context={})
    return text


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = SchemaGenerator().get_schema(public=True)
    return schema
