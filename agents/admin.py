"""Agents and the history of their schedules in Django's admin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from agents.admin_actions import ScheduleActions
from agents.admin_columns import NAMED, AgentColumns, HasSchedule
from agents.admin_rows import AgentFilter, AgentRowsAdmin
from agents.editing import create_agent, delete_agent, edit_agent
from agents.forms import AgentForm
from agents.listing import search_agents
from agents.models import Agent, ScheduleChange
from agents.querysets import AgentQuerySet
from agents.schedule_state import schedule_words
from lap.core import clock
from lap.core.admin import time_column
from lap.core.words import NOTHING
from lap.web.views import actor


class AgentAdmin(AgentColumns, ScheduleActions):
    """Agents, written through ``agents.editing`` only: no other line here saves a row."""

    form = AgentForm
    list_display = ["title", "harness_id", "schedule", "state", "last_run", "next_run"]
    list_filter = ["cron_enabled", HasSchedule, "harness_id"]
    search_fields = ["name"]
    search_help_text = "Part of the name, harness or id"
    readonly_fields = [
        "preview", "state", "last_run", "next_run", "disabled_reason", "blocked_reason",
        "id", "version", "created", "created_by", "updated",
    ]  # fmt: skip
    fieldsets = [
        (None, {"fields": ["name", "model", "prompt", "harness_id", "seen"]}),
        (
            "Schedule",
            {
                "fields": [
                    "cron_schedule", "cron_timezone", "cron_enabled", "preview", "state",
                    "last_run", "next_run", "disabled_reason", "blocked_reason", "cron_prompt",
                    "cron_overlap_policy", "cron_catchup_policy", "cron_catchup_window_seconds",
                    "cron_run_timeout_seconds",
                ]
            },
        ),
        (
            "Environment",
            {"fields": ["repo_url", "branch", "requirements", "env_vars", "sandbox_files"]},
        ),
        (
            "Tools, network and image",
            {
                "classes": ["collapse"],
                "fields": [
                    "tools", "mcp_servers", "attached_skill_ids", "allow_out", "deny_out",
                    "harness_image", "container_port", "preload_memory_limit", "pfp_url",
                ],
            },
        ),
        ("About", {"fields": ["id", "version", "created", "created_by", "updated"]}),
    ]  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        """Who may only look is shown what the agent's page shows: secrets by name."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return [(title, {**options, "fields": _named(options)}) for title, options in fieldsets]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Agent], search_term: str
    ) -> tuple[QuerySet[Agent], bool]:
        text = search_term.strip()
        return queryset.filter(pk__in=search_agents(text).values("pk")) if text else queryset, False

    def view_on_site(self, obj: Agent) -> str:
        return reverse("agent", args=[obj.pk])

    def get_queryset(self, request: HttpRequest) -> AgentQuerySet:
        """Living agents as a list shows them: without their secrets, texts and files."""
        shown = {"id", "name", "harness_id", "created_at", "deleted_at", "version"}
        names = [field.name for field in Agent._meta.concrete_fields]
        unread = [n for n in names if n not in shown and not n.startswith("cron_")]
        return Agent.objects.alive().looked_at(clock.now()).defer("cron_prompt", *unread)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Agent | None:
        """The whole agent, locked while it is written: what was judged is what is saved."""
        agents = Agent.objects.alive().looked_at(clock.now())
        if request.method == "POST" and connection.in_atomic_block:
            agents = agents.select_for_update(no_key=True, of=("self",))
        with suppress(Agent.DoesNotExist, ValidationError):
            return agents.get(pk=object_id)
        return None

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        if change:
            edit_agent(obj.pk, form.edited(), actor(request), version=obj.version)
        else:
            obj.pk = create_agent(form.edited(), actor(request)).pk

    def delete_model(self, request: HttpRequest, obj: Agent) -> None:
        delete_agent(obj.pk, actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        for agent_id in list(queryset.values_list("pk", flat=True)):
            with suppress(Agent.DoesNotExist):  # somebody else deleted it meanwhile
                delete_agent(agent_id, actor(request))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """The agents alone: deleting is soft, so nothing goes with them and nothing forbids it."""
        names = [str(agent) for agent in objs]
        return names, {"agents": len(names)}, set(), []

    @admin.display(description="preview")
    def preview(self, agent: Agent) -> str:
        """The schedule in words; for who may edit it, the live preview that the pages have.

        The page's template brings htmx along.
        """
        is_new = agent._state.adding
        address = reverse("schedule-preview", query=None if is_new else {"agent": agent.pk})
        return format_html(_PREVIEW, address, schedule_words(agent))


def _named(options: Any) -> list[str]:
    return [NAMED.get(name, name) for name in options["fields"]]


_PREVIEW = (
    '<div class="lap-preview" aria-live="polite" hx-get="{}" hx-sync="this:replace"'
    ' hx-trigger="load, input delay:300ms from:#id_cron_schedule,'
    ' input delay:300ms from:#id_cron_timezone, change from:#id_cron_enabled"'
    ' hx-include="#id_cron_schedule, #id_cron_timezone, #id_cron_enabled">{}</div>'
)


class ScheduleChangeAdmin(AgentRowsAdmin[ScheduleChange]):
    """What every edit did to a schedule."""

    list_display = ["changed", "agent_name", "actor", "what", "next_fire"]
    list_display_links = ["changed"]
    list_filter = [AgentFilter, "changed_at"]
    ordering = ["-id"]
    fields = [
        "changed", "agent_name", "actor", "what", "reason", "was_next", "next_fire", "unsettled",
        "policies_before", "policies_after",
    ]  # fmt: skip

    search_help_text = f"{AgentRowsAdmin.search_help_text}; or the whole name of the actor"

    changed = time_column("changed_at", "changed")
    was_next = time_column("next_fire_before", "next run before")
    next_fire = time_column("next_fire_after", "next run after")
    unsettled = time_column("unsettled_from", "unsettled from")

    def found(self, text: str) -> Q:
        return super().found(text) | Q(actor=text)

    @admin.display(description="change")
    def what(self, change: ScheduleChange) -> str:
        return "; ".join(_differences(change)) or NOTHING


def _differences(change: ScheduleChange) -> Iterator[str]:
    before = _pair(change.schedule_before, change.timezone_before)
    after = _pair(change.schedule_after, change.timezone_after)
    if before != after:
        yield f"{before} → {after}"
    if change.enabled_before != change.enabled_after:
        yield "enabled" if change.enabled_after else "disabled"
    for name, value in change.policies_after.items():
        if value != change.policies_before.get(name):
            yield f"{name.removeprefix('cron_')} changed"


def _pair(schedule: str | None, timezone: str) -> str:
    return f"{schedule} ({timezone})" if schedule else f"no schedule ({timezone})"


admin.site.register(Agent, AgentAdmin)
admin.site.register(ScheduleChange, ScheduleChangeAdmin)
