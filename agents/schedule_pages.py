"""The page of an agent and the editor of its schedule."""

from __future__ import annotations

from copy import copy
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django_htmx.http import trigger_client_event

from agents.editing import edit_agent
from agents.facts import facts_of
from agents.listing import ACTIVE, shown_agents
from agents.models import Agent
from agents.schedule_form import PRESETS, ScheduleForm, meanwhile_of
from agents.schedule_preview import Typed, outlook_of, problem_of
from agents.schedule_state import state_of
from agents.schedule_zones import browse, search
from lap.core import clock
from lap.core.transactions import claim_transaction
from lap.web.views import PageView, actor

ROW = "agents/_schedule.html"
EDITOR = "agents/_schedule_editor.html"
PAGE = "agents/agent.html"
SEES_OR_ADDS = ("agents.view_agent", "agents.add_agent")
"""Whoever sees agents, or creates one, is helped to write a schedule."""


class AgentPage(PageView):
    """An agent: its configuration, its schedule, its runs. For htmx, the schedule's row alone."""

    reads = "agents.view_agent"

    def get(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        agent = _agent_or_404(agent_id)
        target = self.request.htmx.target
        if target is None:
            return self.show(PAGE, _page_context(agent))
        is_cancelled = target == "schedule"
        return self.show(ROW, _row_context(agent) | {"focus": "edit" if is_cancelled else ""})


class EditSchedule(PageView):
    """The editor of a schedule: in the place of its row, or on the agent's page."""

    reads = writes = "agents.change_agent"

    def get(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        agent = _agent_or_404(agent_id)
        return self._editor(agent, ScheduleForm(instance=copy(agent)))

    def post(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        with claim_transaction():
            agent = _locked_or_404(agent_id)
            form = ScheduleForm(request.POST, instance=copy(agent))
            if form.is_valid():
                agent = edit_agent(agent_id, form.edited(), actor(request))
        return self._editor(agent, form) if form.errors else self._saved(agent)

    def _editor(self, agent: Agent, form: ScheduleForm) -> HttpResponse:
        context = _editor_context(agent, form)
        if self.request.htmx:
            return self.show(EDITOR, context)
        return self.show(PAGE, _page_context(agent) | context)

    def _saved(self, agent: Agent) -> HttpResponse:
        if self.request.htmx:
            row = self.show(ROW, _row_context(agent) | {"is_saved": True, "focus": "edit"})
            return trigger_client_event(row, "look", after="settle")  # for the runs below
        messages.success(self.request, "Schedule saved.")
        return self.go(reverse("agent", args=[agent.id]))


class ToggleSchedule(PageView):
    """Switches a schedule on (``enabled=on``) or off, from its row or ``from=list``."""

    reads = writes = "agents.change_agent"

    def post(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        refused = ""
        try:
            fields = {"cron_enabled": request.POST.get("enabled") == "on"}
            edit_agent(agent_id, fields, actor(request))
        except Agent.DoesNotExist:
            raise _unknown() from None
        except ValidationError as error:
            refused = error.messages[0]
        return self._toggled(agent_id, refused, in_list=request.POST.get("from") == "list")

    def _toggled(self, agent_id: UUID, refused: str, *, in_list: bool) -> HttpResponse:
        if not self.request.htmx:
            if refused:
                messages.error(self.request, refused)
            return self.go(reverse("agents") if in_list else reverse("agent", args=[agent_id]))
        if in_list:
            row = shown_agents(Agent.objects.alive()).get(id=agent_id)
            return self.show("agents/_row.html", {"agent": row, "error": refused})
        context = _row_context(_agent_or_404(agent_id))
        return self.show(ROW, context | {"refused": refused, "focus": "switch"})


class SchedulePreview(PageView):
    """What a schedule would do, as a fragment; 200 also for one that is refused.

    Query: ``cron_schedule``, ``cron_timezone``, ``cron_enabled`` (``on`` or absent) and the id of
    the ``agent`` whose stored schedule it would replace, if there is one.
    """

    reads = SEES_OR_ADDS

    def get(self, request: HttpRequest) -> HttpResponse:
        typed = Typed(
            expression=request.GET.get("cron_schedule", ""),
            timezone=request.GET.get("cron_timezone", "UTC"),
            is_enabled=request.GET.get("cron_enabled") == "on",
            agent=self._compared(),
        )
        return self.show("agents/_preview.html", _preview_context(typed))

    def _compared(self) -> Agent | None:
        may_see = self.request.user.has_perm("agents.view_agent")
        return _agent_or_none(self.request.GET.get("agent", "")) if may_see else None


class ZoneList(PageView):
    """The options of the zone picker, for the text ``q``; all zones for none.

    ``cron_timezone`` is the one that is chosen now.
    """

    reads = SEES_OR_ADDS

    def get(self, request: HttpRequest) -> HttpResponse:
        text, now = request.GET.get("q", "").strip(), clock.now()
        viewer, chosen = timezone.get_current_timezone_name(), request.GET.get("cron_timezone", "")
        groups = search(text, now) if text else browse(viewer, chosen, now)
        return self.show("agents/_zones.html", {"groups": groups, "text": text})


def _page_context(agent: Agent) -> dict[str, Any]:
    is_active = agent.sessions.filter(status__in=ACTIVE).exists()
    return _row_context(agent) | {"facts": facts_of(agent), "is_active": is_active}


def _row_context(agent: Agent) -> dict[str, Any]:
    return {"agent": agent, "schedule": state_of(agent, clock.now())}


def _editor_context(agent: Agent, form: ScheduleForm) -> dict[str, Any]:
    typed = Typed(
        expression=form["cron_schedule"].value() or "",
        timezone=form["cron_timezone"].value() or "",
        is_enabled=bool(form["cron_enabled"].value()),
        agent=agent,
    )
    meanwhile = meanwhile_of(form, agent)
    # After a conflict was told, saving once more is meant: the form carries what is stored now.
    seen = form["seen"].initial if meanwhile else form["seen"].value()
    return _preview_context(typed) | {
        "agent": agent, "form": form, "seen": seen, "meanwhile": meanwhile, "presets": PRESETS,
    }  # fmt: skip


def _preview_context(typed: Typed) -> dict[str, Any]:
    problem = problem_of(typed)
    if problem or typed.is_blank:
        return {"problem": problem, "typed": typed}
    return {"typed": typed, "outlook": outlook_of(typed, clock.now())}


def _agent_or_404(agent_id: UUID) -> Agent:
    agent = Agent.objects.alive().filter(id=agent_id).first()
    if agent is None:
        raise _unknown()
    return agent


def _locked_or_404(agent_id: UUID) -> Agent:
    try:
        return Agent.objects.lock(agent_id)
    except Agent.DoesNotExist:
        raise _unknown() from None


def _agent_or_none(text: str) -> Agent | None:
    try:
        return Agent.objects.alive().filter(id=text).first() if text else None
    except ValidationError:  # no UUID
        return None


def _unknown() -> Http404:
    return Http404("No such agent.")
