"""Ids as they arrive in addresses, bodies and headers."""

import re
from uuid import UUID

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

_KEY = re.compile(r"[!-~]{1,200}", re.ASCII)


def uuid_or_none(text: str) -> UUID | None:
    """The id written in its usual form, hyphens included; None for anything else."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None


def idempotency_key(request: Request) -> str:
    """The caller's name for this request; empty without one. Raises ValidationError."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if key and not _KEY.fullmatch(key):
        raise ValidationError({"Idempotency-Key": "must be 1 to 200 visible ASCII characters"})
    return key
