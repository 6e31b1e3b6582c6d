"""What can be done to a session from its page."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse

from lap.core.errors import Conflict
from lap.web.views import PageRequest, actor
from sessions import conversing
from sessions.conversing import HarnessFailed, NotReady
from sessions.models import Session, Status
from sessions.page_forms import MessageForm
from sessions.restarting import restart_session
from sessions.session_pages import MOVED, SessionView, find, live_thread
from sessions.stopping import stop_session

UNREACHABLE: Final = (
    "The sandbox gave no usable answer. The message may not have arrived: see the thread."
)


class StopSession(SessionView):
    """Asks a session to end."""

    def post(self, request: PageRequest, session_id: UUID) -> HttpResponse:
        try:
            status = stop_session(session_id, f"stopped by {actor(request)}")
        except Session.DoesNotExist:
            raise Http404 from None
        if status != Status.STOPPING:
            messages.info(request, f"The session had already ended: it is {status}.")
        return self.go(_page(session_id))


class RestartSession(SessionView):
    """Begins a session anew, with what was said in it."""

    def post(self, request: PageRequest, session_id: UUID) -> HttpResponse:
        conversing.save_before_restart(_spoken_to(session_id))
        try:
            restart_session(session_id)
        except Session.DoesNotExist:
            raise Http404 from None
        except Conflict as error:
            messages.error(request, f"Not restarted: {error}.")
        return self.go(_page(session_id))


class SendMessage(SessionView):
    """Says something to a session, and waits for its answer: the thread shows it."""

    def post(self, request: PageRequest, session_id: UUID) -> HttpResponse:
        agent_session = _spoken_to(session_id)
        form = MessageForm(request.POST)
        if form.is_valid() and (refusal := _say(agent_session, form.cleaned_data["text"])):
            form.add_error("text", refusal)
        is_sent = form.is_valid()
        if request.htmx:
            return self._composer(session_id, MessageForm() if is_sent else form)
        return self.go(_page(session_id)) if is_sent else self.page(session_id, form)

    def _composer(self, session_id: UUID, form: MessageForm) -> HttpResponse:
        agent_session = find(session_id)
        is_ready = agent_session.status == Status.READY
        context = {"agent_session": agent_session, "form": form, "is_ready": is_ready}
        response = self.show("sessions/_composer.html", context)
        response["HX-Trigger"] = MOVED
        return response


class AbortTurn(SessionView):
    """Ends what the harness is doing; the conversation goes on."""

    def post(self, request: PageRequest, session_id: UUID) -> HttpResponse:
        try:
            conversing.abort_turn(_spoken_to(session_id))
        except HarnessFailed:
            messages.error(request, "Not ended: the sandbox cannot be reached.")
            return self.go(_page(session_id))
        if not request.htmx:
            return HttpResponseRedirect(_page(session_id))
        return self.show("sessions/_thread.html", live_thread(find(session_id)))


def _say(agent_session: Session, text: str) -> str:
    """Send one message; why it was refused, empty when it was answered."""
    try:
        conversing.send_message(agent_session, [{"type": "text", "text": text}])
    except NotReady:
        return f"Not sent: the session is {agent_session.status}, not ready."
    except Conflict as error:
        return f"Not sent: {error}."
    except HarnessFailed:
        return UNREACHABLE
    return ""


def _spoken_to(session_id: UUID) -> Session:
    return get_object_or_404(conversing.spoken_to(), id=session_id)


def _page(session_id: UUID) -> str:
    return reverse("session", args=[session_id])
