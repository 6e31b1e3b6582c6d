"""How the routes about the platform itself are declared in the OpenAPI schema."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from lap.core.api.schema import operation
from lap.core.api.schema_components import JsonSchema
from sessions.models import Status
from sessions.stats import AGENTS_LIMIT, POOL_STATES

COUNT: Final[JsonSchema] = {"type": "integer", "minimum": 0}
TEXT: Final[JsonSchema] = {"type": "string"}
UUID: Final[JsonSchema] = {"type": "string", "format": "uuid"}
NUMBER_OR_NULL: Final[JsonSchema] = {"type": ["number", "null"], "minimum": 0}
INSTANT_OR_NULL: Final[JsonSchema] = {"type": ["string", "null"], "format": "date-time"}


def _object(**properties: JsonSchema) -> JsonSchema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(limit: int, **properties: JsonSchema) -> JsonSchema:
    return {"type": "array", "maxItems": limit, "items": _object(**properties)}


_CHECK: Final[dict[str, JsonSchema]] = {
    "elapsed_ms": NUMBER_OR_NULL | {"description": "How long the backend took to answer."},
    "backend": {"type": ["string", "null"], "description": "Null while no worker runs."},
    "checked_at": INSTANT_OR_NULL | {"description": "When a worker looked, by the database."},
}
HEALTHY: Final = _object(ok={"type": "boolean", "const": True}, **_CHECK)
UNHEALTHY: Final = _object(ok={"type": "boolean", "const": False}, error=TEXT, **_CHECK)

_POOL_COUNTS: Final = dict.fromkeys(POOL_STATES, COUNT)
STATS: Final = _object(
    warm_pool=_object(
        configured_size=COUNT | {"description": "Sandboxes kept warm for an agent; 0 is none."},
        max_provisioning=COUNT | {"description": "Sandboxes kept warm at most, for all agents."},
        ttl_minutes=COUNT | {"description": "How long they are kept for an unused agent."},
        recent_agent_hours=COUNT | {"description": "How lately an agent was used, to get them."},
        counts=_object(**_POOL_COUNTS),
        by_agent=_list(
            AGENTS_LIMIT,
            agent_id=UUID,
            agent_name=TEXT,
            **_POOL_COUNTS,
            oldest_warm_at=INSTANT_OR_NULL,
        ),
    ),
    sessions=_object(
        counts=_object(**{status.value: COUNT for status in Status}),
        by_agent=_list(AGENTS_LIMIT, agent_id=UUID, agent_name=TEXT, creating=COUNT, ready=COUNT),
    ),
    agents=_object(total=COUNT),
    runtime=_object(
        backend=TEXT,
        namespace=TEXT,
        harness_image=TEXT,
        container_port={"type": ["integer", "null"]},
        reconcile_interval_seconds={"type": "number"},
    ),
)

HEALTHY_EXAMPLE: Final[dict[str, Any]] = {
    "ok": True,
    "elapsed_ms": 1.7,
    "backend": "local",
    "checked_at": "2026-03-01T09:00:00.123456Z",
}
NO_WORKER_EXAMPLE: Final[dict[str, Any]] = {
    "ok": False,
    "error": "no worker is running; start one with manage.py run_cron_worker",
    "elapsed_ms": None,
    "backend": None,
    "checked_at": None,
}
STATS_EXAMPLE: Final[dict[str, Any]] = {
    "warm_pool": {
        "configured_size": 0,
        "max_provisioning": 0,
        "ttl_minutes": 0,
        "recent_agent_hours": 0,
        "counts": {"provisioning": 0, "warm": 0, "claimed": 0, "dead": 0},
        "by_agent": [],
    },
    "sessions": {
        "counts": {
            "creating": 1, "ready": 2, "stopping": 0, "completed": 240, "failed": 3, "dead": 9,
        },
        "by_agent": [
            {
                "agent_id": "0b8e7c3a-4f0e-4c58-9b57-6a2d1f8c9e10",
                "agent_name": "Nightly check",
                "creating": 1,
                "ready": 2,
            }
        ],
    },
    "agents": {"total": 12},
    "runtime": {
        "backend": "local",
        "namespace": "",
        "harness_image": "",
        "container_port": None,
        "reconcile_interval_seconds": 60.0,
    },
}  # fmt: skip

declare_health = operation(
    "get_backend_health",
    tag="platform",
    summary="See whether sandboxes can be had",
    description="What the running workers last saw of the sandbox backend.",
    response=HEALTHY,
    response_examples={"healthy": HEALTHY_EXAMPLE},
    means="The backend answers.",
    also={
        503: OpenApiResponse(
            UNHEALTHY,
            "The backend does not answer, or no worker is there to ask it.",
            [OpenApiExample("no worker", NO_WORKER_EXAMPLE, response_only=True)],
        )
    },
)
declare_stats = operation(
    "get_platform_stats",
    tag="platform",
    summary="Count agents, sessions and warm sandboxes",
    description=(
        f"Lists by agent hold at most {AGENTS_LIMIT} agents. Warm sandboxes are those that a worker"
        " last saw: only on Kubernetes there are any."
    ),
    response=STATS,
    response_examples={"stats": STATS_EXAMPLE},
)
