"""Sessions (runs of agents) and the workers that carry them."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import models
from django.db.models import ExpressionWrapper, Q
from django.db.models.functions import Now

from lap.core.secrets import EncryptedField
from sessions.querysets import (
    HAS_WORK,
    HOLDS_SECRETS,
    IS_ACTIVE_RUN,
    SessionQuerySet,
    WorkerQuerySet,
)


class Status(models.TextChoices):
    CREATING = "creating"
    READY = "ready"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"


class Trigger(models.TextChoices):
    API = "api"
    CRON = "cron"
    MANUAL = "manual"


class Worker(models.Model):
    """One worker process and its lease: whoever it names is live until ``expires_at``.

    Expiry is judged by the database's own clock. ``ended_at`` is set once, by the worker when it
    leaves or by the rescuer that found it expired; from then on the row is never live again.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.CharField(max_length=500)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=50)
    started_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    counters = models.JSONField(default=dict)
    backend = models.CharField(max_length=50, blank=True, default="", db_default="")
    backend_error = models.TextField(blank=True, default="", db_default="")
    backend_elapsed_ms = models.FloatField(null=True, blank=True)
    backend_checked_at = models.DateTimeField(null=True, blank=True)
    warm_pools = models.JSONField(default=list, db_default=[], blank=True)
    warm_pools_at = models.DateTimeField(null=True, blank=True)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at"]
        indexes = [
            models.Index(fields=["expires_at"], name="worker_live", condition=Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.host} pid {self.pid}"


class Duty(models.Model):
    """Work that one worker at a time does for all, and until when it is that worker's.

    A worker that has ended has no duties any more, whatever ``until`` says.
    """

    name = models.CharField(max_length=600, primary_key=True)
    worker = models.ForeignKey(
        Worker, models.SET_NULL, null=True, related_name="duties", db_index=False
    )
    until = models.DateTimeField()

    class Meta:
        verbose_name_plural = "duties"

    def __str__(self) -> str:
        return self.name


class Session(models.Model):
    """One run of an agent in a sandbox.

    Who holds it (``worker``) brings it up and ends it; everybody else writes only ``stopping``.
    ``attempt`` names the sandbox, ``tries`` counts bring-ups that failed. ``replays_thread`` says
    that the first message of this attempt tells the thread of the one before. Every column has its
    default in the database too: the tick inserts with SQL, and older workers go on inserting
    while a migration adds a column.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    agent = models.ForeignKey(
        "agents.Agent", models.PROTECT, related_name="sessions", db_index=False
    )
    status = models.CharField(
        max_length=20, choices=Status.choices, default=Status.CREATING, db_default="creating"
    )
    phase = models.CharField(max_length=50, blank=True, default="", db_default="")
    phase_detail = models.CharField(max_length=500, blank=True, default="", db_default="")
    trigger = models.CharField(
        max_length=10, choices=Trigger.choices, default=Trigger.API, db_default="api"
    )
    scheduled_for = models.DateTimeField(null=True, blank=True)
    title = models.CharField(max_length=200, blank=True, default="", db_default="")
    initial_prompt = models.TextField(blank=True, default="", db_default="")
    has_prompt = models.GeneratedField(
        expression=ExpressionWrapper(~Q(initial_prompt=""), models.BooleanField()),
        output_field=models.BooleanField(),
        db_persist=True,
    )
    env_vars = EncryptedField(null=True, blank=True)
    attachments = EncryptedField(null=True, blank=True)
    wiped_at = models.DateTimeField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=200, blank=True, default="", db_default="")
    idempotency_digest = models.CharField(max_length=64, blank=True, default="", db_default="")
    run_timeout_seconds = models.PositiveIntegerField(null=True, blank=True)

    worker = models.ForeignKey(
        Worker, models.SET_NULL, null=True, blank=True, related_name="sessions", db_index=False
    )
    claimed_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=1, db_default=1)
    tries = models.PositiveIntegerField(default=0, db_default=0)

    harness_id = models.CharField(max_length=50, blank=True, default="", db_default="")
    sandbox_name = models.CharField(max_length=50, blank=True, default="", db_default="")
    sandbox_host = models.CharField(max_length=500, blank=True, default="", db_default="")
    sandbox_url = models.CharField(max_length=500, blank=True, default="", db_default="")
    harness_token = EncryptedField(null=True, blank=True)
    callback_token_hash = models.CharField(max_length=64, blank=True, default="", db_default="")
    harness_session_id = models.CharField(max_length=200, blank=True, default="", db_default="")
    prompt_sent_at = models.DateTimeField(null=True, blank=True)
    prompt_answered_at = models.DateTimeField(null=True, blank=True)
    response = models.TextField(null=True, blank=True)
    thread = models.JSONField(default=list, db_default=[], blank=True)
    replays_thread = models.BooleanField(default=False, db_default=False)

    stop_as = models.CharField(
        max_length=20, blank=True, default="", db_default="", choices=Status.choices
    )
    failure_reason = models.TextField(null=True, blank=True)
    failure_kind = models.CharField(max_length=50, blank=True, default="", db_default="")

    created_at = models.DateTimeField(db_default=Now())
    created_by = models.CharField(max_length=200, blank=True, default="", db_default="")
    started_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)

    age: timedelta
    """Since the first claim; only on sessions that a worker has loaded."""

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="session_list"),
            models.Index(fields=["agent", "-created_at", "-id"], name="session_list_of_agent"),
            models.Index(fields=["status", "-created_at", "-id"], name="session_list_of_status"),
            models.Index(fields=["trigger", "-created_at", "-id"], name="session_list_of_trigger"),
            models.Index(fields=["agent"], name="session_active_run", condition=IS_ACTIVE_RUN),
            models.Index(fields=["created_at"], name="session_has_work", condition=HAS_WORK),
            models.Index(fields=["stopped_at"], name="session_secrets", condition=HOLDS_SECRETS),
            models.Index(fields=["worker"], name="session_held", condition=Q(worker__isnull=False)),
            models.Index(
                fields=["agent"],
                name="session_active",
                condition=Q(status__in=("creating", "ready", "stopping")),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["agent", "scheduled_for"],
                name="session_once_per_instant",
                condition=Q(trigger="cron"),
            ),
            models.UniqueConstraint(
                fields=["agent", "idempotency_key"],
                name="session_once_per_idempotency_key",
                condition=~Q(idempotency_key=""),
            ),
            models.CheckConstraint(
                name="session_cron_has_instant",
                condition=Q(trigger="cron", scheduled_for__isnull=False)
                | (~Q(trigger="cron") & Q(scheduled_for=None)),
            ),
            models.CheckConstraint(
                name="session_status_known", condition=Q(status__in=Status.values)
            ),
            models.CheckConstraint(
                name="session_trigger_known", condition=Q(trigger__in=Trigger.values)
            ),
            models.CheckConstraint(
                name="session_stopping_knows_its_end",
                condition=~Q(status="stopping") | Q(stop_as__in=("completed", "failed", "dead")),
            ),
            models.CheckConstraint(
                name="session_final_is_nobodys",
                condition=Q(status__in=("creating", "ready", "stopping"))
                | Q(worker=None, stopped_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.trigger} session {self.id}"

    @property
    def is_run(self) -> bool:
        """A run that ends when its prompt has been answered, unlike a conversation."""
        return self.trigger != Trigger.API

    @property
    def harness(self) -> str:
        """What runs in the attempt's sandbox, also when the agent was edited since."""
        return self.harness_id or self.agent.harness_id

    @property
    def has_first_message(self) -> bool:
        return bool(self.has_prompt or self.replays_thread)

    def sandbox_of(self, attempt: int) -> str:
        """The name that an attempt's sandbox has, on every backend."""
        return f"s-{self.id}-{attempt}"
