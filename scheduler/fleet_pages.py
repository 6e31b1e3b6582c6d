"""What all agents are about to do, what went wrong with them, and who carries them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from agents.models import Agent
from lap.core import clock
from lap.web.views import PageView
from scheduler import fleet_state
from scheduler.fleet import Plan, herds, plan
from scheduler.fleet_charts import heat_map, timeline
from scheduler.live import LivePart, answer, live_part


@dataclass(frozen=True, slots=True)
class Part:
    """A section of the page: what it shows, and how often it may ask again."""

    label: str
    seconds: int
    context: Callable[[datetime], Mapping[str, Any]]


def _day_ahead(now: datetime) -> dict[str, Any]:
    schedules, left_out = fleet_state.shared_schedules(now)
    coming = plan(schedules, now)
    return {"left_out": left_out, **(_charts(coming) if coming.runs else _nothing_ahead())}


def _charts(coming: Plan) -> dict[str, Any]:
    zone, crowds = timezone.get_current_timezone(), herds(coming)
    return {
        "plan": coming,
        "agents": sum(schedule.agents for schedule in coming.schedules),
        "herds": crowds,
        "timeline": timeline(coming, crowds, zone),
        "heat": heat_map(coming, zone),
    }


def _nothing_ahead() -> dict[str, Any]:
    return {"has_schedules": Agent.objects.alive().exclude(cron_schedule=None).exists()}


def _coming_up(now: datetime) -> dict[str, Any]:
    return {"coming": fleet_state.coming_up(now)}


def _problems(now: datetime) -> dict[str, Any]:
    return {
        "problems": fleet_state.latest_problems(now),
        "stopped": fleet_state.stopped_agents(now),
    }


def _workers(now: datetime) -> dict[str, Any]:
    return {"workers": fleet_state.workers(), "lateness": fleet_state.lateness(now)}


PARTS: Final = {
    "day": Part("The next 24 hours", 30, _day_ahead),
    "coming": Part("Coming up", 15, _coming_up),
    "problems": Part("Latest problems", 15, _problems),
    "workers": Part("Workers", 15, _workers),
}


class FleetPage(PageView):
    """The whole page, or the one part of it that htmx asks for by ``?part``."""

    reads = "scheduler.view_cronfire"

    def get(self, request: HttpRequest) -> HttpResponse:
        now = clock.now()
        asked = request.GET.get("part", "")
        if self.request.htmx and asked in PARTS:
            return answer(request, self._part(asked, now))
        parts = {name: self._part(name, now) for name in PARTS}
        return self.show("scheduler/fleet.html", {"parts": parts})

    def _part(self, name: str, now: datetime) -> LivePart:
        part = PARTS[name]
        return live_part(
            self.request,
            f"scheduler/_fleet_{name}.html",
            part.context(now),
            id=f"fleet-{name}",
            label=part.label,
            seconds=part.seconds,
            part=name,
        )
