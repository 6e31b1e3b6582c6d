"""The list of sessions, and the page that opens one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.text import Truncator
from django_htmx.http import push_url

from agents.models import Agent
from lap.core.errors import Conflict
from lap.web.live import is_unchanged, nothing_new, token_of
from lap.web.views import PageRequest, PageView, actor
from sessions.listing import NAMED_LIMIT, newest_states, read_page, states_of
from sessions.models import Session
from sessions.opening import open_session
from sessions.page_forms import FiltersForm, NewSessionForm
from sessions.progress import doing
from sessions.session_pages import READS

NOTE_LIMIT: Final = 100


@dataclass(frozen=True)
class Row:
    """A line of the list. Runs go by their instant, conversations by a label."""

    session: Session
    at: datetime | None
    label: str
    note: str


class SessionList(PageView):
    """Sessions of all agents, newest first. The first page is live."""

    reads = READS

    def get(self, request: PageRequest) -> HttpResponse:
        form = FiltersForm(request.GET, auto_id="filter_%s", label_suffix="")
        if "token" in request.GET and is_unchanged(
            request, token_of(newest_states(form.filters()))
        ):
            return nothing_new()
        context = self._rows(form, request.GET.get("before", ""))
        if not request.htmx or request.htmx.history_restore_request:
            return self.show("sessions/list.html", context)
        response = self.show("sessions/_rows.html", context)
        return response if "token" in request.GET else push_url(response, context["address"])

    def _rows(self, form: FiltersForm, before: str) -> dict[str, Any]:
        chosen = form.chosen()
        try:
            found, following = read_page(form.filters(), before)
        except ValueError:
            raise Http404 from None
        return {
            "form": form,
            "rows": [_row(agent_session) for agent_session in found],
            "is_filtered": bool(chosen),
            "is_first_page": not before,
            "agent": _agent(chosen),
            "agents_limit": NAMED_LIMIT if form.named and form.named[1] else None,
            "address": _address(chosen),
            "live_address": _address(chosen, token=token_of(states_of(found))),
            "any_agent": _address({**chosen, "agent": ""}),
            "older": _address(chosen, before=str(following)) if following else "",
        }


class NewSession(PageView):
    """Opens a conversation with an agent."""

    reads = writes = "agent_sessions.add_session"

    def get(self, request: PageRequest, agent_id: UUID) -> HttpResponse:
        return self._page(agent_id, NewSessionForm(initial={"key": f"page-{uuid4()}"}))

    def post(self, request: PageRequest, agent_id: UUID) -> HttpResponse:
        form = NewSessionForm(request.POST)
        if not form.is_valid():
            return self._page(agent_id, form)
        try:
            opened = open_session(agent_id, actor=actor(request), **form.request())
        except Agent.DoesNotExist:
            raise Http404 from None
        except Conflict:
            form.add_error(None, "This form has been sent already. Open a new one.")
            return self._page(agent_id, form)
        return self.go(reverse("session", args=[opened.id]))

    def _page(self, agent_id: UUID, form: NewSessionForm) -> HttpResponse:
        agent = get_object_or_404(Agent.objects.alive(), id=agent_id)
        return self.show("sessions/new.html", {"agent": agent, "form": form})


def _row(agent_session: Session) -> Row:
    at = agent_session.scheduled_for or agent_session.created_at
    opening: str = agent_session.title or getattr(agent_session, "opening", "")
    return Row(
        agent_session,
        at if agent_session.is_run else None,
        _line(opening) or "Conversation",
        doing(agent_session) or _line(agent_session.failure_reason or ""),
    )


def _line(text: str) -> str:
    return Truncator(" ".join(text.split())).chars(NOTE_LIMIT)


def _agent(chosen: dict[str, str]) -> Agent | str | None:
    """The agent that the list is narrowed to; of one that never was, its id."""
    if "agent" not in chosen:
        return None
    return Agent.objects.only("name").filter(id=chosen["agent"]).first() or chosen["agent"]


def _address(chosen: dict[str, str], **more: str) -> str:
    """The list with these filters."""
    query = urlencode({name: value for name, value in {**chosen, **more}.items() if value})
    return f"{reverse('sessions')}?{query}" if query else reverse("sessions")
