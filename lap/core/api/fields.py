"""Strict JSON values for serializers: a number is no text, ``"yes"`` is no flag."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers


class Text(serializers.CharField):
    """A string, kept as it was sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, "allow_blank": True, **options})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class Flag(serializers.BooleanField):
    """``true`` or ``false``."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class WholeNumber(serializers.IntegerField):
    """A JSON number without a fraction."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class Instant(serializers.Field[datetime, str, str, Any]):
    """ISO 8601 with an offset, such as ``2026-03-01T09:00:00Z``, between 1970 and 2200."""

    default_error_messages = {
        "invalid": "must be an ISO 8601 time with an offset, e.g. 2026-03-01T09:00:00Z",
        "range": "must lie between 1970 and 2200",
    }

    def to_internal_value(self, data: Any) -> datetime:
        try:
            at = datetime.fromisoformat(data)
        except (TypeError, ValueError):
            self.fail("invalid")
        if at.tzinfo is None or "\0" in data:  # Python 3.11 reads past a trailing NUL
            self.fail("invalid")
        if not 1970 < at.year < 2200:
            self.fail("range")
        return at.astimezone(UTC)

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Raw(serializers.Field[Any, Any, Any, Any]):
    """Any JSON value; the function that stores it judges it, with a sentence of its own."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class TextOrNull(serializers.CharField):
    """For answers: an empty string means "not set", which the wire says as null."""

    def to_representation(self, value: Any) -> Any:
        return value or None
