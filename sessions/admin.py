"""Sessions and workers in Django's admin: to look at, and sessions to stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from agents.admin_rows import AgentFilter, AgentRowsAdmin, id_begins
from lap.core.admin import ReadOnlyAdmin, badge, text_block, time_column, utc
from lap.core.clock import DatabaseClock
from lap.core.words import NOTHING, span
from lap.web.views import actor
from sessions.models import Session, Status, Trigger, Worker
from sessions.querysets import FINAL
from sessions.stopping import stop_session

SECRETS = ("env_vars", "attachments", "harness_token", "callback_token_hash")
"""Never read by the admin, so never shown."""

_LONG = ("initial_prompt", "response", "thread")
_KINDS = {
    Status.COMPLETED: "good",
    Status.FAILED: "bad",
    Status.DEAD: "plain",
    Status.STOPPING: "warn",
}


class SessionAdmin(AgentRowsAdmin[Session]):
    """Runs of agents, newest first."""

    list_display = [
        "state", "agent_name", "scheduled", "lateness", "duration", "created", "failure",
    ]  # fmt: skip
    list_filter = ["status", "trigger", AgentFilter, "created_at"]
    search_help_text = f"{AgentRowsAdmin.search_help_text}; or the beginning of a session's id"
    actions = ["stop"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "id", "agent_name", "state", "title", "scheduled", "lateness", "duration",
                    "created", "created_by", "started", "last_seen", "stopped",
                ]
            },
        ),
        ("Outcome", {"fields": ["failure_kind", "reason", "prompt", "answer", "conversation"]}),
        (
            "Bring-up",
            {
                "fields": [
                    "phase", "phase_detail", "attempt", "tries", "worker", "claimed",
                    "prompt_sent", "prompt_answered", "run_timeout_seconds", "stop_as",
                    "sandbox_name", "sandbox_host", "sandbox_url", "harness_session_id",
                ]
            },
        ),
    ]  # fmt: skip

    created = time_column("created_at")
    started = time_column("started_at")
    claimed = time_column("claimed_at")
    last_seen = time_column("last_seen_at", "last seen")
    stopped = time_column("stopped_at")
    prompt_sent = time_column("prompt_sent_at", "prompt sent")
    prompt_answered = time_column("prompt_answered_at", "prompt answered")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        sessions = super().get_queryset(request).select_related("worker")
        return sessions.defer(*SECRETS, *_LONG)

    def found(self, text: str) -> Q:
        return super().found(text) | id_begins("id", text)

    def view_on_site(self, obj: Session) -> str:
        return reverse("session", args=[obj.pk])

    def has_stop_permission(self, request: HttpRequest) -> bool:
        """Stopping is a change, though everything else about a session is only looked at."""
        return request.user.has_perm("agent_sessions.change_session")

    @admin.action(description="Stop selected sessions", permissions=["stop"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        """Ask them to end; whoever carries them, or the next worker, ends them."""
        chosen = self.selected(request, queryset)
        asked = sum(self._is_asked(request, session) for session in chosen)
        if asked:
            noun = "session" if asked == 1 else "sessions"
            self.message_user(request, f"Asked {asked} {noun} to stop.", messages.SUCCESS)
        if ended := len(chosen) - asked:
            sentence = f"{ended} of the selected sessions had already ended."
            self.message_user(request, sentence, messages.WARNING)

    def _is_asked(self, request: HttpRequest, session: Session) -> bool:
        """Ask one session to stop; false when it has ended already."""
        if stop_session(session.pk, f"stopped by {actor(request)}") in FINAL:
            return False
        self.log_change(request, session, "Asked to stop.")
        return True

    @admin.display(description="status")
    def state(self, session: Session) -> str:
        status = status_badge(session)
        if session.trigger == Trigger.API:
            return status
        return format_html('<span class="lap-pair">{} {}</span>', status, badge(session.trigger))

    @admin.display(description="scheduled for")
    def scheduled(self, session: Session) -> str:
        return utc(session.scheduled_for)

    @admin.display(description="lateness")
    def lateness(self, session: Session) -> str:
        """From the scheduled instant to the session's row."""
        if session.scheduled_for is None:
            return NOTHING
        return span(session.created_at - session.scheduled_for)

    @admin.display(description="duration")
    def duration(self, session: Session) -> str:
        return span(length(session))

    @admin.display(description="failure", empty_value="")
    def failure(self, session: Session) -> str:
        return Truncator(session.failure_reason or "").chars(80)

    @admin.display(description="failure reason")
    def reason(self, session: Session) -> str:
        return text_block(session.failure_reason)

    @admin.display(description="prompt")
    def prompt(self, session: Session) -> str:
        return text_block(session.initial_prompt)

    @admin.display(description="response")
    def answer(self, session: Session) -> str:
        return text_block(session.response)

    @admin.display(description="thread")
    def conversation(self, session: Session) -> str:
        thread = session.thread if isinstance(session.thread, list) else [session.thread]
        messages = ((text_block(text),) for text in map(_message, thread))
        return format_html_join("", "{}", messages) or NOTHING


def status_badge(session: Session) -> SafeString:
    """How far a session is, or how it ended, as a pill."""
    return badge(session.status, _KINDS.get(Status(session.status), "busy"))


def length(session: Session) -> timedelta | None:
    """From the claim to the end, once there is one."""
    if session.started_at is None or session.stopped_at is None:
        return None
    return session.stopped_at - session.started_at


def _message(message: Any) -> str:
    """A message of a thread as text; what does not look like one is shown as JSON."""
    match message:
        case {"info": {"role": str(role)}, "parts": list(parts)}:
            return "\n".join([f"{role}:", *map(_part, parts)])
    return json.dumps(message, indent=2, ensure_ascii=False)


def _part(part: Any) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
    return json.dumps(part, indent=2, ensure_ascii=False)


class IsLive(admin.SimpleListFilter):
    """Workers whose lease runs, or those that are gone."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "Live"), ("gone", "Ended or expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in {"live", "gone"}:
            return queryset
        return queryset.filter(is_live=self.value() == "live")


class WorkerAdmin(ReadOnlyAdmin[Worker]):
    """Worker processes and what they report of themselves."""

    list_display = ["__str__", "state", "heartbeat", "started", "version", "counts"]
    list_filter = [IsLive]
    search_fields = ["host", "id"]
    fields = [
        "id", "host", "pid", "version", "state", "started", "heartbeat", "expires", "ended",
        "counts",
    ]  # fmt: skip

    started = time_column("started_at")
    heartbeat = time_column("heartbeat_at")
    expires = time_column("expires_at")
    ended = time_column("ended_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """Workers, each judged live or not by the database's own clock."""
        live = Q(ended_at=None, expires_at__gt=DatabaseClock())
        is_live = ExpressionWrapper(live, output_field=BooleanField())
        return super().get_queryset(request).annotate(is_live=is_live)

    @admin.display(description="state", ordering="ended_at")
    def state(self, worker: Worker) -> str:
        if worker.ended_at:
            return badge("ended")
        is_live = getattr(worker, "is_live", False)
        return badge("live", "good") if is_live else badge("expired", "bad")

    @admin.display(description="counters")
    def counts(self, worker: Worker) -> str:
        return ", ".join(_counts(worker.counters)) or NOTHING


def _counts(counters: Any) -> Iterator[str]:
    if isinstance(counters, dict):
        yield from (f"{name} {value}" for name, value in sorted(counters.items()))


admin.site.register(Session, SessionAdmin)
admin.site.register(Worker, WorkerAdmin)
