"""Refuses pages' requests that claim another charset than UTF-8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase

API: Final = "/api/"
"""Its parsers judge their charsets themselves."""


class CharsetMiddleware:
    """No browser sends another one. UTF-7 would bring half surrogates, which no database stores."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        charset = (request.content_params or {}).get("charset", "utf-8")
        if charset.lower() in ("utf-8", "utf8") or request.path_info.startswith(API):
            return self._get_response(request)
        return HttpResponse("Send UTF-8.", status=415, content_type="text/plain")
