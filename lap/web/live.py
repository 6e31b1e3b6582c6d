"""Live parts of pages: each carries a token of what it shows, and is sent anew only when asked
with a token that no longer holds.
"""

from __future__ import annotations

import hashlib

from django.http import HttpRequest, HttpResponse


def token_of(*shown: object) -> str:
    """Another one for every other thing that is shown; values are told apart by their ``repr``."""
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def is_unchanged(request: HttpRequest, token: str) -> bool:
    """Whether whoever asks shows that already."""
    return request.GET.get("token") == token


def nothing_new() -> HttpResponse:
    """A 204, for which htmx leaves the page alone."""
    return HttpResponse(status=204)
