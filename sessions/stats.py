"""How much of everything there is, counted by the database in a handful of statements."""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, F, Q

from agents.models import Agent
from lap.core.api.fields import Instant
from sessions.backends import KUBERNETES
from sessions.models import Session, Status, Worker

AGENTS_LIMIT = 200
POOL_STATES = ("provisioning", "warm", "claimed", "dead")


def platform_stats() -> dict[str, Any]:
    """The figures of ``GET /admin/stats``."""
    return {
        "warm_pool": _warm_pool(),
        "sessions": {"counts": _by_status(), "by_agent": _by_agent()},
        "agents": {"total": Agent.objects.alive().count()},
        "runtime": _runtime(),
    }


def _by_status() -> dict[str, int]:
    rows = Session.objects.order_by().values_list("status").annotate(count=Count("*"))
    return dict.fromkeys(Status.values, 0) | dict(rows)


def _by_agent() -> list[dict[str, Any]]:
    """Agents with sessions that start or run, busiest first. Rides on session_active."""
    creating, ready = Q(status=Status.CREATING), Q(status=Status.READY)
    counted = (
        Session.objects.filter(status__in=(Status.CREATING, Status.READY))
        .order_by()
        .values("agent_id", agent_name=F("agent__name"))
        .annotate(creating=Count("id", filter=creating), ready=Count("id", filter=ready))
    )
    total = F("creating") + F("ready")
    busiest = counted.order_by(total.desc(), "agent_id")[:AGENTS_LIMIT]
    return [dict(row) for row in busiest]


def _warm_pool() -> dict[str, Any]:
    """What is kept warm, as the newest pass of a live worker reported it; locally nothing is."""
    size = settings.K8S_WARM_POOL_SIZE if _is_on_kubernetes() else 0
    recent_seconds = settings.K8S_WARM_RECENT_SECONDS if size else 0
    pools = _reported_pools() if size else []
    return {
        "configured_size": size,
        "max_provisioning": size * settings.K8S_WARM_POOLS_LIMIT,
        "ttl_minutes": ceil(recent_seconds / 60),
        "recent_agent_hours": ceil(recent_seconds / 3600),
        "counts": {state: sum(pool[state] for pool in pools) for state in POOL_STATES},
        "by_agent": _pools_by_agent(pools[:AGENTS_LIMIT]),
    }


def _reported_pools() -> list[dict[str, Any]]:
    reports = Worker.objects.live().filter(warm_pools_at__isnull=False).order_by("-warm_pools_at")
    return reports.values_list("warm_pools", flat=True).first() or []


def _pools_by_agent(pools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    agents = Agent.objects.only("name").in_bulk([UUID(pool["agent_id"]) for pool in pools])
    return [
        {
            "agent_id": pool["agent_id"],
            "agent_name": agents[UUID(pool["agent_id"])].name,
            **{state: pool[state] for state in POOL_STATES},
            "oldest_warm_at": _instant(pool["oldest_warm_at"]),
        }
        for pool in pools
        if UUID(pool["agent_id"]) in agents
    ]


def _instant(text: str | None) -> str | None:
    return Instant().to_representation(datetime.fromisoformat(text)) if text else None


def _is_on_kubernetes() -> bool:
    return bool(settings.LAP_SANDBOX_BACKEND == KUBERNETES)


def _runtime() -> dict[str, Any]:
    """The local backend has no namespace, no image and no fixed port."""
    is_kubernetes = _is_on_kubernetes()
    return {
        "backend": settings.LAP_SANDBOX_BACKEND,
        "namespace": settings.K8S_NAMESPACE if is_kubernetes else "",
        "harness_image": settings.K8S_HARNESS_IMAGE if is_kubernetes else "",
        "container_port": settings.K8S_CONTAINER_PORT if is_kubernetes else None,
        "reconcile_interval_seconds": settings.LAP_RECONCILE_SECONDS,
    }
