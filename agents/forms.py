"""The form that people edit agents with. What it accepts is written by ``agents.editing``."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from agents.editing import EDITABLE
from agents.models import Agent
from agents.seen import changed_since, seen_of
from agents.validation import merge_variables
from lap.core.secrets import MASK, SecretMap, Undecryptable
from scheduler.cron import zones

PAIR = frozenset({"cron_schedule", "cron_timezone"})


class PairField(forms.CharField):
    """Takes what was typed as it is: one validator judges the pair, and its sentence names it.

    Django's own checks (length, NUL, stripping) would answer first, with less to go by.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "required": False, "max_length": None, "strip": False})
        self.validators = []


class MultilineField(forms.CharField):
    """Text with the line ends that were stored: browsers send CRLF, which breaks scripts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "strip": False})

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.to_python(initial), data)


class ListField(forms.JSONField):
    """A JSON value that PostgreSQL can store, shown as it was typed; left empty, ``[]``."""

    widget: forms.Textarea = AdminTextareaWidget(attrs={"rows": 3})
    empty_type: type[Any] = list

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "initial": self.empty_type, **options})

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
            json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError):  # NaN, half a surrogate, 5,000 digits, 2,000 levels
            message = self.error_messages["invalid"]
            raise ValidationError(message, code="invalid", params={"value": value}) from None
        return self.empty_type() if found is None else found

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


class VariablesField(ListField):
    """Environment variables: of what is stored, only the names are shown."""

    empty_type = SecretMap

    def prepare_value(self, value: Any) -> Any:
        return super().prepare_value(_masked(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(_masked(initial), data)


class ZoneInput(AdminTextInputWidget):
    """A text field that offers the zones of the picker; any valid name may be typed."""

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        offered = f"id_{name}_zones"
        field = super().render(name, value, {**(attrs or {}), "list": offered}, renderer)
        options = format_html_join("", '<option value="{}">', ((zone.name,) for zone in zones()))
        return format_html('{}<datalist id="{}">{}</datalist>', field, offered, options)


class AgentForm(forms.ModelForm[Agent]):
    """Validates an agent like every other door, and tells what the user really changed.

    ``seen`` tells what the form showed when it was opened: somebody else's edit of one of its
    fields meanwhile is an error with the code ``stale``, never overwritten.
    """

    seen = forms.CharField(widget=forms.HiddenInput, required=False)
    env_vars: forms.Field = VariablesField(
        label="Environment variables",
        help_text=f"A JSON object of names and values. {MASK} keeps the stored value.",
    )
    tools = ListField()
    mcp_servers = ListField(label="MCP servers")
    attached_skill_ids = ListField()
    allow_out = ListField()
    deny_out = ListField()
    sandbox_files: forms.Field = ListField(help_text='A list of {"path": …, "content": …}.')

    class Meta:
        model = Agent
        fields = sorted(EDITABLE)
        field_classes = {
            "cron_schedule": PairField,
            "cron_timezone": PairField,
            "cron_prompt": MultilineField,
            "prompt": MultilineField,
            "requirements": MultilineField,
        }
        widgets: dict[str, Any] = {"cron_timezone": ZoneInput}
        labels = {
            "cron_schedule": "Schedule",
            "cron_timezone": "Time zone",
            "cron_enabled": "Enabled",
            "cron_prompt": "Prompt of scheduled runs",
            "cron_overlap_policy": "Overlap",
            "cron_catchup_policy": "Catch-up",
            "cron_catchup_window_seconds": "Catch-up window (seconds)",
            "cron_run_timeout_seconds": "Run time limit (seconds)",
        }
        help_texts = {
            "cron_schedule": "minute hour day-of-month month day-of-week, e.g. 0 9 * * 1-5. "
            "Leave it empty for no schedule.",
            "cron_timezone": "An IANA name, e.g. America/Los_Angeles.",
            "cron_prompt": "Left empty: “[cron] scheduled run at” and the instant.",
            "cron_overlap_policy": "When the previous run is still active.",
            "cron_catchup_policy": "For instants that passed while no worker ran.",
            "cron_catchup_window_seconds": "Missed instants older than this are never run.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.meanwhile: list[str] = []
        self.initial["seen"] = seen_of(self.instance, self.columns())

    def columns(self) -> frozenset[str]:
        """The columns that this form edits."""
        return EDITABLE.intersection(self.fields)

    def clean_cron_schedule(self) -> str | None:
        """None for an empty or blank schedule, which clears it."""
        typed: str = self.cleaned_data["cron_schedule"] or ""
        return typed if typed.strip() else None

    def clean_cron_prompt(self) -> str | None:
        """None for an empty prompt: the default one is used then."""
        return self.cleaned_data["cron_prompt"] or None

    def clean_env_vars(self) -> SecretMap:
        """The map to store, masks replaced by the stored values."""
        try:
            return merge_variables(self.instance.env_vars, self.cleaned_data["env_vars"])
        except ValidationError as error:
            raise ValidationError(error.messages) from None

    def clean(self) -> dict[str, Any]:
        """Refuse an edit of what is no longer as it was shown; ``meanwhile`` names the columns."""
        if not self._is_new():
            seen = self.cleaned_data.get("seen", "")
            self.meanwhile = changed_since(seen, self.instance, self.columns())
        if self.meanwhile:
            labels = ", ".join(str(self.fields[name].label) for name in self.meanwhile)
            raise ValidationError(
                f"Not saved: somebody else changed this meanwhile: {labels}. Open the agent "
                "again to edit what is stored now.",
                code="stale",
            )
        return self.cleaned_data

    def _post_clean(self) -> None:
        """As ``agents.editing`` does: a new pair ends the pardon of one found invalid earlier."""
        reason = self.instance.cron_disabled_reason
        if PAIR.intersection(self.changed_data):
            self.instance.cron_disabled_reason = ""
        super()._post_clean()  # type: ignore[misc]  # Django's hook for this, absent in the stubs
        self.instance.cron_disabled_reason = reason

    def edited(self) -> dict[str, Any]:
        """The values to write: all that were sent for a new agent, else those that changed."""
        names = EDITABLE if self._is_new() else EDITABLE.intersection(self.changed_data)
        return {name: self.cleaned_data[name] for name in sorted(names) if self._was_sent(name)}

    def _is_new(self) -> bool:
        return self.instance._state.adding

    def _was_sent(self, name: str) -> bool:
        if name not in self.fields:
            return False
        widget = self.fields[name].widget
        return not widget.value_omitted_from_data(self.data, self.files, self.add_prefix(name))


def _masked(value: Any) -> Any:
    if isinstance(value, Undecryptable):
        return value.masked()
    return SecretMap(value).masked() if isinstance(value, dict) else value
