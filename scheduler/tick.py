"""The tick: settles what is due, in short transactions that write rows and nothing else."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F

from agents.editing import disable_invalid
from agents.models import Agent, ScheduleChange
from lap.core import clock
from lap.core.errors import is_away
from lap.core.notify import notify_workers
from lap.core.transactions import claim_transaction
from scheduler.backlog import due_instants
from scheduler.cron import CronError
from scheduler.decide import Backlog, Due, Fire, Toggle, decide, supersede
from scheduler.ledger import Decision, LedgerRow, insert_fires, record
from scheduler.observing import observe_fires
from scheduler.outcome import Outcome
from scheduler.result import TickResult
from sessions.models import Session

log = logging.getLogger(__name__)

INSTANTS_LIMIT = 200_000
"""Instants that one transaction settles: computing them must not outlast its locks' limits."""

DECIDING = (
    "id",
    "cron_schedule",
    "cron_timezone",
    "cron_next_fire_at",
    "cron_catchup_policy",
    "cron_catchup_window_seconds",
)
"""The columns that decisions need: the others, secrets among them, are not read."""


def tick() -> TickResult:
    """Settle one batch of edits and one batch of due agents, each in its own transaction.

    A batch that fails is repeated agent by agent, and the agent that fails steps aside. Raises
    one of DATABASE_AWAY when the database itself failed: nothing happened then.
    """
    result = settle_edits()
    now = clock.now()
    try:
        with claim_transaction():
            agents = _claim_due(now)
            result.add(_settle(agents, clock.now()))
    except Exception as error:
        if is_away(error):
            raise
        log.exception("a batch failed; settling its agents one by one")
        result.add(_settle_each(now))
    return result


def settle_edits() -> TickResult:
    """Give instants that edits cut off their rows: ``superseded``, or ``paused`` inside a pause."""
    result = TickResult()
    unsettled = ScheduleChange.objects.unsettled()[: settings.LAP_CRON_BATCH_LIMIT]
    agent_ids = set(unsettled.values_list("agent_id", flat=True))
    if not agent_ids:
        return result
    with claim_transaction():
        edited = Agent.objects.filter(id__in=agent_ids).order_by("id").only("id")
        agents = edited.claim(len(agent_ids))
        changes = ScheduleChange.objects.unsettled().filter(agent__in=agents)
        chunk = _chunk(len(changes))
        for change in changes:
            try:
                with transaction.atomic():
                    _settle_edit(change, chunk, result)
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("an edit stays unsettled", extra={"agent": change.agent_id})
                result.errors += 1
    return result


def _settle_edit(change: ScheduleChange, chunk: int, result: TickResult) -> None:
    """Settle the oldest ``chunk`` instants that the edit cut off, by the schedule before it."""
    first, until = change.unsettled_from, change.changed_at
    assert first is not None
    assert change.schedule_before is not None
    try:
        backlog = due_instants(change.schedule_before, change.timezone_before, first, until, chunk)
    except CronError as error:
        backlog = Backlog((), None)
        fires = [Fire(Outcome.INVALID_SCHEDULE, first, str(error)[:500])]
    else:
        fires = supersede(backlog, _toggles_before(change, first), until)
    _count(result, insert_fires(change.agent_id, fires, clock.now()))
    change.unsettled_from = None if backlog.reaches(until) else backlog.following
    change.save(update_fields=["unsettled_from"])


def _toggles_before(change: ScheduleChange, since: datetime) -> list[Toggle]:
    history = ScheduleChange.objects.toggles().filter(
        agent=change.agent_id, changed_at__gte=since, id__lt=change.id
    )
    toggles = [Toggle(*row) for row in history.values_list("changed_at", "enabled_after")]
    if not toggles and not change.enabled_before:
        return [Toggle(since, enabled=False)]
    return toggles


def _claim_due(now: datetime) -> list[Agent]:
    return Agent.objects.due(now).only(*DECIDING).claim(settings.LAP_CRON_BATCH_LIMIT)


def _settle(agents: Sequence[Agent], now: datetime) -> TickResult:
    """Decide and write for agents that are locked; ``now`` was read after the lock.

    What is active and what was toggled is read in statements of their own: they see a newer
    snapshot than the locking statement, so a run that it did not see cannot be doubled.
    """
    ids = [agent.id for agent in agents]
    busy = set(Session.objects.active_runs_of(ids).values_list("agent_id", flat=True))
    toggles = _toggles_of(ids)
    chunk = _chunk(len(agents))
    decisions = [
        _decide(agent, _due(agent, agent.id in busy, toggles[agent.id]), now, chunk)
        for agent in agents
    ]
    result = TickResult(considered=len(agents))
    _count(result, record(decisions, now))
    if result.fired:
        notify_workers()
    return result


def _count(result: TickResult, rows: Sequence[LedgerRow]) -> None:
    """Count what was written, and measure it as soon as others can see it."""
    result.count(rows)
    transaction.on_commit(partial(observe_fires, rows), robust=True)


def _decide(agent: Agent, due: Due, now: datetime, chunk: int) -> Decision:
    """Decide for one agent; an invalid schedule is switched off and has nothing to start."""
    first = agent.cron_next_fire_at
    assert first is not None
    assert agent.cron_schedule is not None
    try:
        backlog = due_instants(agent.cron_schedule, agent.cron_timezone, first, now, chunk)
    except CronError as error:
        log.error("schedule switched off: %s", error, extra={"agent": agent.id})
        disable_invalid(agent.id, str(error), now)
        return Decision(agent.id, [Fire(Outcome.INVALID_SCHEDULE, first, str(error)[:500])], None)
    return Decision(agent.id, decide(due, backlog, now), backlog.following)


def _due(agent: Agent, has_active_run: bool, toggles: Sequence[Toggle]) -> Due:
    return Due(
        catchup_policy=agent.cron_catchup_policy,
        catchup_window=timedelta(seconds=agent.cron_catchup_window_seconds),
        has_active_run=has_active_run,
        toggles=toggles,
    )


def _toggles_of(agent_ids: Sequence[UUID]) -> dict[UUID, list[Toggle]]:
    """Since each agent's next instant, when it was switched on and off."""
    history = ScheduleChange.objects.toggles().filter(
        agent__in=agent_ids, changed_at__gte=F("agent__cron_next_fire_at")
    )
    toggles = defaultdict[UUID, list[Toggle]](list)
    for agent_id, changed_at, enabled in history.values_list(
        "agent_id", "changed_at", "enabled_after"
    ):
        toggles[agent_id].append(Toggle(changed_at, enabled))
    return toggles


def _chunk(size: int) -> int:
    """How many instants each of ``size`` agents may settle, so that none starves the others."""
    return min(settings.LAP_CRON_BACKLOG_LIMIT, max(100, INSTANTS_LIMIT // max(size, 1)))


def _settle_each(now: datetime) -> TickResult:
    """Settle a failing batch agent by agent, each in a savepoint."""
    result = TickResult()
    with claim_transaction():
        for agent in _claim_due(now):
            try:
                with transaction.atomic():
                    result.add(_settle([agent], clock.now()))
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("an agent steps aside", extra={"agent": agent.id})
                _step_aside(agent, error)
                result.errors += 1
    return result


def _step_aside(agent: Agent, error: Exception) -> None:
    pause = timedelta(seconds=settings.LAP_CRON_BLOCK_SECONDS)
    Agent.objects.filter(id=agent.id).update(
        cron_blocked_until=clock.now() + pause,
        cron_blocked_reason=f"{type(error).__name__}: {error}"[:500],
    )
