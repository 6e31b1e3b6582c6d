"""Wakes sleeping workers. A hint, never a message: whoever is woken looks at the rows."""

from django.db import connection

CHANNEL = "lap_work"


def notify_workers() -> None:
    """NOTIFY on the worker channel; PostgreSQL delivers it when the transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
