"""Tables whose content a test knows when it asks PostgreSQL for a plan.

Otherwise the plan also depends on what earlier tests left behind: pages of indexes, statistics,
and whether autovacuum came by.
"""

from __future__ import annotations

from django.db import connection
from django.db.models import Model


def start_afresh(model: type[Model]) -> None:
    """Give the table, and all that refer to it, new files without rows or statistics.

    Needs the transaction of the test, whose end brings the old files back.
    """
    assert connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute(f'TRUNCATE "{model._meta.db_table}" CASCADE')


def analyze(*models: type[Model]) -> None:
    """Tell the planner what the tables hold; autovacuum stays away until the transaction ends."""
    with connection.cursor() as cursor:
        for model in models:
            cursor.execute(f'ANALYZE "{model._meta.db_table}"')
