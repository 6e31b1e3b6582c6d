"""Sessions on the wire."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from lap.core.api.fields import Raw, Text, TextOrNull
from sessions.models import Session

MEGABYTE: Final = 1024 * 1024
ATTACHMENT_LIMIT_BYTES: Final = 5 * MEGABYTE
ATTACHMENTS_LIMIT_BYTES: Final = 20 * MEGABYTE
ATTACHMENTS_LIMIT: Final = 10
PROMPT_LIMIT: Final = 100_000
MEANT: Final = {
    "attachments": "initial_attachments",
    "env": "env_vars",
    "message": "initial_prompt",
    "prompt": "initial_prompt",
    "text": "initial_prompt",
}
"""Names that are easily taken for those of a session's fields."""
IMAGES: Final = ("png", "jpeg", "gif", "webp")


class Attachment(serializers.Serializer[Mapping[str, str]]):
    """An image that goes to the harness with the first prompt."""

    name = Text(required=False, allow_null=True, max_length=200)
    mime_type = Text(allow_blank=False, max_length=50)
    base64 = Raw()

    def validate_mime_type(self, value: str) -> str:
        kind = value.removeprefix("image/")
        if kind not in IMAGES:
            listed = ", ".join(f"image/{name}" for name in IMAGES)
            raise serializers.ValidationError(f"must be one of {listed}")
        return f"image/{kind}"

    def validate_base64(self, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise serializers.ValidationError("must be a string of base64")
        if size_of(value) > ATTACHMENT_LIMIT_BYTES:
            raise serializers.ValidationError("is larger than 5 MB")
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise serializers.ValidationError("is not valid base64") from None
        return value


def size_of(encoded: str) -> int:
    """How many bytes a base64 string decodes to."""
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")


class SessionFields(serializers.Serializer[Session]):
    """What a caller may say when opening a session; nothing of it is required.

    Other names are ignored, but for near misses: a session without its prompt would wait for ever.
    """

    initial_prompt = Text(required=False, allow_null=True, max_length=PROMPT_LIMIT)
    title = Text(required=False, allow_null=True, max_length=200)
    env_vars = Raw(required=False, allow_null=True)
    initial_attachments = serializers.ListField(
        child=Attachment(), required=False, allow_null=True, max_length=ATTACHMENTS_LIMIT
    )

    def to_internal_value(self, data: Mapping[str, Any]) -> Any:
        if missed := {name: [f"is called {MEANT[name]}"] for name in data if name in MEANT}:
            raise serializers.ValidationError(missed)
        return super().to_internal_value(data)

    def validate_initial_attachments(self, value: list[dict[str, str]] | None) -> Any:
        sizes = [size_of(attachment["base64"]) for attachment in value or ()]
        if sum(sizes) > ATTACHMENTS_LIMIT_BYTES:
            raise serializers.ValidationError("are larger than 20 MB in all")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in attrs.items() if value is not None}
        if "initial_attachments" in given:
            given["attachments"] = given.pop("initial_attachments")
        return given


class SessionSerializer(serializers.ModelSerializer[Session]):
    """A session as its callers see it: no secrets, no attachments, no thread."""

    agent_id = serializers.UUIDField(read_only=True)
    sandbox_url = TextOrNull()
    tty_url = serializers.SerializerMethodField(method_name="nothing")
    tty_token = serializers.SerializerMethodField(method_name="nothing")
    task_arn = TextOrNull(source="sandbox_name")
    idle_timeout_ms = serializers.SerializerMethodField()
    phase = TextOrNull()
    phase_detail = TextOrNull()
    title = TextOrNull()
    failure_kind = TextOrNull()

    class Meta:
        model = Session
        fields = (
            "id", "agent_id", "sandbox_url", "tty_url", "tty_token", "status", "task_arn",
            "response", "created_at", "last_seen_at", "idle_timeout_ms", "failure_reason",
            "phase", "phase_detail", "trigger", "title", "scheduled_for", "started_at",
            "stopped_at", "failure_kind", "created_by",
        )  # fmt: skip

    @extend_schema_field({"type": "null"})
    def nothing(self, session: Session) -> None:
        """Sandboxes have no terminal yet."""

    def get_idle_timeout_ms(self, session: Session) -> int:
        return int(settings.LAP_SESSION_IDLE_SECONDS * 1000)


WIRE_COLUMNS: Final = (
    "id", "agent_id", "sandbox_url", "status", "sandbox_name", "response", "created_at",
    "last_seen_at", "failure_reason", "phase", "phase_detail", "trigger", "title",
    "scheduled_for", "started_at", "stopped_at", "failure_kind", "created_by",
)  # fmt: skip
"""What an answer reads: megabytes of attachments and threads stay in the database."""
