"""The list of agents, and the pages that create, edit and delete one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib import messages
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from agents.editing import create_agent, delete_agent, edit_agent
from agents.listing import ACTIVE, DEFAULT_SHOWN_SORT, SHOWN_SORTS, page_of_agents
from agents.models import Agent
from agents.page_forms import LOCAL_HARNESS, EditAgentForm, NewAgentForm
from agents.schedule_form import PRESETS
from agents.schedule_state import next_run
from lap.core.api.paging import OFFSET_LIMIT, number_or_default
from lap.core.transactions import claim_transaction
from lap.web.live import is_unchanged, nothing_new, token_of
from lap.web.views import PageView, actor

COLUMNS: Final = (
    ("name", "Name"),
    ("schedule", "Schedule"),
    ("next", "Next run"),
    ("last", "Last run"),
    ("created", "Created"),
    ("enabled", "Enabled"),
)
COUNTED: Final = 1000
"""Up to so many rows are counted; of more it is only said that there are more."""


@dataclass(frozen=True)
class Column:
    """A column of the list; ``sort`` is what a click on its head asks for."""

    name: str
    label: str
    sort: str = ""
    order: str = ""


class AgentList(PageView):
    """All living agents: searched while typing, sorted, in pages. Every page is live."""

    reads = "agents.view_agent"

    def get(self, request: HttpRequest) -> HttpResponse:
        search = request.GET.get("search", "").strip()
        number = number_or_default(request.GET.get("page"), 1, 1, OFFSET_LIMIT)
        page = page_of_agents(search, request.GET.get("sort", ""), number)
        zone = timezone.get_current_timezone_name()
        token = token_of(zone, page.has_next, *map(_told, page.agents))
        if is_unchanged(request, token):
            return nothing_new()
        context = {
            "token": token,
            "page": page,
            "search": search,
            "columns": list(_columns(page.sort)),
            "default_sort": DEFAULT_SHOWN_SORT,
            "previous_page": number - 1 if number > 2 else None,
            "next_page": number + 1,
        }
        return self.show("agents/_found.html" if self._is_part() else "agents/list.html", context)

    def _is_part(self) -> bool:
        """Whether only the rows are asked for; a browser that goes back wants the whole page."""
        htmx = self.request.htmx
        return bool(htmx) and not htmx.history_restore_request


class NewAgent(PageView):
    """The form that creates an agent, with or without a schedule."""

    reads = writes = "agents.add_agent"

    def get(self, request: HttpRequest) -> HttpResponse:
        suggested = {"cron_timezone": timezone.get_current_timezone_name()}
        if settings.LAP_SANDBOX_BACKEND == "local":
            suggested["harness_id"] = LOCAL_HARNESS
        return self._form(NewAgentForm(initial=suggested))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = NewAgentForm(request.POST)
        if not form.is_valid():
            return self._form(form)
        fields, key = form.edited(), form.cleaned_data["key"]
        try:
            agent = create_agent(fields, actor(request), key)
        except IntegrityError:
            return self._sent_before(form, get_object_or_404(Agent, id=key))
        messages.success(request, f"Created “{agent}”.")
        return self.go(reverse("agent", args=[agent.id]))

    def _sent_before(self, form: NewAgentForm, created: Agent) -> HttpResponse:
        """Leads to what the form created; if it was edited since, asks whether that is meant."""
        if _is_as_created(created, form.edited(), actor(self.request)):
            return self.go(reverse("agent", args=[created.id]))
        form.add_error(None, "This form has created an agent already. Send it again for another.")
        return self._form(form)

    def _form(self, form: NewAgentForm) -> HttpResponse:
        context = {"form": form, "key": uuid4(), "presets": PRESETS}
        return self.show("agents/form.html", context)


class EditAgent(PageView):
    """The form that edits all of an agent but its schedule, which the agent's page edits."""

    reads = writes = "agents.change_agent"

    def get(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        return self._form(EditAgentForm(instance=_living(agent_id)))

    def post(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        """Judged and written under the agent's lock: what was judged is what is saved."""
        with claim_transaction():
            agent = _locked(agent_id)
            form = EditAgentForm(request.POST, instance=agent)
            if form.is_valid():
                agent = edit_agent(agent_id, form.edited(), actor(request))
        if not form.is_valid():
            return self._form(form)
        messages.success(request, f"Saved “{agent}”.")
        return self.go(reverse("agent", args=[agent_id]))

    def _form(self, form: EditAgentForm) -> HttpResponse:
        return self.show("agents/form.html", {"form": form, "agent": form.stored})


class DeleteAgent(PageView):
    """Says what goes with an agent, and deletes it when that is confirmed."""

    reads = writes = "agents.delete_agent"

    def get(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        agent = _living(agent_id)
        active = agent.sessions.filter(status__in=ACTIVE)
        counts = {
            "active": _count(active),
            "sessions": _count(agent.sessions.exclude(status__in=ACTIVE)),
            "fires": _count(agent.cron_fires.all()),
        }
        return self.show("agents/delete.html", {"agent": agent, **counts})

    def post(self, request: HttpRequest, agent_id: UUID) -> HttpResponse:
        agent = _living(agent_id)
        try:
            delete_agent(agent_id, actor(request))
        except Agent.DoesNotExist:
            raise Http404 from None
        messages.success(request, f"Deleted “{agent}”.")
        return self.go(reverse("agents"))


class VariableRow(PageView):
    """An empty row of the form: a variable, or a file with ``?of=sandbox_files``."""

    reads = ("agents.add_agent", "agents.change_agent")

    def get(self, request: HttpRequest) -> HttpResponse:
        is_file = request.GET.get("of") == "sandbox_files"
        return self.show(
            "agents/_file.html" if is_file else "agents/_variable.html", {"is_new": True}
        )


def _living(agent_id: UUID) -> Agent:
    return get_object_or_404(Agent.objects.alive(), id=agent_id)


def _locked(agent_id: UUID) -> Agent:
    try:
        return Agent.objects.lock(agent_id)
    except Agent.DoesNotExist:
        raise Http404 from None


def _told(agent: Any) -> dict[str, Any]:
    """What the row of an agent tells, but for times from now, which the browser counts on."""
    next_at = next_run(agent, agent.resumed_at)
    is_due = next_at is not None and next_at <= agent.shown_at
    return {**vars(agent), "_state": None, "shown_at": None, "is_due": is_due}


def _is_as_created(agent: Agent, fields: Mapping[str, Any], actor: str) -> bool:
    """Whether this person created the agent, and with these fields."""
    mine = agent.created_by == actor
    return mine and all(getattr(agent, name) == value for name, value in fields.items())


def _columns(sort: str) -> Iterator[Column]:
    """The heads of the list: a click on the one that it is sorted by turns the order round."""
    for name, label in COLUMNS:
        order = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
        link = f"-{name}" if order == "ascending" else name
        yield Column(name, label, link if name in SHOWN_SORTS else "", order)


def _count(rows: QuerySet[Any]) -> str:
    """How many there are, without reading them all."""
    found = rows[: COUNTED + 1].count()
    return str(found) if found <= COUNTED else f"more than {COUNTED}"
