"""The API of the platform itself: its sandbox backend's health, and its figures."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from lap.core.api.fields import Instant
from lap.core.api.views import ApiView
from sessions.health import Health, backend_health
from sessions.platform_openapi import declare_health, declare_stats
from sessions.stats import platform_stats


class BackendHealth(ApiView):
    """The sandbox backend as the workers last saw it."""

    @declare_health
    def get(self, request: Request) -> Response:
        health = backend_health()
        return Response(_answer(health), status=503 if health.error else 200)


class PlatformStats(ApiView):
    """How much of everything there is."""

    @declare_stats
    def get(self, request: Request) -> Response:
        return Response(platform_stats())


def _answer(health: Health) -> dict[str, Any]:
    worker = health.worker
    at = worker.backend_checked_at if worker else None
    return {
        "ok": not health.error,
        **({"error": health.error} if health.error else {}),
        "elapsed_ms": worker.backend_elapsed_ms if worker else None,
        "backend": worker.backend if worker else None,
        "checked_at": Instant().to_representation(at) if at else None,
    }
