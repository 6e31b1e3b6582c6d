"""Who may call the API: whoever holds the master key."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request


@dataclass(frozen=True, slots=True)
class Caller:
    """Who holds the key of a request, by the name that rows keep of it."""

    name: str
    is_authenticated: bool = True

    def __str__(self) -> str:
        return self.name


MASTER = Caller("master key")


class MasterKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer <LAP_MASTER_KEY>``. While no key is configured nobody gets in."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, sent = get_authorization_header(request).partition(b" ")
        if not scheme:
            return None
        key = settings.LAP_MASTER_KEY.encode()
        is_right = hmac.compare_digest(sent.strip(), key)
        if scheme.lower() != b"bearer" or not key or not is_right:
            raise AuthenticationFailed
        return MASTER, MASTER

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasKey(BasePermission):
    """Lets authenticated callers pass."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.auth, Caller)


def actor(request: Request) -> str:
    """The name under which rows remember the caller."""
    return str(request.auth)
