"""What the admin does to several agents at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.editing import edit_agent
from agents.models import Agent
from lap.core.admin import LapAdmin
from lap.core.errors import Conflict
from lap.web.views import actor

_FAILURES_SHOWN = 10


class ScheduleActions(LapAdmin[Agent]):
    """Actions on the schedules of selected agents, and the way for further ones."""

    actions = ["enable", "disable", "clear_schedule"]

    @admin.action(description="Enable the schedule of selected agents", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._edit_each(request, queryset, {"cron_enabled": True}, "Enabled")

    @admin.action(description="Disable the schedule of selected agents", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._edit_each(request, queryset, {"cron_enabled": False}, "Disabled")

    @admin.action(description="Clear the schedule of selected agents", permissions=["change"])
    def clear_schedule(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        self._edit_each(request, queryset, {"cron_schedule": None}, "Cleared")

    def _edit_each(
        self, request: HttpRequest, queryset: QuerySet[Agent], fields: dict[str, Any], done: str
    ) -> None:
        def edit(agent: Agent) -> None:
            edit_agent(agent.pk, fields, actor(request))

        self.for_each(request, queryset, edit, done, "schedule")

    def for_each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Agent],
        act: Callable[[Agent], object],
        done: str,
        noun: str,
    ) -> None:
        """Act on each agent by itself: what one of them refuses keeps no other from its turn.

        ``done`` and ``noun`` tell what was done, as in “Enabled 3 schedules.”
        """
        agents = self.selected(request, queryset)
        failures = list(self._failures(request, agents, act, f"{done} the {noun}."))
        if acted := len(agents) - len(failures):
            plural = "" if acted == 1 else "s"
            self.message_user(request, f"{done} {acted} {noun}{plural}.", messages.SUCCESS)
        for sentence in _shortened(failures):
            self.message_user(request, sentence, messages.ERROR)

    def _failures(
        self,
        request: HttpRequest,
        agents: Iterable[Agent],
        act: Callable[[Agent], object],
        logged: str,
    ) -> Iterator[str]:
        for agent in agents:
            try:
                act(agent)
            except ValidationError as error:
                yield f"“{agent}”: {'; '.join(error.messages)}"
            except Conflict as error:
                yield f"“{agent}”: {error}"
            except Agent.DoesNotExist:
                yield f"“{agent}”: it was deleted meanwhile"
            else:
                self.log_change(request, agent, logged)


def _shortened(sentences: list[str]) -> list[str]:
    more = len(sentences) - _FAILURES_SHOWN
    return [*sentences[:_FAILURES_SHOWN], *([f"… and {more} more."] if more > 0 else [])]
