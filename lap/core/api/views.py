"""The base of every API view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from lap.core.api.body import read_object


class JsonOnly(BaseContentNegotiation):
    """Answers JSON, whatever the caller says it accepts."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type or ""


class ApiView(APIView):
    """Takes and answers JSON. ``OPTIONS`` is not a method of this API."""

    content_negotiation_class = JsonOnly
    http_method_names = ("get", "head", "post", "patch", "delete")
    body_limit = 256 * 1024
    """Bytes that a body may have."""
    reads_only = False
    """Whether its POST changes nothing, so that a key with the scope ``read`` may send it."""

    def read(self, serializer: type[Serializer[Any]], *, partial: bool = False) -> dict[str, Any]:
        """The body, validated. Raises the APIException to answer with."""
        sent = read_object(self.request._request, self.body_limit)
        reader = serializer(data=sent, partial=partial)
        reader.is_valid(raise_exception=True)
        return dict(reader.validated_data)


@csrf_exempt
def unknown_route(request: HttpRequest) -> JsonResponse:
    """What every address below ``/api/`` answers that leads nowhere."""
    return JsonResponse({"error": "not found"}, status=404)
