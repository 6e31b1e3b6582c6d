"""The forms of the pages that create and edit an agent."""

from __future__ import annotations

import json
from copy import copy
from typing import Any, Final, NamedTuple

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils.text import Truncator

from agents.editing import EDITABLE
from agents.forms import AgentForm
from agents.models import SCHEDULE_COLUMNS, Agent
from agents.page_fields import FilesField, JsonListField, LinesField, Row, VariablesField
from lap.core.secrets import MASK, SecretMap, Undecryptable

LOCAL_HARNESS: Final = "shell"
"""The only one that local sandboxes run."""

HARNESSES: Final = {
    "shell": "each message is a script, its output the reply; needs no model",
    "opencode": "a coding agent for any model of the gateway",
    "claude-code": "Anthropic's coding agent, with a terminal",
    "codex": "OpenAI's coding agent, with a terminal",
    "gemini": "Google's coding agent, with a terminal",
    "hermes": "a general agent, with a terminal",
}
"""What people have to know of each harness to choose one."""

MORE: Final = (
    "tools", "mcp_servers", "attached_skill_ids", "allow_out", "deny_out", "harness_image",
    "container_port", "preload_memory_limit", "pfp_url",
)  # fmt: skip
"""The fields that are folded while they are empty."""

_HARNESS: Final = Agent._meta.get_field("harness_id")
_TEXT_LIMIT: Final = 300


class Problem(NamedTuple):
    """A line of the summary above a form; ``target`` is the id of the field to mend, if any."""

    target: str
    label: str
    sentence: str


