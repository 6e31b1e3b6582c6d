"""The API of sessions. It writes rows; workers act."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api import or_not_found
from lap.core.api.authentication import actor
from lap.core.api.ids import idempotency_key, uuid_or_none
from lap.core.api.paging import Keyset, one_of
from lap.core.api.views import ApiView
from sessions import openapi
from sessions.lookup import or_not_found as session_or_not_found
from sessions.models import Session, Status, Trigger
from sessions.opening import open_session
from sessions.querysets import SessionQuerySet
from sessions.serializers import WIRE_COLUMNS, SessionFields, SessionSerializer
from sessions.stopping import stop_session

NEWEST_FIRST = Keyset("created_at", UUID)


class SessionOpening(ApiView):
    """Sessions of one agent: opens one."""

    body_limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    @openapi.open_session
    def post(self, request: Request, agent_id: str) -> Response:
        fields = self.read(SessionFields)
        with or_not_found(agent_id) as found:
            session = open_session(
                found, actor=actor(request), idempotency_key=idempotency_key(request), **fields
            )
        return Response(SessionSerializer(session).data)


class SessionList(ApiView):
    """Sessions of all agents, newest first."""

    @openapi.list_sessions
    def get(self, request: Request) -> Response:
        found = _filtered(Session.objects.only(*WIRE_COLUMNS), request)
        page, headers = NEWEST_FIRST.page(found, request)
        return Response(SessionSerializer(page, many=True).data, headers=headers)


class SessionDetail(ApiView):
    """One session."""

    @openapi.get_session
    def get(self, request: Request, session_id: str) -> Response:
        with session_or_not_found(session_id) as found:
            session = Session.objects.only(*WIRE_COLUMNS).get(id=found)
        return Response(SessionSerializer(session).data)

    @openapi.delete_session
    def delete(self, request: Request, session_id: str) -> Response:
        return _stop(session_id)


class SessionStop(ApiView):
    """Ends one session, as DELETE does."""

    @openapi.stop_session
    def post(self, request: Request, session_id: str) -> Response:
        return _stop(session_id)


def _stop(session_id: str) -> Response:
    with session_or_not_found(session_id) as found:
        status = stop_session(found, "stopped through the API")
    answer = "deleted" if status == Status.STOPPING else status
    return Response({"id": str(found), "status": answer})


def _filtered(sessions: SessionQuerySet, request: Request) -> SessionQuerySet:
    chosen = {
        "agent_id": _agent_id(request.query_params.get("agent_id")),
        "trigger": one_of(request, "trigger", Trigger.values),
        "status": one_of(request, "status", Status.values),
    }
    return sessions.filter(**{name: value for name, value in chosen.items() if value})


def _agent_id(text: str | None) -> UUID | None:
    found = uuid_or_none(text) if text else None
    if text and found is None:
        raise ValidationError({"agent_id": "must be the id of an agent"})
    return found
