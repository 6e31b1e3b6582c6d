"""Transactions that hold locks others wait for."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

STATEMENT_TIMEOUT = "30s"
IDLE_TIMEOUT = "5s"


@contextmanager
def claim_transaction() -> Iterator[None]:
    """A transaction that PostgreSQL ends if its process stops answering.

    A stopped process (SIGSTOP, a lost machine) must not hold agents for longer than
    ``IDLE_TIMEOUT``. The limits are set for the transaction only, so that they also work behind
    a pooler that hands out connections by transaction.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true),"
                " set_config('idle_in_transaction_session_timeout', %s, true)",
                [STATEMENT_TIMEOUT, IDLE_TIMEOUT],
            )
        yield