class PageForm(AgentForm):
    """An agent as the pages show it: variables and files in rows, hosts in lines."""

    field_order = (
        "name", "model", "harness_id", "prompt", "cron_schedule", "cron_timezone", "cron_enabled",
        "cron_prompt", "repo_url", "branch", "requirements", "sandbox_files", "env_vars", *MORE,
    )  # fmt: skip
    harness_id = forms.ChoiceField(
        label="Harness",
        choices=[(name, f"{name}: {words}") for name, words in HARNESSES.items()],
        initial=_HARNESS.get_default(),
        error_messages={"invalid_choice": _HARNESS.error_messages["invalid_choice"]},
        help_text=f"Local sandboxes run {LOCAL_HARNESS} only. Every other harness needs a backend "
        "whose image carries it.",
    )
    env_vars = VariablesField(label="Environment variables")
    sandbox_files = FilesField(label="Files")
    tools = JsonListField(help_text='JSON, for example ["bash", "browser"].')
    mcp_servers = JsonListField(
        label="MCP servers",
        help_text='JSON, for example [{"name": "docs", "url": "https://mcp.example.com"}].',
    )
    attached_skill_ids = JsonListField(
        label="Skills", help_text='Ids as JSON, for example ["code-review"].'
    )
    allow_out = LinesField(
        label="Hosts it may reach", help_text="One a line, for example github.com."
    )
    deny_out = LinesField(label="Hosts it may not reach", help_text="One a line.")

    class Meta(AgentForm.Meta):
        widgets = {
            "prompt": forms.Textarea(attrs={"rows": 8}),
            "requirements": forms.Textarea(attrs={"rows": 3, "class": "mono"}),
            "cron_schedule": forms.TextInput(attrs={"class": "mono", "spellcheck": "false"}),
            "cron_timezone": forms.TextInput(attrs={"spellcheck": "false"}),
            "cron_prompt": forms.Textarea(attrs={"rows": 3}),
        }
        labels = {
            **AgentForm.Meta.labels,
            "repo_url": "Repository",
            "harness_image": "Container image",
            "container_port": "Port",
            "preload_memory_limit": "Memories loaded at the start",
            "pfp_url": "Picture",
        }
        help_texts = {
            **AgentForm.Meta.help_texts,
            "model": "For example anthropic/claude-sonnet-4-5; for the shell harness, none.",
            "prompt": "The system prompt: who the agent is, and how it works. The shell harness "
            "does not read it.",
            "repo_url": "A git repository that is cloned into the sandbox.",
            "requirements": "What is installed before the harness starts.",
            "harness_image": "Instead of the installation's own.",
            "container_port": "The port that this image listens on.",
            "pfp_url": "The address of an image.",
            "cron_prompt": "What a scheduled run is told; for the shell harness, its script. "
            "Left empty: “[cron] scheduled run at” and the instant.",
        }

    def add_error(self, field: str | None, error: Any) -> None:
        """What is wrong with a column that this form does not show is said of the whole form."""
        if field is None and hasattr(error, "error_dict"):
            for name, errors in error.error_dict.items():
                super().add_error(name if name in self.fields else None, errors)
        else:
            super().add_error(field, error)

    def clean_sandbox_files(self) -> list[dict[str, str]]:
        """Files that were not edited stay as they are stored, to the last byte."""
        field = self.fields["sandbox_files"]
        assert isinstance(field, FilesField)
        stored = self.instance.sandbox_files
        return field.with_stored(self.cleaned_data["sandbox_files"], stored)

    def variables(self) -> list[Row]:
        """The rows of the environment variables, each with its problem."""
        return self._rows("env_vars")

    def sandbox_file_rows(self) -> list[Row]:
        """The rows of the sandbox's files, each with its problem."""
        return self._rows("sandbox_files")

    def variables_hint(self) -> str:
        """What rows of variables mean."""
        stored = self.initial.get("env_vars")
        if isinstance(stored, SecretMap) and stored:
            return (
                f"Stored values are not shown: {MASK} keeps one, anything else replaces it. "
                "A row without a name is removed."
            )
        return "Names and values that every sandbox of this agent is given. Stored encrypted."

    def has_unreadable_variables(self) -> bool:
        """Whether variables are stored that none of our keys opens."""
        return isinstance(self.initial.get("env_vars"), Undecryptable)

    def opens_more(self) -> bool:
        """Whether one of the folded fields holds something, or has a problem."""
        return any(self[name].errors or self[name].value() not in ("", None) for name in MORE)

    def problems(self) -> list[Problem]:
        """All that keeps the form from being saved, but for what somebody else changed."""
        return [
            Problem(*self._place(name), error.messages[0])
            for name, errors in self.errors.as_data().items()
            for error in errors
            if error.code != "stale"
        ]

    def _place(self, name: str) -> tuple[str, str]:
        if name == NON_FIELD_ERRORS:
            return "", ""
        return self[name].id_for_label, str(self[name].label)

    def _rows(self, name: str) -> list[Row]:
        rows: list[Row] = self[name].value()
        found = {e.params["row"]: e.messages[0] for e in self._row_errors(name)}
        return [row._replace(problem=found.get(n, "")) for n, row in enumerate(rows)]

    def _row_errors(self, name: str) -> list[Any]:
        errors = self.errors.as_data().get(name, []) if self.is_bound else []
        return [error for error in errors if error.code == "row"]


class NewAgentForm(PageForm):
    """All of a new agent; of its schedule, what nobody can do without.

    ``key`` becomes the agent's id, which keeps a form sent twice from creating two.
    """

    key = forms.UUIDField(required=False, widget=forms.HiddenInput)

    class Meta(PageForm.Meta):
        fields = sorted(
            (EDITABLE - set(SCHEDULE_COLUMNS))
            | {"cron_schedule", "cron_timezone", "cron_enabled", "cron_prompt"}
        )


class EditAgentForm(PageForm):
    """All of an agent but its schedule. ``stored`` is the agent as it is stored now."""

    class Meta(PageForm.Meta):
        fields = sorted(EDITABLE - set(SCHEDULE_COLUMNS))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stored = copy(self.instance)

    def theirs(self) -> list[tuple[str, str]]:
        """What somebody else changed meanwhile: the labels, and what is stored now."""
        return [
            (str(self.fields[name].label), _in_short(getattr(self.stored, name)))
            for name in self.meanwhile
        ]


def _in_short(value: Any) -> str:
    """A stored value for people to recognise: of secrets the names, of long texts the beginning."""
    if isinstance(value, Undecryptable):
        return "cannot be read"
    if isinstance(value, SecretMap):
        text = ", ".join(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Truncator(text).chars(_TEXT_LIMIT) if value else "(empty)"
