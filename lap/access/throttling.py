"""Refuses callers that ask too often: holders of keys by their key, all others by address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from django.conf import settings
from rest_framework.exceptions import (
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
    Throttled,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from lap.access.rates import Rate, take
from lap.core import api
from lap.core.api.authentication import Caller
from lap.core.errors import DATABASE_AWAY

if TYPE_CHECKING:
    from rest_framework.views import APIView


class KeyThrottle(BaseThrottle):
    """Lets each key make LAP_API_RATE_PER_MINUTE requests, a tenth of them at once."""

    _wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        self._wait = _charge_key(request)
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait


def answer_error(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer an error that a view raised.

    Callers that are turned away are counted here, because REST framework asks its throttles only
    about those it lets in: without a valid key by address, with a key of the wrong scope by key.
    """
    wait = None
    if isinstance(error, NotAuthenticated | AuthenticationFailed):
        wait = _unless_away(_charge_address, context["request"])
    elif isinstance(error, PermissionDenied):
        wait = _unless_away(_charge_key, context["request"])
    return api.answer_error(error if wait is None else Throttled(wait), context)


def _unless_away(charge: Callable[[Request], float | None], request: Request) -> float | None:
    """While nobody can count, nobody is over a limit: an error of its own would hide the first."""
    try:
        return charge(request)
    except DATABASE_AWAY:
        return None


def _charge_key(request: Request) -> float | None:
    per_minute = settings.LAP_API_RATE_PER_MINUTE
    if not per_minute or not isinstance(request.user, Caller):
        return None
    return take(request.user.name, Rate(per_minute, max(1, per_minute // 10)))


def _charge_address(request: Request) -> float | None:
    per_minute = settings.LAP_API_FAILURES_PER_MINUTE
    if not per_minute:
        return None
    network = network_of(request.META.get("REMOTE_ADDR", ""))
    return take(f"address {network}", Rate(per_minute, per_minute))


def network_of(address: str) -> str:
    """What is counted as one address: one of IPv4, a /64 of IPv6, and all that are neither.

    It is REMOTE_ADDR. Behind a proxy that is the proxy's own, unless uvicorn's ``--proxy-headers``
    and ``--forwarded-allow-ips`` name the proxy whose X-Forwarded-For is to be believed.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if isinstance(found, IPv6Address):
        return str(ip_network((int(found), 64), strict=False))
    return str(found)
