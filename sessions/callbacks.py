"""What a sandbox may tell LAP: how far it is, with a token that is good for nothing else."""

from __future__ import annotations

import hmac
from typing import Any, Final
from uuid import UUID

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from lap.core.api.authentication import Caller, Scope
from lap.core.api.ids import uuid_or_none
from lap.core.secrets import hash_token
from sessions.models import Session, Status

PHASES: Final = ("cloning_repo", "installing_deps", "harness_listening")


class CallbackAuthentication(BaseAuthentication):
    """``Authorization: Bearer <HARNESS_PROGRESS_TOKEN>`` of the session in the address.

    ``request.auth`` is the hash of the token, which belongs to one attempt of that session; the
    sandbox is counted like the holder of a key.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if not scheme:
            return None
        session_id = request.parser_context["kwargs"]["session_id"]
        sent = hash_token(token.strip().decode("latin-1"))
        known = _known(session_id)
        if scheme.lower() != b"bearer" or not known or not hmac.compare_digest(sent, known):
            raise AuthenticationFailed
        return Caller(f"sandbox of session {session_id.lower()}", Scope.READ), sent

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _known(session_id: str) -> str:
    """The hash of the session's current token; empty when it has none."""
    found = uuid_or_none(session_id)
    if found is None:
        return ""
    hashes = Session.objects.filter(id=found).values_list("callback_token_hash", flat=True)
    return hashes.first() or ""


def report_phase(session_id: UUID, token_hash: str, phase: str, detail: str) -> None:
    """Show how far the sandbox of the token's attempt is; once it is ready nothing changes."""
    creating = Session.objects.filter(
        id=session_id, callback_token_hash=token_hash, status=Status.CREATING
    )
    creating.update(phase=phase, phase_detail=detail)
