"""What every page is told about the workers."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from sessions.models import Worker


def workers(request: HttpRequest) -> dict[str, Any]:
    """``is_worker_live``: whether anybody carries runs. Asked only by pages that show it."""
    return {"is_worker_live": SimpleLazyObject(Worker.objects.live().exists)}
