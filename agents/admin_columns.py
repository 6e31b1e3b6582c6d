"""How the admin shows agents: their columns, and a filter of them."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from agents.facts import names, paths
from agents.models import Agent
from agents.schedule_state import schedule_words
from lap.core.admin import badge, time_column, utc
from lap.core.words import NOTHING


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


NAMED: Final = {
    "tools": "tool_names",
    "mcp_servers": "server_names",
    "attached_skill_ids": "skill_names",
    "sandbox_files": "file_paths",
}
"""Columns that may hold secrets, and what shows of each the names only."""


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

    @admin.display(description="disabled because")
    def disabled_reason(self, agent: Agent) -> str:
        return agent.cron_disabled_reason or NOTHING

    @admin.display(description="blocked because")
    def blocked_reason(self, agent: Agent) -> str:
        if not agent.cron_blocked_until:
            return NOTHING
        return f"{agent.cron_blocked_reason} (until {utc(agent.cron_blocked_until)})"

    @admin.display(description="tools")
    def tool_names(self, agent: Agent) -> str:
        return names(agent.tools) or NOTHING

    @admin.display(description="MCP servers")
    def server_names(self, agent: Agent) -> str:
        return names(agent.mcp_servers) or NOTHING

    @admin.display(description="attached skill ids")
    def skill_names(self, agent: Agent) -> str:
        return names(agent.attached_skill_ids) or NOTHING

    @admin.display(description="sandbox files")
    def file_paths(self, agent: Agent) -> str:
        return paths(agent.sandbox_files) or NOTHING

    last_run = time_column("cron_last_fired_at", "last run")
    created = time_column("created_at")
    updated = time_column("updated_at")


def _with_reason(pill: SafeString, reason: str) -> SafeString:
    shown = Truncator(reason).chars(120)
    return format_html('{} <span class="lap-quiet">{}</span>', pill, shown) if reason else pill
