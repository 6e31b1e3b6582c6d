"""What a request is told that fails before or after every view: JSON below ``/api/``."""

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

WRONG_HOST = "this server does not go by that host name; LAP_ALLOWED_HOSTS lists its names"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A 400."""
    if not request.path.startswith("/api/"):
        return defaults.bad_request(request, exception)
    is_host = isinstance(exception, DisallowedHost)
    return JsonResponse({"error": WRONG_HOST if is_host else "bad request"}, status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """A 500; the log has the details."""
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    return JsonResponse({"error": "internal error"}, status=500)
