from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import ValidationError as FieldError

from lap.access.models import ApiKey
from lap.core import clock
from lap.core.admin import utc
from lap.core.api.authentication import Scope
from lap.core.api.errors import sentence_or_list
from lap.core.api.fields import Instant

DAYS_LIMIT = 3650


class Command(BaseCommand):
    help = "Create a named key for the API and print it, this once. `revoke_api_key` ends it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="who the key is for; its work is recorded as 'key NAME'")
        parser.add_argument("--scope", choices=Scope.values, required=True)
        expiry = parser.add_mutually_exclusive_group()
        expiry.add_argument("--expires-days", type=int, metavar="N", help="good for N days")
        expiry.add_argument("--expires", metavar="ISO", help="good until then (ISO 8601, offset)")

    def handle(self, *args: Any, **options: Any) -> None:
        row = ApiKey(
            name=options["name"],
            scope=options["scope"],
            expires_at=_expiry(options["expires_days"], options["expires"]),
            created_by="create_api_key",
        )
        try:
            key = row.issue()
        except ValidationError as error:
            raise CommandError(_sentence(error)) from None
        until = f"until {utc(row.expires_at)}" if row.expires_at else "until it is revoked"
        self.stderr.write(f"The key {row} may {row.get_scope_display()} {until}.")
        self.stderr.write("Keep it now: only its hash is stored, so it is not shown again.")
        self.stdout.write(key)


def _expiry(days: int | None, text: str | None) -> datetime | None:
    """When the key ends. Raises CommandError that names the option."""
    if days is not None:
        if not 1 <= days <= DAYS_LIMIT:
            raise CommandError(f"--expires-days must lie between 1 and {DAYS_LIMIT}, not {days}")
        return clock.now() + timedelta(days=days)
    if text is None:
        return None
    try:
        return Instant().to_internal_value(text)
    except FieldError as error:
        raise CommandError(f"--expires {text!r}: {sentence_or_list(error.detail)}") from None


def _sentence(error: ValidationError) -> str:
    fields = error.message_dict.items()
    return "; ".join(f"{name}: {' '.join(messages)}" for name, messages in fields)
