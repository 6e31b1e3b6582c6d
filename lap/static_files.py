"""Serves static files before Django sees the request: they need no thread and no session."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from servestatic import ServeStaticASGI

MAX_AGE_SECONDS: Final = 60


def with_static_files(application: Any) -> ServeStaticASGI:
    """The ASGI application, with every file that Django's finders know below ``STATIC_URL``.

    Files are looked up once, at start. Browsers ask again after a minute, with the file's ETag.
    """
    served = ServeStaticASGI(
        application, max_age=MAX_AGE_SECONDS, allow_all_origins=False, add_headers_function=_guard
    )
    found = [storage.location for finder in get_finders() for _, storage in finder.list([])]
    for root in reversed(dict.fromkeys(found)):  # of two files with one name the last one wins
        served.add_files(root, settings.STATIC_URL)
    return served


def _guard(headers: Any, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
