"""Finds sessions by ids as they arrive in addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from rest_framework.exceptions import NotFound

from lap.core.api.ids import uuid_or_none
from sessions.models import Session


@contextmanager
def or_not_found(session_id: str) -> Iterator[UUID]:
    """The id as a UUID, for work that is a 404 when it names no session."""
    found = uuid_or_none(session_id)
    try:
        if found is None:
            raise Session.DoesNotExist
        yield found
    except Session.DoesNotExist:
        raise NotFound(f"session {session_id} not found") from None
