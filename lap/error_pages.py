"""What a request is told that fails before or after every view: JSON below ``/api/``."""

from __future__ import annotations

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views import defaults

WRONG_HOST = "this server does not go by that host name; LAP_ALLOWED_HOSTS lists its names"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A 400."""
    if not request.path.startswith("/api/"):
        return defaults.bad_request(request, exception)
    is_host = isinstance(exception, DisallowedHost)
    return JsonResponse({"error": WRONG_HOST if is_host else "bad request"}, status=400)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A 403 for a form that did not come from this site, or from a page older than the login."""
    sentence = "This form was out of date. Go back, reload the page and send it again."
    return render(request, "403.html", {"exception": sentence}, status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """A 500; the log has the details. The page asks the database for nothing."""
    if not request.path.startswith("/api/"):
        return HttpResponse(render_to_string("500.html"), status=500)
    return JsonResponse({"error": "internal error"}, status=500)
