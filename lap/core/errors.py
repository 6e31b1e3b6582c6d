"""Errors that more than one app raises or expects."""

from django.db import InterfaceError, InternalError, OperationalError
from psycopg.errors import QueryCanceled

DATABASE_AWAY = (InterfaceError, InternalError, OperationalError)
"""The database could not be asked, or ended a transaction that took too long: ask again."""


def is_away(error: Exception) -> bool:
    """Whether asking again may help. A statement that took too long would take too long again."""
    return isinstance(error, DATABASE_AWAY) and not isinstance(error.__cause__, QueryCanceled)


class StaleVersion(Exception):
    """The caller edited a version that is no longer the current one."""

    def __init__(self, current: int) -> None:
        super().__init__(f"it was changed meanwhile; the current version is {current}")
        self.current = current


class Conflict(Exception):
    """What was asked for does not fit what is going on; the sentence says what to do instead."""
