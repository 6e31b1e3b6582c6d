"""Writes what was decided, set-wise: the ledger, the sessions it allows, then the agents."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from scheduler.decide import Fire
from scheduler.outcome import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one agent; ``next_fire_at`` is the instant to look at next."""

    agent_id: UUID
    fires: Sequence[Fire]
    next_fire_at: datetime | None


class LedgerRow(NamedTuple):
    """A ledger row that was inserted."""

    outcome: str
    instants: int
    scheduled_for: datetime


_INSERT_FIRES = """
INSERT INTO scheduler_cronfire
    (agent_id, scheduled_for, scheduled_until, count, outcome, reason, session_id, decided_at)
SELECT fire.*, %(now)s
FROM jsonb_to_recordset(%(fires)s::jsonb) AS fire (
    agent_id uuid, scheduled_for timestamptz, scheduled_until timestamptz, count int,
    outcome text, reason text, session_id uuid)
ON CONFLICT DO NOTHING
RETURNING agent_id, scheduled_for, session_id, outcome, count
"""

_RECORD = f"""
WITH fires AS ({_INSERT_FIRES}),
runs AS (
    INSERT INTO agent_sessions_session (
        id, agent_id, trigger, scheduled_for, title, initial_prompt, run_timeout_seconds,
        created_at, created_by)
    SELECT fires.session_id, agent.id, 'cron', fires.scheduled_for,
        'scheduled run at ' || instant.iso,
        COALESCE(NULLIF(agent.cron_prompt, ''), '[cron] scheduled run at ' || instant.iso),
        agent.cron_run_timeout_seconds, %(now)s, 'schedule'
    FROM fires
    JOIN agents_agent AS agent ON agent.id = fires.agent_id
    CROSS JOIN LATERAL to_char(
        fires.scheduled_for AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS instant (iso)
    WHERE fires.outcome = 'started'
    RETURNING agent_id
),
advanced AS (
    UPDATE agents_agent AS agent
    SET cron_next_fire_at = decided.next_fire_at,
        cron_last_fired_at = CASE WHEN EXISTS (SELECT FROM runs WHERE runs.agent_id = agent.id)
            THEN %(now)s ELSE agent.cron_last_fired_at END,
        cron_blocked_until = NULL,
        cron_blocked_reason = ''
    FROM jsonb_to_recordset(%(agents)s::jsonb) AS decided (id uuid, next_fire_at timestamptz)
    WHERE agent.id = decided.id
)
SELECT outcome, count, scheduled_for FROM fires
"""


def record(decisions: Sequence[Decision], now: datetime) -> list[LedgerRow]:
    """Write decisions for agents that the caller has locked; returns the rows it inserted.

    One statement, and what its parts hand on is the safety: sessions are inserted from ledger rows
    that were inserted as ``started``, and ``cron_last_fired_at`` moves only for sessions that were
    inserted. An instant that has a row keeps it: nothing that was decided is decided again.
    """
    if not decisions:
        return []
    fires = [_fire(decision.agent_id, fire) for decision in decisions for fire in decision.fires]
    agents = [{"id": d.agent_id, "next_fire_at": d.next_fire_at} for d in decisions]
    return _execute(_RECORD, fires, now, agents=_json(agents))


def insert_fires(agent_id: UUID, fires: Sequence[Fire], now: datetime) -> list[LedgerRow]:
    """Insert ledger rows that start nothing; returns those whose instants had none yet."""
    statement = f"WITH fires AS ({_INSERT_FIRES}) SELECT outcome, count, scheduled_for FROM fires"
    return _execute(statement, [_fire(agent_id, fire) for fire in fires], now)


def _execute(
    statement: str, fires: list[dict[str, Any]], now: datetime, **parameters: str
) -> list[LedgerRow]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"now": now, "fires": _json(fires), **parameters})
        rows = [LedgerRow(*row) for row in cursor.fetchall()]
    if len(rows) < len(fires):
        log.warning("%d instants already had a row", len(fires) - len(rows))
    return rows


def _fire(agent_id: UUID, fire: Fire) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "scheduled_for": fire.scheduled_for,
        "scheduled_until": fire.scheduled_until,
        "count": fire.count,
        "outcome": fire.outcome,
        "reason": fire.reason,
        "session_id": uuid.uuid4() if fire.outcome is Outcome.STARTED else None,
    }


def _json(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, default=str)
