"""How the admin shows agents: their columns, links to them, filters by them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from agents.models import Agent
from lap.core.admin import NOTHING, badge, row_link, time_column, utc
from scheduler.cron import CronError, describe

UNLINKED_COLUMNS = tuple(
    f"agent__{field.name}"
    for field in Agent._meta.concrete_fields
    if field.name not in {"id", "name", "deleted_at"}
)
"""What a list that only links to its agents need not read, secrets above all."""


class HasSchedule(admin.SimpleListFilter):
    """Agents with or without a schedule."""

    title = "schedule"
    parameter_name = "schedule"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "With a schedule"), ("no", "Without one")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        if self.value() not in {"yes", "no"}:
            return queryset
        return queryset.filter(cron_schedule__isnull=self.value() == "no")


class AgentFilter(admin.SimpleListFilter):
    """Rows of the one agent that a link names; not a list of all agents to choose from."""

    title = "agent"
    parameter_name = "agent__id__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        asked = request.GET.get(self.parameter_name)
        with suppress(Agent.DoesNotExist, ValidationError):
            return [(asked, str(Agent.objects.only("name").get(pk=asked)))] if asked else []
        return []

    def has_output(self) -> bool:
        return self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        if not self.value():
            return queryset
        try:
            return queryset.filter(agent=self.value())
        except ValidationError as error:
            raise IncorrectLookupParameters(error) from None


def schedule_words(agent: Agent) -> str:
    """The schedule as a sentence that ends with its zone, or why there is none."""
    if not agent.cron_schedule:
        return NOTHING
    with suppress(CronError):
        return describe(agent.cron_schedule, agent.cron_timezone)
    return f"not valid: {agent.cron_schedule} ({agent.cron_timezone})"


def agent_link(row: Any) -> str:
    """A link to the agent of a session, fire or change; a deleted one has no page any more."""
    if row.agent.deleted_at:
        return f"{row.agent} (deleted)"
    return row_link("agents_agent", row.agent_id, row.agent)


class AgentColumns:
    """What lists and pages show of an agent, beside its columns."""

    @admin.display(description="agent", ordering="name")
    def title(self, agent: Agent) -> str:
        return str(agent)

    @admin.display(description="schedule", ordering="cron_schedule")
    def schedule(self, agent: Agent) -> str:
        if not agent.cron_schedule:
            return NOTHING
        words = schedule_words(agent)
        return format_html('{}<br><code class="lap-quiet">{}</code>', words, agent.cron_schedule)

    @admin.display(description="state", ordering="cron_enabled")
    def state(self, agent: Agent) -> str:
        if not agent.cron_enabled:
            return _with_reason(badge("paused", "warn"), agent.cron_disabled_reason)
        if getattr(agent, "is_blocked", False):
            return _with_reason(badge("blocked", "bad"), agent.cron_blocked_reason)
        return badge("enabled", "good") if agent.cron_schedule else badge("no schedule")

    @admin.display(description="next run", ordering="cron_next_fire_at")
    def next_run(self, agent: Agent) -> str:
        if not agent.cron_schedule or not agent.pk:
            return NOTHING
        if not agent.cron_enabled:
            return "paused"
        since = "due since " if getattr(agent, "is_due", False) else ""
        return since + utc(agent.cron_next_fire_at)

    @admin.display(description="in words")
    def words(self, agent: Agent) -> str:
        return schedule_words(agent)

    @admin.display(description="disabled because")
    def disabled_reason(self, agent: Agent) -> str:
        return agent.cron_disabled_reason or NOTHING

    @admin.display(description="blocked because")
    def blocked_reason(self, agent: Agent) -> str:
        if not agent.cron_blocked_until:
            return NOTHING
        return f"{agent.cron_blocked_reason} (until {utc(agent.cron_blocked_until)})"

    last_run = time_column("cron_last_fired_at", "last run")
    created = time_column("created_at")
    updated = time_column("updated_at")


def _with_reason(pill: SafeString, reason: str) -> SafeString:
    shown = Truncator(reason).chars(120)
    return format_html('{} <span class="lap-quiet">{}</span>', pill, shown) if reason else pill
