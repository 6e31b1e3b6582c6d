"""The ledger in Django's admin, and what it adds to the page of an agent."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from agents.admin import AgentAdmin
from agents.admin_rows import AgentFilter, AgentRowsAdmin
from agents.models import Agent
from lap.core.admin import (
    badge,
    list_link,
    row_link,
    time_column,
    utc,
)
from lap.core.words import NOTHING, span
from lap.web.views import actor
from scheduler.models import OUTCOME_LABELS, CronFire
from scheduler.outcome import Outcome
from sessions.admin import length, status_badge
from sessions.opening import run_now

RECENT_FIRES = 20
FEW_ROWS: Final = 5000

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


def why(fire: CronFire) -> str:
    """The reason that was recorded, else the outcome in words; nothing where a run started."""
    if fire.reason or fire.outcome == Outcome.STARTED:
        return fire.reason or NOTHING
    return OUTCOME_LABELS[Outcome(fire.outcome)]


def delay(fire: CronFire) -> str:
    """From the instant, or the last one of a run of instants, to the decision."""
    return span(fire.decided_at - (fire.scheduled_until or fire.scheduled_for))


def session_link(fire: CronFire) -> str:
    """A link to the session that was started."""
    if fire.session_id is None:
        return NOTHING
    return row_link("agent_sessions_session", fire.session_id, str(fire.session_id)[:8])


class CronFireAdmin(AgentRowsAdmin[CronFire]):
    """What became of every instant, the latest decisions first."""

    list_display = ["scheduled", "agent_name", "became", "explained", "started", "delay"]
    list_display_links = ["scheduled"]
    list_filter = ["outcome", AgentFilter, "scheduled_for"]
    ordering = ["-id"]
    fields = ["scheduled", "agent_name", "became", "explained", "started", "delay", "decided"]

    decided = time_column("decided_at")

    @admin.display(description="scheduled for")
    def scheduled(self, fire: CronFire) -> str:
        return instants(fire)

    @admin.display(description="outcome")
    def became(self, fire: CronFire) -> str:
        return outcome_badge(fire)

    @admin.display(description="reason")
    def explained(self, fire: CronFire) -> str:
        return why(fire)

    @admin.display(description="delay")
    def delay(self, fire: CronFire) -> str:
        return delay(fire)

    @admin.display(description="session")
    def started(self, fire: CronFire) -> str:
        return session_link(fire)


class LastOutcome(admin.SimpleListFilter):
    """Agents by what became of their newest instant."""

    title = "last outcome"
    parameter_name = "last_outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(outcome.value, label) for outcome, label in OUTCOME_LABELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> QuerySet[Agent]:
        if self.value() not in set(Outcome):
            return queryset
        newest = CronFire.objects.filter(agent=OuterRef("pk")).order_by("-scheduled_for")
        last = Subquery(newest.values("outcome")[:1])
        agents = _with_outcome(queryset, self.value())
        return agents.alias(last_outcome=last).filter(last_outcome=self.value())


def _with_outcome(agents: QuerySet[Agent], outcome: str | None) -> QuerySet[Agent]:
    """Only agents that ever had a rare outcome, so that not all are asked for their newest one.

    Where the outcome is a common one, a page of agents is soon full without this.
    """
    rows = CronFire.objects.filter(outcome=outcome).order_by()
    had_it = list(rows.values_list("agent_id", flat=True)[: FEW_ROWS + 1])
    return agents if len(had_it) > FEW_ROWS else agents.filter(pk__in=set(had_it))


class ScheduledAgentAdmin(AgentAdmin):
    """Agents with what the ledger knows of them, and the runs that an operator starts."""

    list_filter = [*AgentAdmin.list_filter[:2], LastOutcome, *AgentAdmin.list_filter[2:]]
    actions = [*AgentAdmin.actions, "run"]
    readonly_fields = [*AgentAdmin.readonly_fields, "recent_fires", "history"]

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        return [*fieldsets, ("Recent fires", {"fields": ["recent_fires", "history"]})]

    @admin.action(description="Run selected agents now", permissions=["change"])
    def run(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        def start(agent: Agent) -> None:
            run_now(agent.pk, actor=actor(request))

        self.for_each(request, queryset, start, "Started", "run")

    @admin.display(description="ledger")
    def recent_fires(self, agent: Agent) -> str:
        fires = CronFire.objects.filter(agent=agent).select_related("session")
        shown = fires.only(*_FIRE_COLUMNS)[:RECENT_FIRES]
        rows = format_html_join("", _ROW, map(_cells, shown))
        return format_html(_TABLE, rows) if rows else NOTHING

    @admin.display(description="all")
    def history(self, agent: Agent) -> str:
        links = (
            list_link("scheduler_cronfire", "Ledger", agent__id__exact=agent.pk),
            list_link("agent_sessions_session", "Sessions", agent__id__exact=agent.pk),
            list_link("agents_schedulechange", "Schedule changes", agent__id__exact=agent.pk),
        )
        return format_html("{} · {} · {}", *links)


_FIRE_COLUMNS: Final = (
    "scheduled_for", "scheduled_until", "count", "outcome", "reason", "decided_at",
    "session__status", "session__started_at", "session__stopped_at",
)  # fmt: skip
_HEADS: Final = ("Scheduled for", "Outcome", "Reason", "Delay", "Session", "Duration")
_TABLE: Final = format_html(
    '<table class="lap-fires"><thead><tr>{}</tr></thead><tbody>{{}}</tbody></table>',
    format_html_join("", '<th scope="col">{}</th>', ((head,) for head in _HEADS)),
)
_ROW: Final = f"<tr>{'<td>{}</td>' * len(_HEADS)}</tr>"


def _cells(fire: CronFire) -> tuple[str, ...]:
    session = fire.session
    opened = format_html("{} {}", session_link(fire), status_badge(session)) if session else NOTHING
    lasted = span(length(session)) if session else NOTHING
    return instants(fire), outcome_badge(fire), why(fire), delay(fire), opened, lasted


admin.site.register(CronFire, CronFireAdmin)
admin.site.unregister(Agent)
admin.site.register(Agent, ScheduledAgentAdmin)
