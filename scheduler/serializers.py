"""The ledger and the preview on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework import serializers

from lap.core.api.fields import Flag, Instant, Raw, Text, TextOrNull, WholeNumber
from scheduler.cron import Preview
from scheduler.models import CronFire

PREVIEW_LIMIT: Final = 50
PREVIEW_COUNT: Final = 5


class FireSerializer(serializers.ModelSerializer[CronFire]):
    """What became of one instant, or of ``count`` neighbouring ones up to ``scheduled_until``."""

    agent_id = serializers.UUIDField(read_only=True)
    session_id = serializers.UUIDField(read_only=True)
    reason = TextOrNull()

    class Meta:
        model = CronFire
        fields = (
            "id", "agent_id", "scheduled_for", "scheduled_until", "count", "outcome", "reason",
            "session_id", "decided_at",
        )  # fmt: skip


class RunFields(serializers.Serializer[Mapping[str, bool]]):
    """How to start a manual run; ``force`` starts it also while another one is active."""

    force = Flag(required=False)


class PreviewFields(serializers.Serializer[Preview]):
    """A schedule that somebody is editing; what is missing is taken from the named agent."""

    cron_schedule = Raw(required=False, allow_null=True)
    cron_timezone = Raw(required=False, allow_null=True)
    after = Instant(required=False, allow_null=True)
    count = WholeNumber(required=False, min_value=1, max_value=PREVIEW_LIMIT)
    agent_id = Text(required=False, allow_null=True, max_length=100)


class PreviewSerializer(serializers.Serializer[Preview]):
    """The answer; ``added`` and ``removed`` are there only beside a stored schedule."""

    description = serializers.CharField()
    next = serializers.ListField(child=Instant())
    notes = serializers.ListField(child=serializers.CharField())
    added = serializers.ListField(child=Instant(), required=False)
    removed = serializers.ListField(child=Instant(), required=False)

    def to_representation(self, instance: Preview) -> dict[str, Any]:
        shown = super().to_representation(instance)
        return {name: value for name, value in shown.items() if value is not None}
