from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lap.access.models import ApiKey


class Command(BaseCommand):
    help = "End a named key for good: from now on it is refused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the name that the key was created with")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        found = ApiKey.objects.filter(name=name)
        if not found.exists():
            raise CommandError(f"there is no key with the name {name!r}")
        if found.revoke():
            self.stderr.write(f"The key {name} is revoked.")
        else:
            self.stderr.write(f"The key {name} was revoked before.")
