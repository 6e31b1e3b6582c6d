"""The one clock that decides about schedules: the database's.

Every pod asks the same clock, so that skewed machines agree. Leases and log times do not come
through here: they use the database's clock as it is.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import DateTimeField, Func


def now() -> datetime:
    """The database's ``clock_timestamp()``, aware, in UTC.

    Unlike ``now()`` in SQL it moves on inside a transaction, so asking again after a lock was
    waited for gives the time after the wait. ``LAP_CLOCK_OFFSET_SECONDS`` is added (tests only).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row: tuple[datetime] = cursor.fetchone()
    return row[0] + timedelta(seconds=settings.LAP_CLOCK_OFFSET_SECONDS)


class DatabaseClock(Func):
    """``clock_timestamp()`` as an expression, for rows that only record when they were written."""

    function = "clock_timestamp"
    output_field = DateTimeField()
    arity = 0
