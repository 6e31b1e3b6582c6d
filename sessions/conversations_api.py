"""The API of conversations: what is said to a session, and what its sandbox reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from lap.core.api.views import ApiView
from sessions import conversations_openapi as openapi
from sessions import conversing
from sessions.callbacks import CallbackAuthentication, report_phase
from sessions.conversation_serializers import MessageFields, PhaseFields
from sessions.conversing import HarnessFailed, NotReady
from sessions.lookup import or_not_found
from sessions.models import Session
from sessions.restarting import restart_session
from sessions.serializers import SessionSerializer


class SessionMessage(ApiView):
    """Messages to one session."""

    body_limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    @openapi.send_message
    def post(self, request: Request, session_id: str) -> Response:
        parts = self.read(MessageFields)["parts"]
        session = _find(session_id)
        try:
            return _answer(lambda: conversing.send_message(session, parts))
        except NotReady:
            raise NotFound(f"session {session_id} is not ready: it is {session.status}") from None


class SessionMessages(ApiView):
    """The thread of one session."""

    @openapi.list_messages
    def get(self, request: Request, session_id: str) -> Response:
        session = _find(session_id)
        return _answer(lambda: conversing.read_thread(session))


class SessionAbort(ApiView):
    """Ends the running turn of one session."""

    @openapi.abort_turn
    def post(self, request: Request, session_id: str) -> Response:
        session = _find(session_id)
        return _answer(lambda: {"ok": conversing.abort_turn(session)})


class SessionRestart(ApiView):
    """Begins one session anew."""

    @openapi.restart_session
    def post(self, request: Request, session_id: str) -> Response:
        session = _find(session_id)
        conversing.save_before_restart(session)
        with or_not_found(session_id) as found:
            restarted = restart_session(found)
        return Response(SessionSerializer(restarted).data)


class HasCallbackToken(BasePermission):
    """Lets the session's own sandbox pass, and nobody else."""

    def has_permission(self, request: Request, view: object) -> bool:
        return isinstance(request.auth, str)


class SessionPhase(ApiView):
    """Reports from inside the sandbox of one session."""

    authentication_classes = (CallbackAuthentication,)
    permission_classes = (HasCallbackToken,)

    @openapi.report_phase
    def post(self, request: Request, session_id: str) -> Response:
        fields = self.read(PhaseFields)
        token_hash = str(request.auth)
        report_phase(UUID(session_id), token_hash, fields["phase"], fields.get("detail") or "")
        return Response({"ok": True})


def _find(session_id: str) -> Session:
    with or_not_found(session_id) as found:
        return conversing.spoken_to().get(id=found)


def _answer(ask: Callable[[], Any]) -> Response:
    """What the harness says, or a 502."""
    try:
        return Response(ask())
    except HarnessFailed:
        return Response({"error": "harness request failed"}, status=502)
