"""What people fill in on the pages of sessions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django import forms
from django.utils.functional import cached_property

from agents.forms import MultilineField
from lap.core import clock
from sessions.listing import Filters, agents_named
from sessions.models import Status, Trigger
from sessions.serializers import PROMPT_LIMIT

TITLE_LIMIT: Final = 200
KEY_LIMIT: Final = 200
_WINDOWS: Final = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}
_STATUSES: Final = [("", "Any status"), *((name, name.capitalize()) for name in Status.values)]
_TRIGGERS: Final = [
    ("", "Any trigger"),
    (Trigger.CRON, "Schedule (cron)"),
    (Trigger.MANUAL, "Run now (manual)"),
    (Trigger.API, "Conversation"),
]
_TIMES: Final = [
    ("", "Any time"), ("1h", "Last hour"), ("1d", "Last 24 hours"), ("7d", "Last 7 days"),
]  # fmt: skip


class FiltersForm(forms.Form):
    """The filters of the list. A value that means nothing filters nothing."""

    name = forms.CharField(
        required=False, label="Agent", widget=forms.TextInput({"type": "search"}), max_length=200
    )
    status = forms.ChoiceField(required=False, choices=_STATUSES)
    trigger = forms.ChoiceField(required=False, choices=_TRIGGERS)
    time = forms.ChoiceField(required=False, choices=_TIMES, label="Created")
    agent = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def filters(self) -> Filters:
        """What the list is narrowed to, seen from the database's clock."""
        self.is_valid()
        chosen = self.cleaned_data
        window = _WINDOWS.get(chosen.get("time", ""))
        return Filters(
            agent=chosen.get("agent"),
            named=self.named[0] if self.named else None,
            status=chosen.get("status", ""),
            trigger=chosen.get("trigger", ""),
            since=clock.now() - window if window else None,
        )

    @cached_property
    def named(self) -> tuple[list[UUID], bool] | None:
        """The agents that go by the name, and whether there are too many; None without a name."""
        self.is_valid()
        name = self.cleaned_data.get("name")
        return agents_named(name) if name else None

    def chosen(self) -> dict[str, str]:
        """The filters that are in use, as a query carries them."""
        self.is_valid()
        return {name: str(value) for name, value in self.cleaned_data.items() if value}


class MessageForm(forms.Form):
    """What is said to a session."""

    text = MultilineField(label="Message", max_length=PROMPT_LIMIT, widget=forms.Textarea)

    def clean_text(self) -> str:
        text: str = self.cleaned_data["text"]
        if not text.strip():
            raise forms.ValidationError("Write a message first.")
        return text


class NewSessionForm(forms.Form):
    """What a conversation is opened with. ``key`` keeps a form sent twice from opening two."""

    initial_prompt = MultilineField(
        required=False,
        label="First message",
        max_length=PROMPT_LIMIT,
        widget=forms.Textarea({"rows": 6}),
        help_text="Sent when the sandbox is ready. Without one the session waits for your message.",
    )
    title = forms.CharField(required=False, max_length=TITLE_LIMIT)
    key = forms.RegexField(
        r"\A[!-~]*\Z", required=False, max_length=KEY_LIMIT, widget=forms.HiddenInput
    )

    def request(self) -> dict[str, Any]:
        """What ``open_session`` is given."""
        fields = dict(self.cleaned_data)
        return {"idempotency_key": fields.pop("key"), **fields}
