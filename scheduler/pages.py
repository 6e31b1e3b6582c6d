"""The pages of one agent's history, and running it now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from agents.models import Agent
from lap.core.errors import Conflict
from lap.web.views import PageView, actor
from scheduler.cron import CronError, load_zone
from scheduler.live import LivePart, answer, live_part
from scheduler.outcome import Outcome
from scheduler.runs import MANUAL, history
from sessions.models import Session
from sessions.opening import run_now

ROWS: Final = 50
EMBEDDED_ROWS: Final = 10
STRIP: Final = 30
SECONDS: Final = 10
SEES_SESSIONS: Final = "agent_sessions.view_session"

FILTERS: Final = {
    "": "All",
    Outcome.STARTED.value: "Started",
    MANUAL: "Manual",
    Outcome.SKIPPED_OVERLAP.value: "Skipped",
    Outcome.MISSED.value: "Missed",
    Outcome.COALESCED.value: "Folded",
    Outcome.PAUSED.value: "Paused",
    Outcome.SUPERSEDED.value: "Superseded",
    Outcome.INVALID_SCHEDULE.value: "Invalid",
}
_AGENT_COLUMNS: Final = (
    "name", "cron_schedule", "cron_timezone", "cron_enabled", "cron_next_fire_at",
    "cron_disabled_reason",
)  # fmt: skip


class RunList(PageView):
    """What became of an agent's instants, newest first.

    The fragment is a short list for the agent's page, or what the full page asks again.
    """

    reads = "scheduler.view_cronfire"

    def get(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        agent = _find(agent_id)
        is_whole = not self.request.htmx or "whole" in request.GET
        part = self._whole(agent) if is_whole else self._short(agent)
        if self.request.htmx:
            return answer(request, part)
        return self.show("scheduler/runs.html", {"agent": agent, "part": part})

    def _short(self, agent: Agent) -> LivePart:
        runs, _ = history(agent.id, STRIP)
        context = {"runs": runs[:EMBEDDED_ROWS], "strip": runs[::-1], "is_short": True}
        return self._part(agent, context, seconds=SECONDS)

    def _whole(self, agent: Agent) -> LivePart:
        only = self.request.GET.get("only", "")
        only = only if only in FILTERS else ""
        before = _instant(self.request.GET.get("before", ""))
        runs, has_older = history(agent.id, ROWS, only=only, before=before)
        is_newest = not only and before is None
        latest = runs[:STRIP] if is_newest else history(agent.id, STRIP)[0]
        older = {"only": only, "before": runs[-1].at.isoformat()} if has_older else {}
        context = {
            "runs": runs,
            "strip": latest[::-1],
            "only": only,
            "filters": FILTERS.items(),
            "before": before,
            "older": urlencode(older),
        }
        return self._part(agent, context, seconds=0 if before else SECONDS, only=only, whole="1")

    def _part(
        self, agent: Agent, context: dict[str, Any], *, seconds: int, **query: str
    ) -> LivePart:
        return live_part(
            self.request,
            "scheduler/_runs.html",
            {"agent": agent, "second_zone": _second_zone(agent), **context},
            id="runs",
            label="Runs",
            seconds=seconds,
            **query,
        )


class RunAgent(PageView):
    """Starts a run of an agent beside its schedule; asks first where one is active already."""

    reads = writes = "agents.change_agent"

    def get(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        agent = _find(agent_id)
        active = Session.objects.active_runs_of([agent_id]).only("trigger", "status", "created_at")
        context = {"agent": agent, "active": active.order_by("created_at")}
        return self.show("scheduler/run_agent.html", context)

    def post(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        is_forced = request.POST.get("force") == "1"
        try:
            agent_session = run_now(agent_id, actor=actor(request), force=is_forced)
        except Agent.DoesNotExist:
            raise Http404("There is no such agent.") from None
        except Conflict:
            return self.go(reverse("run-agent", args=[agent_id]))
        if request.user.has_perm(SEES_SESSIONS):
            messages.success(request, "The run was started.")
            return self.go(reverse("session", args=[agent_session.id]))
        messages.success(
            request, f"The run was started. Seeing it needs the permission {SEES_SESSIONS}."
        )
        return self.go(reverse("agent", args=[agent_id]))


def _find(agent_id: UUID) -> Agent:
    agent: Agent = get_object_or_404(Agent.objects.alive().only(*_AGENT_COLUMNS), id=agent_id)
    return agent


def _second_zone(agent: Agent) -> ZoneInfo | None:
    """The agent's zone where it is another one than the viewer's; None also where there is none."""
    try:
        zone = load_zone(agent.cron_timezone)
    except CronError:
        return None
    return None if zone.key == timezone.get_current_timezone_name() else zone


def _instant(text: str) -> datetime | None:
    """Where a page begins; None, the newest page, for anything that no page handed out."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.utcoffset() == timedelta(0) else None
