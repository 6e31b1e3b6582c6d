"""The time zone of whoever looks at a page, as their browser told it in a cookie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from scheduler.cron import CronError, load_zone

COOKIE: Final = "lap_zone"
"""Set by static/lap/lap.js. Without it pages show UTC."""


class ViewerZoneMiddleware:
    """Makes the viewer's zone Django's current one while a page is made.

    Django's admin shows UTC, and takes what is typed there for UTC.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with timezone.override(_zone_of(request)):
            return self._get_response(request)


def _zone_of(request: HttpRequest) -> ZoneInfo:
    is_admin = request.path_info.startswith(reverse("admin:index"))
    try:
        return load_zone("UTC" if is_admin else request.COOKIES.get(COOKIE, "UTC"))
    except CronError:
        return load_zone("UTC")
