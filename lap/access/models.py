"""Named keys of the API, and how much of their rates callers have used."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from rest_framework_api_key.crypto import KeyGenerator

from lap.core import clock
from lap.core.api.authentication import Caller, Scope
from lap.core.clock import DatabaseClock

GENERATOR: Final = KeyGenerator()
USE_IS_OUTDATED: Final = Q(last_used_at=None) | Q(
    last_used_at__lt=DatabaseClock() - timedelta(minutes=1)
)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> ApiKeyQuerySet:
        """Keys that are good at this moment of the database's clock."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=DatabaseClock()), revoked_at=None)

    def with_state(self) -> ApiKeyQuerySet:
        """Adds ``state``: ``active``, ``expired`` or ``revoked``."""
        state = models.Case(
            models.When(revoked_at__isnull=False, then=models.Value("revoked")),
            models.When(expires_at__lte=DatabaseClock(), then=models.Value("expired")),
            default=models.Value("active"),
        )
        return self.annotate(state=state)

    def revoke(self) -> int:
        """End these keys for good; returns how many were not revoked before."""
        return self.filter(revoked_at=None).update(revoked_at=DatabaseClock())

    def record_use(self) -> int:
        """Write that these keys are used, where that was not written for a minute."""
        return self.filter(USE_IS_OUTDATED).update(last_used_at=DatabaseClock())


class ApiKey(models.Model):
    """One key: who it is for, what it may do and until when. Of the key itself only a hash.

    A name stands for one key for ever, since rows keep it as the author of what was done.
    """

    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[
            RegexValidator(
                r"^[\w.@:/+-]+( [\w.@:/+-]+)*\Z",
                "use letters, digits and . _ @ : / + - in words with one space between them, "
                "e.g. nightly-deploy",
            )
        ],
        error_messages={
            "unique": "this name is taken, maybe by a revoked key: a name is used only once"
        },
    )
    prefix = models.CharField(max_length=8, unique=True, editable=False)
    hashed_key = models.CharField(max_length=150, editable=False)
    scope = models.CharField(max_length=10, choices=Scope.choices)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=200, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(name="api_key_scope_known", condition=Q(scope__in=Scope.values))
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a key that nobody could ever use. Raises ValidationError."""
        if self.expires_at and self.expires_at <= clock.now():
            raise ValidationError({"expires_at": "this time has passed; use one in the future"})

    def issue(self) -> str:
        """Save the row and return its key, ``<prefix>.<secret>``, which cannot be had again.

        Raises ValidationError when the row is not valid, e.g. when its name is taken.
        """
        key, self.prefix, self.hashed_key = GENERATOR.generate()
        self.full_clean()
        self.save(force_insert=True)
        return key

    def is_opened_by(self, key: str) -> bool:
        """Whether ``key`` is the key of this row; takes as long whether it is or not."""
        return GENERATOR.verify(key, self.hashed_key)

    def caller(self) -> Caller:
        return Caller(f"key {self.name}", Scope(self.scope))


class RateUse(models.Model):
    """How far ahead of its rate somebody is: a row whose time has passed says nothing more.

    The table is unlogged: a crash of the database empties it, and no request waits for a disk.
    """

    key = models.TextField(primary_key=True)
    allowed_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.key
