"""Rates that all web processes share: the generic cell rate algorithm in PostgreSQL.

A row says when its caller's requests, spread evenly at the rate, would all have been made. It may
lie ahead of now by as much as a burst takes. Only the database's clock is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a minute, ``burst`` of them at once."""

    per_minute: int
    burst: int

    @property
    def interval(self) -> timedelta:
        return timedelta(minutes=1) / self.per_minute

    @property
    def tolerance(self) -> timedelta:
        return self.interval * (self.burst - 1)


def take(key: str, rate: Rate) -> float | None:
    """Charge one request to ``key``: None when it may pass, else the seconds it has to wait.

    A refused request is not charged, so asking too early does not make the wait longer.
    """
    values: dict[str, Any] = {"key": key, "interval": rate.interval, "tolerance": rate.tolerance}
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        if cursor.fetchone():
            return None
        cursor.execute(_WAIT, values)
        return _seconds(cursor.fetchone())


def give_back(key: str, rate: Rate) -> None:
    """Take back one charge of ``key``, for a request that turned out not to count."""
    values: dict[str, Any] = {"key": key, "interval": rate.interval}
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, values)


def _seconds(row: tuple[Any, ...] | None) -> float:
    """The wait that was read; none is left when the row was swept meanwhile."""
    return max(0.0, float(row[0])) if row else 0.0


# Who writes a new row (its xmax is 0) also removes some that say nothing any more. It does so
# after its own write and passes over locked rows, so two of them cannot wait for each other.
_TAKE = """
WITH taken AS (
    INSERT INTO access_rateuse AS used (key, allowed_at)
    VALUES (%(key)s, clock_timestamp() + %(interval)s)
    ON CONFLICT (key) DO UPDATE
    SET allowed_at = greatest(used.allowed_at, clock_timestamp()) + %(interval)s
    WHERE used.allowed_at <= clock_timestamp() + %(tolerance)s
    RETURNING xmax = 0 AS is_new
), past AS (
    SELECT found.key FROM taken, LATERAL (
        SELECT key FROM access_rateuse
        WHERE taken.is_new AND allowed_at < clock_timestamp() - interval '10 seconds'
        LIMIT 100 FOR UPDATE SKIP LOCKED
    ) AS found
), swept AS (
    DELETE FROM access_rateuse WHERE key IN (SELECT key FROM past)
)
SELECT 1 FROM taken
"""
_GIVE_BACK = """
UPDATE access_rateuse SET allowed_at = allowed_at - %(interval)s WHERE key = %(key)s
"""
_WAIT = """
SELECT extract(epoch FROM allowed_at - clock_timestamp() - %(tolerance)s)
FROM access_rateuse WHERE key = %(key)s
"""
