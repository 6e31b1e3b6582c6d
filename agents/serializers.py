"""Agents on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Field
from rest_framework import serializers

from agents.models import SCHEDULE_COLUMNS, Agent
from lap.core.api.fields import Flag, Raw, Text, TextOrNull, WholeNumber

SERVER_MANAGED = ("cron_last_fired_at", "cron_next_fire_at")
SCHEDULE = frozenset(
    field.name for field in Agent._meta.concrete_fields if field.name.startswith("cron_")
)


def _text(column: str, **options: Any) -> Text:
    """A text of the column's length; null means the column's default."""
    return Text(
        **{
            "max_length": _column(column).max_length,
            "required": False,
            "allow_null": True,
            **options,
        }
    )


def _column(name: str) -> Field[Any, Any]:
    field = Agent._meta.get_field(name)
    assert isinstance(field, Field)
    return field


def _unset() -> Raw:
    return Raw(required=False, allow_null=True)


def _number(*, allow_null: bool = False) -> WholeNumber:
    return WholeNumber(required=False, allow_null=allow_null)


class AgentFields(serializers.Serializer[Agent]):
    """What a caller may write of an agent. Types are judged here, values by the model.

    Other names are ignored, so that callers may send back what they were given; but for the
    instants that only the server writes, and for schedule fields that do not exist: a mistyped
    ``cron_tz`` would run at the wrong hour for ever.
    """

    name = _text("name")
    model = _text("model", required=True, allow_null=False, allow_blank=False)
    prompt = _text("prompt")
    harness_id = _text("harness_id")
    harness_image = _text("harness_image")
    container_port = _number(allow_null=True)
    repo_url = _text("repo_url")
    branch = _text("branch")
    requirements = _text("requirements")
    tools = _unset()
    mcp_servers = _unset()
    attached_skill_ids = _unset()
    allow_out = _unset()
    deny_out = _unset()
    sandbox_files = _unset()
    env_vars = _unset()
    preload_memory_limit = _number(allow_null=True)
    pfp_url = _text("pfp_url")

    # The pair is judged as a whole, its types and lengths included: one sentence names it.
    cron_schedule = _unset()
    cron_timezone = _unset()
    cron_enabled = Flag(required=False)
    cron_overlap_policy = _text("cron_overlap_policy", allow_null=False)
    cron_prompt = _text("cron_prompt")
    cron_catchup_policy = _text("cron_catchup_policy", allow_null=False)
    cron_catchup_window_seconds = _number()
    cron_run_timeout_seconds = _number()

    def to_internal_value(self, data: Mapping[str, Any]) -> Any:
        if refused := [name for name in SERVER_MANAGED if name in data]:
            sentence = "is read-only: the server manages it"
            raise serializers.ValidationError({name: [sentence] for name in refused})
        if unknown := [name for name in data if name.startswith("cron_") and name not in SCHEDULE]:
            sentence = f"there is no such field; a schedule has {', '.join(SCHEDULE_COLUMNS)}"
            raise serializers.ValidationError({name: [sentence] for name in unknown})
        return super().to_internal_value(data)

    def validate_model(self, value: str) -> str:
        if not value.strip():
            raise serializers.ValidationError("This field may not be blank.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {name: _default(name) if attrs[name] is None else attrs[name] for name in attrs}


def _default(column: str) -> Any:
    """What null leaves behind: null where the column may be, the column's default elsewhere."""
    field = _column(column)
    return None if field.null or column == "cron_timezone" else field.get_default()


class AgentSerializer(serializers.ModelSerializer[Agent]):
    """An agent as its callers see it; of its variables only the names."""

    supports_tui = serializers.BooleanField(read_only=True)
    env_vars = serializers.SerializerMethodField()
    cron_disabled_reason = TextOrNull()
    cron_blocked_reason = TextOrNull()

    class Meta:
        model = Agent
        fields: tuple[str, ...] = (
            "id", "name", "model", "prompt", "harness_id", "supports_tui", "harness_image",
            "container_port", "repo_url", "branch", "requirements", "pfp_url", "tools",
            "mcp_servers", "env_vars", "attached_skill_ids", "allow_out", "deny_out",
            "sandbox_files", "preload_memory_limit", "cron_schedule", "cron_timezone",
            "cron_enabled", "cron_overlap_policy", "cron_prompt", "cron_catchup_policy",
            "cron_catchup_window_seconds", "cron_run_timeout_seconds", "cron_last_fired_at",
            "cron_next_fire_at", "cron_disabled_reason", "cron_blocked_until",
            "cron_blocked_reason", "created_at", "created_by", "updated_at", "version",
        )  # fmt: skip

    def get_env_vars(self, agent: Agent) -> dict[str, str]:
        masked: dict[str, str] = agent.env_vars.masked()
        return masked


class ListedAgentSerializer(AgentSerializer):
    """An agent in the list, with what is known of its sessions."""

    session_count = serializers.IntegerField(read_only=True)
    has_active_session = serializers.BooleanField(read_only=True)

    class Meta(AgentSerializer.Meta):
        fields = (*AgentSerializer.Meta.fields, "session_count", "has_active_session")
