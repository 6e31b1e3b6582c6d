"""Agents and the history of their schedules in Django's admin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest

from agents.admin_columns import (
    UNLINKED_COLUMNS,
    AgentColumns,
    AgentFilter,
    HasSchedule,
    agent_link,
)
from agents.editing import create_agent, delete_agent, edit_agent
from agents.forms import AgentForm
from agents.models import Agent, ScheduleChange
from agents.querysets import AgentQuerySet
from lap.core.admin import NOTHING, STYLES, ReadOnlyAdmin, time_column
from lap.core.clock import DatabaseClock

_FAILURES_SHOWN = 10


class AgentAdmin(AgentColumns, admin.ModelAdmin[Agent]):
    """Agents, written through ``agents.editing`` only: no other line here saves a row."""

    form = AgentForm
    list_display = ["title", "harness_id", "schedule", "state", "last_run", "next_run"]
    list_filter = ["cron_enabled", HasSchedule, "harness_id"]
    list_per_page = 50
    search_fields = ["name", "id"]
    search_help_text = "Part of the name or of the id"
    show_full_result_count = False
    actions = ["enable", "disable", "clear_schedule"]
    readonly_fields = [
        "words", "state", "last_run", "next_run", "disabled_reason", "blocked_reason",
        "id", "version", "created", "created_by", "updated",
    ]  # fmt: skip
    fieldsets = [
        (None, {"fields": ["name", "model", "prompt", "harness_id", "seen_version"]}),
        (
            "Schedule",
            {
                "fields": [
                    "cron_schedule", "cron_timezone", "cron_enabled", "cron_prompt",
                    "cron_overlap_policy", "cron_catchup_policy", "cron_catchup_window_seconds",
                    "cron_run_timeout_seconds", "words", "state", "last_run", "next_run",
                    "disabled_reason", "blocked_reason",
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

    class Media:
        css = STYLES

    def get_queryset(self, request: HttpRequest) -> AgentQuerySet:
        """Living agents as a list shows them: without their secrets, texts and files."""
        shown = {"id", "name", "harness_id", "created_at", "deleted_at", "version"}
        names = [field.name for field in Agent._meta.concrete_fields]
        unread = [n for n in names if n not in shown and not n.startswith("cron_")]
        return _looked_at(Agent.objects.alive()).defer("cron_prompt", *unread)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Agent | None:
        """The whole agent, locked while it is written: what was judged is what is saved."""
        agents = _looked_at(Agent.objects.alive())
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
        """Each agent by itself: what one of them refuses keeps no other from changing."""
        agents = list(queryset)
        failures = list(self._failures(request, agents, fields, done))
        if changed := len(agents) - len(failures):
            noun = "schedule" if changed == 1 else "schedules"
            self.message_user(request, f"{done} {changed} {noun}.", messages.SUCCESS)
        for sentence in _shortened(failures):
            self.message_user(request, sentence, messages.ERROR)

    def _failures(
        self, request: HttpRequest, agents: Iterable[Agent], fields: dict[str, Any], done: str
    ) -> Iterator[str]:
        for agent in agents:
            try:
                edited = edit_agent(agent.pk, fields, actor(request))
            except ValidationError as error:
                yield f"“{agent}”: {'; '.join(error.messages)}"
            except Agent.DoesNotExist:
                yield f"“{agent}”: it was deleted meanwhile"
            else:
                self.log_change(request, edited, f"{done} the schedule.")


def actor(request: HttpRequest) -> str:
    """Who is written down as the author of a change."""
    return request.user.get_username()


def _shortened(sentences: list[str]) -> list[str]:
    more = len(sentences) - _FAILURES_SHOWN
    return [*sentences[:_FAILURES_SHOWN], *([f"… and {more} more."] if more > 0 else [])]


def _looked_at(agents: AgentQuerySet) -> AgentQuerySet:
    """Agents with what only the database's clock can tell: who is due, who stepped aside."""
    is_due = Q(cron_next_fire_at__lte=DatabaseClock())
    is_blocked = Q(cron_blocked_until__gt=DatabaseClock())
    return agents.annotate(is_due=_true(is_due), is_blocked=_true(is_blocked))


def _true(condition: Q) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(condition, output_field=BooleanField())


class ScheduleChangeAdmin(ReadOnlyAdmin[ScheduleChange]):
    """What every edit did to a schedule."""

    list_display = ["changed", "agent_name", "actor", "what", "next_fire"]
    list_display_links = ["changed"]
    list_filter = [AgentFilter, "changed_at"]
    search_fields = ["agent__name", "agent__id", "actor"]
    ordering = ["-id"]
    fields = [
        "changed", "agent_name", "actor", "what", "reason", "was_next", "next_fire", "unsettled",
        "policies_before", "policies_after",
    ]  # fmt: skip

    changed = time_column("changed_at", "changed")
    was_next = time_column("next_fire_before", "next run before")
    next_fire = time_column("next_fire_after", "next run after")
    unsettled = time_column("unsettled_from", "unsettled from")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduleChange]:
        return super().get_queryset(request).select_related("agent").defer(*UNLINKED_COLUMNS)

    @admin.display(description="agent", ordering="agent__name")
    def agent_name(self, change: ScheduleChange) -> str:
        return agent_link(change)

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
