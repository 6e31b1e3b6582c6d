"""Agents and the history of their schedules."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from typing import Any

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now, Upper

from agents import harnesses, validation
from agents.querysets import AgentQuerySet, ScheduleChangeQuerySet
from lap.core.secrets import EncryptedField, SecretMap


class OverlapPolicy(models.TextChoices):
    """What happens when the previous run is still active at the next instant."""

    SKIP = "skip", "Skip: do not start a second run"


class CatchupPolicy(models.TextChoices):
    """What happens to instants that passed while no worker ran."""

    LATEST = "latest", "Latest: run the newest one once"
    SKIP = "skip", "Skip: run none that is older than a minute"


SCHEDULE_COLUMNS = (
    "cron_schedule",
    "cron_timezone",
    "cron_enabled",
    "cron_overlap_policy",
    "cron_prompt",
    "cron_catchup_policy",
    "cron_catchup_window_seconds",
    "cron_run_timeout_seconds",
)
"""The schedule columns that a user may write."""


def _list_column(validate: Callable[[Any], None]) -> models.JSONField[Any, Any]:
    """A column that holds a JSON list; ``{}`` and ``""`` are no lists, however empty."""
    column = models.JSONField(blank=True, default=list, validators=[validate])
    column.empty_values = [None, []]
    return column


class Agent(models.Model):
    """A configuration that sessions are started from, and the schedule that starts them.

    Schedule columns are written through ``agents.editing`` only.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200, blank=True, default="")
    model = models.CharField(max_length=200)
    prompt = models.TextField(blank=True, default="", max_length=100_000)
    harness_id = models.CharField(
        max_length=50,
        default=harnesses.DEFAULT,
        choices=[(name, name) for name in harnesses.KNOWN],
        error_messages={
            "invalid_choice": f"unknown harness %(value)r; use one of {', '.join(harnesses.KNOWN)}"
        },
    )
    harness_image = models.CharField(max_length=300, blank=True, default="")
    container_port = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(65_535)]
    )
    repo_url = models.CharField(max_length=500, blank=True, default="")
    branch = models.CharField(max_length=200, blank=True, default="main")
    requirements = models.TextField(blank=True, default="", max_length=20_000)
    tools = _list_column(validation.validate_list)
    mcp_servers = _list_column(validation.validate_list)
    attached_skill_ids = _list_column(validation.validate_list)
    allow_out = _list_column(validation.validate_list)
    deny_out = _list_column(validation.validate_list)
    sandbox_files = _list_column(validation.validate_files)
    env_vars = EncryptedField(
        blank=True, default=SecretMap, validators=[validation.validate_variables]
    )
    preload_memory_limit = models.PositiveIntegerField(null=True, blank=True)
    pfp_url = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=200, blank=True, default="", editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    version = models.PositiveBigIntegerField(default=1, editable=False)

    cron_schedule = models.CharField(max_length=100, null=True, blank=True)
    cron_timezone = models.CharField(max_length=64, default="UTC")
    cron_enabled = models.BooleanField(default=True)
    cron_overlap_policy = models.CharField(
        max_length=20,
        default=OverlapPolicy.SKIP,
        choices=OverlapPolicy.choices,
        error_messages={"invalid_choice": "%(value)r is not available; use skip"},
    )
    cron_prompt = models.TextField(null=True, blank=True, max_length=100_000)
    cron_catchup_policy = models.CharField(
        max_length=20,
        default=CatchupPolicy.LATEST,
        choices=CatchupPolicy.choices,
        error_messages={"invalid_choice": "%(value)r is not available; use latest or skip"},
    )
    cron_catchup_window_seconds = models.PositiveIntegerField(
        default=3600, validators=[MaxValueValidator(31 * 86_400)]
    )
    cron_run_timeout_seconds = models.PositiveIntegerField(
        default=3600, validators=[MinValueValidator(1), MaxValueValidator(7 * 86_400)]
    )
    cron_last_fired_at = models.DateTimeField(null=True, blank=True, editable=False)
    cron_next_fire_at = models.DateTimeField(null=True, blank=True, editable=False)
    cron_disabled_reason = models.CharField(max_length=500, blank=True, default="", editable=False)
    cron_blocked_until = models.DateTimeField(null=True, blank=True, editable=False)
    cron_blocked_reason = models.CharField(max_length=500, blank=True, default="", editable=False)

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["cron_enabled", "cron_next_fire_at"], name="agent_cron_due"),
            models.Index(
                fields=["cron_blocked_until"],
                name="agent_cron_blocked",
                condition=Q(cron_blocked_until__isnull=False),
            ),
            models.Index(
                fields=["-created_at", "-id"], name="agent_by_age", condition=Q(deleted_at=None)
            ),
            models.Index(Lower("name"), "id", name="agent_by_name", condition=Q(deleted_at=None)),
            models.Index(
                fields=["harness_id", "id"], name="agent_by_harness", condition=Q(deleted_at=None)
            ),
            # Not the id: its many trigrams would be written anew whenever a schedule fires.
            GinIndex(
                OpClass(Upper("name"), name="gin_trgm_ops"),
                OpClass(Upper("harness_id"), name="gin_trgm_ops"),
                name="agent_search",
                condition=Q(deleted_at=None),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="agent_next_fire_needs_schedule",
                condition=Q(cron_next_fire_at=None) | Q(cron_schedule__isnull=False),
            ),
            models.CheckConstraint(
                name="agent_schedule_is_null_or_text",
                condition=Q(cron_schedule=None) | ~Q(cron_schedule=""),
            ),
            models.CheckConstraint(
                name="agent_deleted_has_no_schedule",
                condition=Q(deleted_at=None) | Q(cron_schedule=None),
            ),
            models.CheckConstraint(
                name="agent_overlap_policy_known",
                condition=Q(cron_overlap_policy__in=OverlapPolicy.values),
            ),
            models.CheckConstraint(
                name="agent_catchup_policy_known",
                condition=Q(cron_catchup_policy__in=CatchupPolicy.values),
            ),
            models.CheckConstraint(
                name="agent_run_timeout_positive", condition=Q(cron_run_timeout_seconds__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)

    def clean(self) -> None:
        """Refuse a schedule that cannot run, as every door does. Raises ValidationError.

        One that the worker disabled as invalid may stay as it is until it is edited or enabled.
        """
        if self.cron_enabled or not self.cron_disabled_reason:
            validation.validate_pair(self.cron_schedule, self.cron_timezone)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Leave the pair to ``clean``, whose sentence names it also when it is too long."""
        super().clean_fields(exclude={*(exclude or ()), "cron_schedule", "cron_timezone"})

    @property
    def supports_tui(self) -> bool:
        return self.harness_id in harnesses.WITH_TERMINAL

    def schedule_values(self) -> dict[str, Any]:
        """The schedule columns that a user may write, by name."""
        return {name: getattr(self, name) for name in SCHEDULE_COLUMNS}


class ScheduleChange(models.Model):
    """What one edit did to a schedule. Append-only; the history that pauses are read from.

    A change that cut off instants which were due and not yet looked at keeps the first of them in
    ``unsettled_from`` until the tick has settled them as ``superseded`` or ``paused``.
    """

    agent = models.ForeignKey(
        Agent, models.PROTECT, related_name="schedule_changes", db_index=False
    )
    changed_at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    reason = models.CharField(max_length=500, blank=True, default="")
    schedule_before = models.CharField(max_length=100, null=True)
    schedule_after = models.CharField(max_length=100, null=True)
    timezone_before = models.CharField(max_length=64)
    timezone_after = models.CharField(max_length=64)
    enabled_before = models.BooleanField()
    enabled_after = models.BooleanField()
    next_fire_before = models.DateTimeField(null=True)
    next_fire_after = models.DateTimeField(null=True)
    policies_before = models.JSONField(default=dict)
    policies_after = models.JSONField(default=dict)
    unsettled_from = models.DateTimeField(null=True)

    objects = ScheduleChangeQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["agent", "changed_at"], name="schedule_change_history"),
            models.Index(
                fields=["id"],
                name="schedule_change_unsettled",
                condition=Q(unsettled_from__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="schedule_change_unsettled_has_instants",
                condition=Q(unsettled_from=None)
                | Q(schedule_before__isnull=False, unsettled_from__lte=F("changed_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schedule_before} → {self.schedule_after} by {self.actor}"
