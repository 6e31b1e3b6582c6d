"""Finds out who calls by the key of the request."""

from __future__ import annotations

import hmac
import re
from typing import Any, Final

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from lap.access.models import GENERATOR, USE_IS_OUTDATED, ApiKey
from lap.core.api.authentication import Caller, Scope

MASTER: Final = Caller("master key", Scope.WRITE)
_NAMED_KEY: Final = re.compile(
    rb"([A-Za-z0-9]{%d})\.[A-Za-z0-9]{%d}" % (GENERATOR.prefix_length, GENERATOR.secret_key_length)
)


class KeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer`` and LAP_MASTER_KEY, or a named key that is still good.

    While no master key is configured, only named keys get in.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, sent = get_authorization_header(request).partition(b" ")
        if not scheme:
            return None
        caller = _caller(sent.strip()) if scheme.lower() == b"bearer" else None
        if caller is None:
            raise AuthenticationFailed
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _caller(sent: bytes) -> Caller | None:
    master = settings.LAP_MASTER_KEY.encode()
    if hmac.compare_digest(sent, master) and master:
        return MASTER
    named = _NAMED_KEY.fullmatch(sent)
    return _holder(named[0].decode(), named[1].decode()) if named else None


def _holder(key: str, prefix: str) -> Caller | None:
    """Who holds a named key. That it was used is written down, at most once a minute."""
    keys = ApiKey.objects.usable().filter(prefix=prefix)
    found = keys.annotate(is_use_outdated=USE_IS_OUTDATED).first()
    if found is None or not found.is_opened_by(key):
        return None
    if getattr(found, "is_use_outdated", True):
        ApiKey.objects.filter(pk=found.pk).record_use()
    return found.caller()
