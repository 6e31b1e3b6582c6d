"""The ledger in Django's admin, and what it adds to the page of an agent."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from agents.admin import AgentAdmin
from agents.admin_columns import UNLINKED_COLUMNS, AgentFilter, agent_link
from agents.models import Agent
from lap.core.admin import (
    NOTHING,
    ReadOnlyAdmin,
    badge,
    list_link,
    row_link,
    span,
    time_column,
    utc,
)
from scheduler.models import CronFire
from scheduler.outcome import Outcome

RECENT_FIRES = 20

_KINDS = {
    Outcome.STARTED: "good",
    Outcome.SKIPPED_OVERLAP: "warn",
    Outcome.MISSED: "bad",
    Outcome.INVALID_SCHEDULE: "bad",
}


def outcome_badge(fire: CronFire) -> str:
    """What became of an instant, as a pill."""
    return badge(fire.outcome.replace("_", " "), _KINDS.get(Outcome(fire.outcome), "plain"))


def instants(fire: CronFire) -> str:
    """The instant of a row, or from when to when and how many it stands for."""
    if fire.scheduled_until is None:
        return utc(fire.scheduled_for)
    first, last = utc(fire.scheduled_for), utc(fire.scheduled_until)
    return format_html("{}<br>to {}<br>({} instants)", first, last, fire.count)


def session_link(fire: CronFire) -> str:
    """A link to the session that was started."""
    if fire.session_id is None:
        return NOTHING
    return row_link("agent_sessions_session", fire.session_id, str(fire.session_id)[:8])


class CronFireAdmin(ReadOnlyAdmin[CronFire]):
    """What became of every instant."""

    list_display = ["scheduled", "agent_name", "became", "reason", "started", "delay"]
    list_display_links = ["scheduled"]
    list_filter = ["outcome", AgentFilter, "scheduled_for"]
    search_fields = ["agent__name", "agent__id"]
    search_help_text = "Part of the agent's name or id"
    fields = ["scheduled", "agent_name", "became", "reason", "started", "decided"]

    decided = time_column("decided_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[CronFire]:
        return super().get_queryset(request).select_related("agent").defer(*UNLINKED_COLUMNS)

    @admin.display(description="scheduled for", ordering="scheduled_for")
    def scheduled(self, fire: CronFire) -> str:
        return instants(fire)

    @admin.display(description="agent", ordering="agent__name")
    def agent_name(self, fire: CronFire) -> str:
        return agent_link(fire)

    @admin.display(description="outcome", ordering="outcome")
    def became(self, fire: CronFire) -> str:
        return outcome_badge(fire)

    @admin.display(description="delay")
    def delay(self, fire: CronFire) -> str:
        """From the instant, or the last one of a run of instants, to the decision."""
        return span(fire.decided_at - (fire.scheduled_until or fire.scheduled_for))

    @admin.display(description="session")
    def started(self, fire: CronFire) -> str:
        return session_link(fire)


class ScheduledAgentAdmin(AgentAdmin):
    """The page of an agent with its recent fires and the ways to all of its history."""

    readonly_fields = [*AgentAdmin.readonly_fields, "recent_fires", "history"]

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        return [*fieldsets, ("Recent fires", {"fields": ["recent_fires", "history"]})]

    @admin.display(description="ledger")
    def recent_fires(self, agent: Agent) -> str:
        fires = CronFire.objects.filter(agent=agent)[:RECENT_FIRES]
        rows = [
            (instants(f), outcome_badge(f), f.reason or NOTHING, session_link(f)) for f in fires
        ]
        return format_html(_TABLE, format_html_join("", _ROW, rows)) if rows else NOTHING

    @admin.display(description="all")
    def history(self, agent: Agent) -> str:
        links = (
            list_link("scheduler_cronfire", "Ledger", agent__id__exact=agent.pk),
            list_link("agent_sessions_session", "Sessions", agent__id__exact=agent.pk),
            list_link("agents_schedulechange", "Schedule changes", agent__id__exact=agent.pk),
        )
        return format_html("{} · {} · {}", *links)


_TABLE = (
    '<table class="lap-fires"><thead><tr><th scope="col">Scheduled for</th>'
    '<th scope="col">Outcome</th><th scope="col">Reason</th><th scope="col">Session</th></tr>'
    "</thead><tbody>{}</tbody></table>"
)
_ROW = "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>"


admin.site.register(CronFire, CronFireAdmin)
admin.site.unregister(Agent)
admin.site.register(Agent, ScheduledAgentAdmin)
