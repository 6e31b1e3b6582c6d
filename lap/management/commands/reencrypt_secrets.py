from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lap.core.rotation import Column, encrypted_columns, rotate


class Command(BaseCommand):
    help = (
        "Bring every stored secret under the first of LAP_ENCRYPTION_KEYS. Before it, give every"
        " web and worker process the new key behind the old one, then in front of it. After it,"
        " when nothing was undecryptable, take the old key away. May be interrupted and repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--batch", type=int, default=500, help="rows written at once (%(default)s)"
        )

    def handle(self, *args: Any, batch: int, **options: Any) -> None:
        if batch < 1:
            raise CommandError("--batch must be at least 1")
        if len(settings.LAP_ENCRYPTION_KEYS) < 2:
            raise CommandError(
                "There is only one encryption key here, so there is nothing to change over to."
                " Run this with LAP_ENCRYPTION_KEYS=<new>,<old>, as the other processes have it."
            )
        columns = encrypted_columns()
        for column in columns:
            rotate(column, batch)
            self._show(column)
        if lost := sum(len(column.undecryptable) for column in columns):
            raise CommandError(
                f"{lost} could not be decrypted with any of LAP_ENCRYPTION_KEYS and were left as"
                " they are. Add the key that they were written with, and run this again."
            )

    def _show(self, column: Column) -> None:
        self.stdout.write(
            f"{column}: {column.reencrypted} re-encrypted, {column.current} already under the"
            f" first key, {len(column.undecryptable)} undecryptable"
        )
        for id_ in column.undecryptable:
            self.stdout.write(f"  undecryptable: {id_}")
