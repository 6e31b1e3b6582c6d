"""Fills an empty database with agents, their sessions and their ledgers, by SQL.

Agents are copies of one that was created as the API creates it, with up to 2,880 different
schedules. Older agents have more sessions: the median has a few, the oldest of 100,000 some 20,000
of 1,000,000. Sessions differ in size (up to 2 KB of reply, now and then a thread of 10 KB); nine in
ten were scheduled, and each has its row in the ledger; the others stand for instants that were
skipped.
"""

from typing import Any

AGENTS = """
    INSERT INTO agents_agent
    SELECT (jsonb_populate_record(template, jsonb_build_object(
        'id', gen_random_uuid(),
        'name', (ARRAY['Nightly','Hourly','Weekly','Daily'])[1 + i % 4] || ' '
             || (ARRAY['report','sync','check','backup','digest','cleanup'])[1 + i % 6] || ' ' || i,
        'harness_id', (ARRAY['opencode','shell','codex','gemini'])[1 + i % 4],
        'prompt', left(repeat(md5(i::text), 60), i * 7919 % 1500),
        'created_at', now() - (%(agents)s - i) * interval '1 minute',
        'cron_schedule', concat(i % 60, ' ', (i / 60) % 24, ' * * ', (ARRAY['*','1-5'])[1 + i % 2]),
        'cron_next_fire_at', date_trunc('day', now()) + interval '1 day 9 hours'
    ))).*
    FROM agents_agent template, generate_series(2, %(agents)s) i
"""
RUNS = """
    CREATE TEMPORARY TABLE run AS
    WITH drawn AS (
        SELECT i, (1 + floor(%(agents)s * random() ^ 3))::int AS number
        FROM generate_series(1, %(sessions)s) i
    ), numbered AS (SELECT id, row_number() OVER (ORDER BY created_at) AS number FROM agents_agent)
    SELECT drawn.i, gen_random_uuid() AS id, numbered.id AS agent_id, i %% 10 <> 0 AS is_cron,
        now() - i * interval '20 seconds' AS created_at,
        date_trunc('minute', now()) - interval '5 minutes'
            * row_number() OVER (PARTITION BY drawn.number ORDER BY i) AS scheduled_for
    FROM drawn JOIN numbered USING (number)
"""
SESSIONS = """
    INSERT INTO agent_sessions_session (
        id, agent_id, status, trigger, scheduled_for, title, initial_prompt, response, thread,
        created_at, started_at, last_seen_at, stopped_at, created_by, sandbox_name
    )
    SELECT id, agent_id,
        CASE WHEN is_final THEN (ARRAY['completed','completed','failed','dead'])[1 + i % 4]
             ELSE 'ready' END,
        CASE WHEN is_cron THEN 'cron' ELSE 'api' END,
        CASE WHEN is_cron THEN scheduled_for END,
        'run ' || i, 'Tell me what has changed.',
        left(repeat(md5(i::text), 60), floor(1900 * random() ^ 3)::int),
        CASE WHEN i % 50 = 0 THEN jsonb_build_array(repeat(md5(i::text), 300)) ELSE '[]' END,
        created_at, created_at, created_at, CASE WHEN is_final THEN created_at END,
        'bench', 's-' || id || '-1'
    FROM (SELECT *, i % 2000 <> 0 AS is_final FROM run) run ORDER BY i DESC
"""
LEDGER = """
    INSERT INTO scheduler_cronfire (
        agent_id, scheduled_for, count, outcome, reason, session_id, decided_at
    )
    SELECT agent_id, scheduled_for, 1,
        CASE WHEN is_cron THEN 'started' ELSE 'skipped_overlap' END,
        CASE WHEN is_cron THEN '' ELSE 'the previous run was active' END,
        CASE WHEN is_cron THEN id END, scheduled_for + interval '100 milliseconds'
    FROM run ORDER BY i DESC
"""


def fill(cursor: Any, agents: int, sessions: int) -> None:
    """Beside the one agent that is there already. VACUUM has to follow."""
    sizes = {"agents": agents, "sessions": sessions}
    cursor.execute("SET synchronous_commit = off")
    cursor.execute("SET work_mem = '256MB'")
    cursor.execute(AGENTS.replace("% ", "%% "), sizes)
    cursor.execute(RUNS, sizes)
    cursor.execute(SESSIONS)
    cursor.execute(LEDGER)
