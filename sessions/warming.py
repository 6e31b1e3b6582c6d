"""Which configurations are worth a sandbox that was started ahead, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now

from agents.models import Agent
from lap.core import clock
from lap.core.clock import DatabaseClock
from lap.core.secrets import Undecryptable
from sessions.environment import configuration
from sessions.models import Session, Status, Worker
from sessions.sandboxes.base import Configuration, Pool

CAME_UP: Final = ExpressionWrapper(~Q(harness_session_id=""), output_field=BooleanField())
"""A session that was ready once in its attempt."""


def wanted() -> list[Configuration]:
    """Agents that are about to be used: those due soon, the first ones first, then recent ones.

    Edited agents come with their new configuration; deleted ones, those that only a disabled
    schedule would start, and those that cannot start are not here. At most
    ``K8S_WARM_POOLS_LIMIT``.
    """
    if not settings.K8S_WARM_POOL_SIZE:
        return []
    agents = {agent.id: agent for agent in (*_due_soon(), *_recently_used())}
    return [
        configuration(agent, agent.harness_id)
        for agent in list(agents.values())[: settings.K8S_WARM_POOLS_LIMIT]
        if not isinstance(agent.env_vars, Undecryptable)
    ]


def _due_soon() -> list[Agent]:
    """Agents whose next instant comes within ``K8S_WARM_LEAD_SECONDS``. Rides on agent_cron_due."""
    until = clock.now() + timedelta(seconds=settings.K8S_WARM_LEAD_SECONDS)
    due = Agent.objects.due(until).filter(_can_start("id"))
    return list(due[: settings.K8S_WARM_POOLS_LIMIT])


def _recently_used() -> list[Agent]:
    """Agents with a session of the last ``K8S_WARM_RECENT_SECONDS``, the newest first.

    Rides on session_list: the time of the statement, unlike the clock's, leaves it usable.
    """
    since = Now() - timedelta(seconds=settings.K8S_WARM_RECENT_SECONDS)
    recent = Session.objects.filter(created_at__gt=since, agent__deleted_at=None)
    sessions = recent.filter(_can_start("agent_id"))
    used = sessions.order_by().values("agent_id").annotate(at=Max("created_at")).order_by("-at")
    ids = [row["agent_id"] for row in used[: settings.K8S_WARM_POOLS_LIMIT]]
    found = Agent.objects.alive().in_bulk(ids)
    return [found[id_] for id_ in ids if id_ in found]


def _can_start(agent_id: str) -> Coalesce:
    """Whether the agent's newest session that tells did come up; true when none tells.

    What cannot start would be started ahead again and again. A session of an agent that was
    mended starts cold once. Rides on session_list_of_agent.
    """
    tells = Session.objects.filter(Q(CAME_UP) | Q(status=Status.FAILED), agent=OuterRef(agent_id))
    newest = tells.order_by("-created_at", "-id").values(came_up=CAME_UP)[:1]
    return Coalesce(Subquery(newest), True)


def report(worker_id: UUID, pools: Sequence[Pool]) -> None:
    """Keep what a pass saw of the pools where the web process finds it."""
    rows = [_row(pool) for pool in pools]
    Worker.objects.filter(id=worker_id).update(warm_pools=rows, warm_pools_at=DatabaseClock())


def _row(pool: Pool) -> dict[str, Any]:
    at = pool.oldest_warm_at
    return {
        **asdict(pool),
        "agent_id": str(pool.agent_id),
        "oldest_warm_at": at.isoformat() if at else None,
    }
