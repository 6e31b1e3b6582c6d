"""Messages and reports on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers

from lap.core.api.fields import Raw, Text
from lap.core.text import storable
from sessions.callbacks import PHASES
from sessions.serializers import PROMPT_LIMIT

PARTS_LIMIT: Final = 100
TYPE_LIMIT: Final = 100


class MessageFields(serializers.Serializer[Mapping[str, Any]]):
    """A message: one ``text``, or ``parts`` that the harness understands."""

    text = Text(required=False, allow_null=True, allow_blank=False, max_length=PROMPT_LIMIT)
    parts = Raw(required=False, allow_null=True)

    def validate_parts(self, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list) or not 0 < len(value) <= PARTS_LIMIT:
            raise serializers.ValidationError(f"must be a list of 1 to {PARTS_LIMIT} parts")
        for part in value:
            _check_part(part)
        if storable(value) != value:
            raise serializers.ValidationError("hold a NUL character or half a surrogate pair")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        text, parts = attrs.get("text"), attrs.get("parts")
        if (text is None) == (parts is None):
            raise serializers.ValidationError("send either text or parts")
        return {"parts": parts or [{"type": "text", "text": text}]}


def _check_part(part: Any) -> None:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise serializers.ValidationError("each part must be an object with a type")
    if not 0 < len(part["type"]) <= TYPE_LIMIT:
        raise serializers.ValidationError(f"a type has 1 to {TYPE_LIMIT} characters")
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise serializers.ValidationError("a part of type text must have a text")


class PhaseFields(serializers.Serializer[Mapping[str, str]]):
    """How far a sandbox is."""

    phase = serializers.ChoiceField(choices=PHASES)
    detail = Text(required=False, allow_null=True, max_length=500)
