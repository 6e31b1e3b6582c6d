"""The API of schedules: what they are about to do, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api import find_agent, or_not_found
from agents.models import Agent
from lap.core import clock
from lap.core.api.authentication import actor
from lap.core.api.paging import Keyset, one_of
from lap.core.api.views import ApiView
from scheduler import openapi
from scheduler.cron import CronError, Preview, preview
from scheduler.models import CronFire
from scheduler.outcome import Outcome
from scheduler.serializers import (
    PREVIEW_COUNT,
    FireSerializer,
    PreviewFields,
    PreviewSerializer,
    RunFields,
)
from sessions.opening import run_now
from sessions.serializers import SessionSerializer

LATEST_FIRST = Keyset("scheduled_for", int)


class FireList(ApiView):
    """The ledger of one agent, newest first."""

    @openapi.list_fires
    def get(self, request: Request, agent_id: str) -> Response:
        fires = CronFire.objects.filter(agent=find_agent(agent_id))
        if outcome := one_of(request, "outcome", [known.value for known in Outcome]):
            fires = fires.filter(outcome=outcome)
        page, headers = LATEST_FIRST.page(fires, request)
        return Response(FireSerializer(page, many=True).data, headers=headers)


class RunNow(ApiView):
    """Manual runs of one agent: starts one, beside its schedule."""

    @openapi.run_now
    def post(self, request: Request, agent_id: str) -> Response:
        asked = self.read(RunFields)
        with or_not_found(agent_id) as found:
            session = run_now(found, actor=actor(request), **asked)
        return Response(SessionSerializer(session).data)


class CronPreview(ApiView):
    """The coming runs of a schedule before it is saved. Writes nothing."""

    reads_only = True

    @openapi.preview_schedule
    def post(self, request: Request) -> Response:
        asked = self.read(PreviewFields)
        agent = find_agent(asked["agent_id"]) if asked.get("agent_id") else None
        try:
            coming = _preview(asked, agent)
        except CronError as error:
            raise ValidationError([str(error)]) from None
        return Response(PreviewSerializer(coming).data)


def _preview(asked: Mapping[str, Any], agent: Agent | None) -> Preview:
    stored = agent or Agent()
    coming = preview(
        asked.get("cron_schedule", stored.cron_schedule) or "",
        asked.get("cron_timezone", stored.cron_timezone),
        asked.get("after") or clock.now(),
        asked.get("count", PREVIEW_COUNT),
        (agent.cron_schedule, agent.cron_timezone) if agent and agent.cron_schedule else None,
    )
    if agent and coming.added is None:  # it has no schedule yet: every run is new
        return replace(coming, added=coming.next, removed=())
    return coming
