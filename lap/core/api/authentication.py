"""Who calls the API, and what they may do. ``lap.access`` finds out by their key."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import TextChoices
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request


class Scope(TextChoices):
    """What a key may do."""

    READ = "read", "read"
    WRITE = "write", "read and write"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who holds the key of a request, by the name that rows keep of it."""

    name: str
    scope: Scope
    is_authenticated: bool = True

    def __str__(self) -> str:
        return self.name


class HasKey(BasePermission):
    """Lets callers read, and with the scope ``write`` do everything else."""

    message = "this key may only read; use one with the scope write"

    def has_permission(self, request: Request, view: object) -> bool:
        if not isinstance(request.auth, Caller):
            return False
        only_reads = request.method in SAFE_METHODS or getattr(view, "reads_only", False)
        return only_reads or request.auth.scope == Scope.WRITE


def actor(request: Request) -> str:
    """The name under which rows remember the caller."""
    return str(request.auth)
