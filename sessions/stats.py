"""How much of everything there is, counted by the database in three statements."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Count, F, Q

from agents.models import Agent
from sessions.models import Session, Status

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
    """The local backend keeps no warm sandboxes."""
    return {
        "configured_size": 0,
        "max_provisioning": 0,
        "ttl_minutes": 0,
        "recent_agent_hours": 0,
        "counts": dict.fromkeys(POOL_STATES, 0),
        "by_agent": [],
    }


def _runtime() -> dict[str, Any]:
    """The local backend has no namespace, no image and no fixed port."""
    return {
        "backend": settings.LAP_SANDBOX_BACKEND,
        "namespace": "",
        "harness_image": "",
        "container_port": None,
        "reconcile_interval_seconds": settings.LAP_RECONCILE_SECONDS,
    }
