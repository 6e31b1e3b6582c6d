"""The form of a schedule, as the agent page shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db.models import IntegerField

from agents.forms import AgentForm
from agents.models import SCHEDULE_COLUMNS, Agent, ScheduleChange
from agents.schedule_state import schedule_words

PRESETS: Final = (
    ("Every 5 minutes", "*/5 * * * *"),
    ("Hourly", "0 * * * *"),
    ("Daily 9:00", "0 9 * * *"),
    ("Weekdays 9:00", "0 9 * * 1-5"),
    ("Mondays 9:00", "0 9 * * 1"),
    ("First of the month", "0 0 1 * *"),
)
UNITS: Final = {"d": 86_400, "h": 3600, "min": 60, "s": 1}
_LENGTH: Final = re.compile(r"\s*(?:[0-9]{1,9}\s*(?:d|h|min|s)\s*)+|\s*[0-9]{1,9}\s*")
_PART: Final = re.compile(r"([0-9]+)\s*(d|h|min|s)?")
_POLICIES: Final = ("cron_overlap_policy", "cron_catchup_policy")


class LengthField(forms.Field):
    """A length of time in seconds, shown and typed in units: ``1 h 30 min``."""

    def __init__(self, column: str, **options: Any) -> None:
        super().__init__(**options)
        limits = cast("IntegerField[int, int]", Agent._meta.get_field(column)).validators
        self.longest = min(v.limit_value for v in limits if isinstance(v, MaxValueValidator))

    def prepare_value(self, value: Any) -> Any:
        return length_words(value) if isinstance(value, int) else value

    def to_python(self, value: Any) -> int | None:
        text = str(value or "").casefold()
        if not text.strip():
            return None
        if not _LENGTH.fullmatch(text):
            raise ValidationError("Write a length with d, h, min or s, e.g. 1 h 30 min.")
        seconds = sum(int(n) * UNITS[unit or "s"] for n, unit in _PART.findall(text))
        if seconds > self.longest:
            raise ValidationError(f"This is too long; write at most {length_words(self.longest)}.")
        return seconds


def length_words(seconds: int) -> str:
    """A whole number of seconds in units: ``1 h 30 min``, ``90 s`` as ``1 min 30 s``."""
    parts = []
    for unit, size in UNITS.items():
        count, seconds = divmod(seconds, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts) or "0 s"


class ScheduleForm(AgentForm):
    """The schedule columns of an agent."""

    cron_run_timeout_seconds = LengthField(
        "cron_run_timeout_seconds",
        label="Run time limit",
        help_text="A run is ended after this, e.g. 45 min or 2 h.",
    )
    cron_catchup_window_seconds = LengthField(
        "cron_catchup_window_seconds",
        label="Catch-up window",
        help_text="Missed runs older than this are never started.",
    )

    class Meta(AgentForm.Meta):
        fields = list(SCHEDULE_COLUMNS)
        widgets = {
            "cron_schedule": forms.TextInput(
                attrs={
                    "class": "mono", "autofocus": True, "autocomplete": "off",
                    "autocapitalize": "off", "spellcheck": "false", "placeholder": "0 9 * * 1-5",
                }
            ),
            "cron_timezone": forms.TextInput,
            "cron_prompt": forms.Textarea(attrs={"rows": 3}),
            **dict.fromkeys(_POLICIES, forms.RadioSelect),
        }  # fmt: skip
        labels = {
            **AgentForm.Meta.labels,
            "cron_schedule": "Cron schedule",
            "cron_overlap_policy": "When the previous run is still active",
            "cron_catchup_policy": "When runs were missed because no worker ran",
        }
        help_texts = {
            **AgentForm.Meta.help_texts,
            "cron_schedule": "minute · hour · day of month · month · day of week",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in self.fields.keys() - {*SCHEDULE_COLUMNS, "seen"}:
            del self.fields[name]

    def columns(self) -> frozenset[str]:
        return frozenset(SCHEDULE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What somebody else stored while a form was open."""

    change: ScheduleChange | None
    stored: list[tuple[str, str]]
    """Labels and values of the columns that are no longer as the form had shown them."""


def meanwhile_of(form: ScheduleForm, stored: Agent) -> Meanwhile | None:
    """What to tell whose edit was refused as stale; None for any other form."""
    if not form.meanwhile:
        return None
    change = stored.schedule_changes.order_by("-changed_at").first()
    return Meanwhile(change, list(_stored_values(form, stored)))


def _stored_values(form: ScheduleForm, stored: Agent) -> Iterator[tuple[str, str]]:
    changed = set(form.meanwhile)
    if changed & {"cron_schedule", "cron_timezone"}:
        yield "Schedule", schedule_words(stored)
    for name in form.meanwhile:
        if name not in {"cron_schedule", "cron_timezone"}:
            yield str(form.fields[name].label), _shown(stored, name)


def _shown(agent: Agent, name: str) -> str:
    value = getattr(agent, name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return length_words(value)
    if name in _POLICIES:
        return str(getattr(agent, f"get_{name}_display")())
    return value or "the default"
