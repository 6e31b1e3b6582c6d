"""The ledger: what became of every instant of every schedule."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Coalesce

from scheduler.outcome import Outcome

OUTCOME_LABELS = {
    Outcome.STARTED: "Started",
    Outcome.SKIPPED_OVERLAP: "Skipped: the previous run was active",
    Outcome.MISSED: "Missed",
    Outcome.COALESCED: "Folded into a later run",
    Outcome.PAUSED: "Paused",
    Outcome.SUPERSEDED: "Superseded by an edit",
    Outcome.INVALID_SCHEDULE: "Invalid schedule",
}

PROBLEMS = ("missed", "invalid_schedule", "skipped_overlap")
"""Outcomes that an operator wants to hear of. Newest first they ride on cron_fire_problems."""


class CronFire(models.Model):
    """One instant, or a run of ``count`` neighbouring instants up to ``scheduled_until``.

    The database keeps one row per agent and instant: neither a second row nor a range may cover
    an instant that has one. Only a started instant has a session.
    """

    agent = models.ForeignKey(
        "agents.Agent", models.PROTECT, related_name="cron_fires", db_index=False
    )
    scheduled_for = models.DateTimeField()
    scheduled_until = models.DateTimeField(null=True, blank=True)
    count = models.PositiveIntegerField(default=1)
    outcome = models.CharField(
        max_length=20, choices=[(outcome.value, label) for outcome, label in OUTCOME_LABELS.items()]
    )
    reason = models.CharField(max_length=500, blank=True, default="")
    session = models.OneToOneField(
        "agent_sessions.Session", models.SET_NULL, null=True, blank=True, related_name="cron_fire"
    )
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ["-scheduled_for", "-id"]
        indexes = [
            # In the order of decisions, which no list of one agent has: an index by instant
            # would tempt the planner to walk all agents' rows for those.
            models.Index(
                fields=["outcome", "-id"],
                name="cron_fire_list_of_outcome",
                condition=~Q(outcome="started"),
            ),
            models.Index(
                fields=["-decided_at"], name="cron_fire_problems", condition=Q(outcome__in=PROBLEMS)
            ),
            models.Index(
                fields=["-decided_at"],
                name="cron_fire_without_run",
                condition=Q(outcome__in=("missed", "coalesced")),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["agent", "scheduled_for"], name="cron_fire_once_per_instant"
            ),
            ExclusionConstraint(
                name="cron_fire_ranges_do_not_overlap",
                expressions=[
                    ("agent", RangeOperators.EQUAL),
                    (
                        Func(
                            F("scheduled_for"),
                            Coalesce(F("scheduled_until"), F("scheduled_for")),
                            models.Value("[]"),
                            function="tstzrange",
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
            models.CheckConstraint(
                name="cron_fire_range_is_whole",
                condition=Q(scheduled_until=None, count=1)
                | Q(scheduled_until__gt=F("scheduled_for"), count__gt=1),
            ),
            models.CheckConstraint(
                name="cron_fire_session_only_if_started",
                condition=Q(session=None) | Q(outcome="started"),
            ),
            models.CheckConstraint(
                name="cron_fire_started_is_one_instant",
                condition=~Q(outcome="started") | Q(count=1),
            ),
            models.CheckConstraint(
                name="cron_fire_outcome_known",
                condition=Q(outcome__in=[outcome.value for outcome in Outcome]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scheduled_for:%Y-%m-%dT%H:%MZ} {self.outcome}"
