"""The base of every page: who may see it, who may change what, full page or fragment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views import View
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails


class PageRequest(HttpRequest):
    """A request as the middleware leaves it."""

    htmx: HtmxDetails


class PageView(View):
    """A page, or a fragment of one where htmx asks. Only for who is logged in.

    GET needs the permission ``reads``, every other method the permission ``writes``; of several
    any one will do.
    """

    reads: ClassVar[str | tuple[str, ...]]
    writes: ClassVar[str | tuple[str, ...]] = ()
    request: PageRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return self._to_login()
        if not hasattr(self, str(request.method).lower()):
            return self.http_method_not_allowed(request)
        _require(request, self.reads if request.method in ("GET", "HEAD") else self.writes)
        response = super().dispatch(request, *args, **kwargs)
        patch_vary_headers(response, ["HX-Request"])
        return response

    def show(self, template: str, context: Mapping[str, Any] | None = None) -> HttpResponse:
        """The rendered template, with status 200 also when it tells of an error."""
        return render(self.request, template, dict(context or {}))

    def go(self, url: str) -> HttpResponse:
        """Sends the browser to another page, from a form as well as from a fragment."""
        if self.request.htmx:
            return HttpResponseClientRedirect(url)
        return HttpResponseRedirect(url)

    def _to_login(self) -> HttpResponse:
        """A fragment is refused instead (lap.js says so): what was typed on its page stays."""
        if self.request.htmx:
            return HttpResponse(status=401)
        is_page = self.request.method in ("GET", "HEAD")
        return redirect_to_login(self.request.get_full_path() if is_page else "")


def actor(request: HttpRequest) -> str:
    """Who acts, as histories record it."""
    return request.user.get_username()


def _require(request: HttpRequest, permissions: str | tuple[str, ...]) -> None:
    alternatives = (permissions,) if isinstance(permissions, str) else permissions
    if not any(map(request.user.has_perm, alternatives)):
        raise PermissionDenied(f"This needs the permission {' or '.join(alternatives)}.")
