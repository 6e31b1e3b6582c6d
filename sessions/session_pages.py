"""The page of one session, and its two live parts: the state and the thread."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta, tzinfo
from typing import Any, Final
from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone

from lap.web.live import is_unchanged, nothing_new, token_of
from lap.web.views import PageRequest, PageView
from scheduler.cron import CronError, load_zone
from sessions.conversing import HarnessFailed, read_thread, spoken_to
from sessions.failures import AS_ASKED, advice
from sessions.messages import Message
from sessions.models import Session, Status
from sessions.page_forms import MessageForm
from sessions.progress import steps
from sessions.querysets import FINAL
from sessions.thread_view import show_thread

READS: Final = "agent_sessions.view_session"
WRITES: Final = "agent_sessions.change_session"
MOVED: Final = "moved"
"""The event that tells the thread on the page to look again."""
INSTANT: Final = "%Y-%m-%d %H:%M %Z"
_CHANGING: Final = (
    "status", "phase", "phase_detail", "attempt", "tries", "worker_id", "title", "sandbox_name",
    "started_at", "prompt_sent_at", "prompt_answered_at", "stopped_at", "failure_reason",
    "failure_kind", "wiped_at",
)  # fmt: skip
_LASTING: Final = (
    "trigger", "scheduled_for", "has_prompt", "replays_thread", "run_timeout_seconds",
    "harness_id", "created_at", "created_by", "agent__name", "agent__cron_timezone",
    "agent__deleted_at", "agent__harness_id", "worker__host", "worker__pid",
)  # fmt: skip


class SessionView(PageView):
    """What the pages of one session share."""

    reads = READS
    writes = WRITES

    def page(self, session_id: UUID, form: MessageForm) -> HttpResponse:
        """The whole page, with the thread as it is stored: a harness may take its time."""
        agent_session = find(session_id)
        told = stored(agent_session)
        context = state(agent_session) | thread(agent_session, told) | {"form": form, "token": ""}
        return self.show("sessions/session.html", context)


class SessionPage(SessionView):
    """One session: how far it is, where it came from, what was said."""

    def get(self, request: PageRequest, session_id: UUID) -> HttpResponse:
        return self.page(session_id, MessageForm())


class SessionState(SessionView):
    """What changes about a session while it is looked at, but for its thread."""

    def get(self, request: PageRequest, session_id: UUID) -> HttpResponse:
        agent_session = find(session_id)
        context = state(agent_session)
        if is_unchanged(request, context["state_token"]):
            return nothing_new()
        response = self.show("sessions/_changed.html", context)
        response["HX-Trigger"] = MOVED
        return response


class SessionThread(SessionView):
    """What was said, as the harness tells it while there is one."""

    def get(self, request: PageRequest, session_id: UUID) -> HttpResponse:
        context = live_thread(find(session_id))
        if is_unchanged(request, context["token"]):
            return nothing_new()
        return self.show("sessions/_thread.html", context)


class ThreadFile(SessionView):
    """The whole thread as JSON, for what is too long for a page."""

    def get(self, request: PageRequest, session_id: UUID) -> HttpResponse:
        told, _ = _told(session_id)
        return JsonResponse(told, safe=False)


def find(session_id: UUID) -> Session:
    """A session without what may be megabytes, or secret. Raises Http404."""
    found = Session.objects.select_related("agent", "worker").only(*_CHANGING, *_LASTING)
    return get_object_or_404(found, id=session_id)


def stored(agent_session: Session) -> list[Message]:
    """The thread that is kept with a session; before there is one, its prompt."""
    if agent_session.thread or not agent_session.has_prompt:
        return list(agent_session.thread)
    text = {"type": "text", "text": agent_session.initial_prompt}
    return [{"info": {"role": "user"}, "parts": [text]}]


def live_thread(agent_session: Session) -> dict[str, Any]:
    """What the thread's template is told, as the harness tells it now."""
    told, is_read = _told(agent_session.id)
    context = thread(agent_session, told or stored(agent_session))
    context["is_unreadable"] = not is_read
    return context | {"token": token_of(context["thread"], agent_session.status, is_read)}


def _told(session_id: UUID) -> tuple[list[Message], bool]:
    """The thread, and whether it could be read; if not, it is the one that was stored last."""
    reached = get_object_or_404(spoken_to(), id=session_id)
    try:
        return read_thread(reached, at_once=True), True
    except HarnessFailed:
        return list(reached.thread), False


def thread(agent_session: Session, told: list[Message]) -> dict[str, Any]:
    """What the thread's template is told."""
    return {
        "agent_session": agent_session,
        "thread": show_thread(agent_session, told),
        "is_ready": agent_session.status == Status.READY,
        "is_final": agent_session.status in FINAL,
    }


def state(agent_session: Session) -> dict[str, Any]:
    """What the templates of everything else are told."""
    status = agent_session.status
    may_restart = status in (Status.READY, *FINAL) and not agent_session.wiped_at
    return {
        "agent_session": agent_session,
        "steps": steps(agent_session),
        "advice": advice(agent_session.failure_kind),
        "is_trouble": status == Status.FAILED or agent_session.failure_kind not in AS_ASKED,
        "time_limit": timedelta(seconds=agent_session.run_timeout_seconds or 0),
        "is_ready": status == Status.READY,
        "is_final": status in FINAL,
        "is_stoppable": status in (Status.CREATING, Status.READY),
        "is_restartable": may_restart and not agent_session.agent.deleted_at,
        "state_token": token_of(*(getattr(agent_session, name) for name in _CHANGING)),
        **_origin(agent_session),
    }


def _origin(agent_session: Session) -> Mapping[str, Any]:
    """How late a scheduled run was, its instant here and in the zone that its agent has now."""
    at = agent_session.scheduled_for
    if at is None:
        return {}
    here = timezone.get_current_timezone()
    try:
        there: tzinfo = load_zone(agent_session.agent.cron_timezone)
    except CronError:
        there = here
    return {
        "lateness": agent_session.created_at - at,
        "viewers_time": at.astimezone(here).strftime(INSTANT),
        "agents_time": at.astimezone(there).strftime(INSTANT),
    }
