"""ASGI: answers /healthz, /readyz and /metrics.

They are answered before Django sees the request: the kubelet and Prometheus address a pod by its
IP, which ALLOWED_HOSTS refuses, and they need no session, no key and no thread of their own.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

Check = Callable[[], Awaitable[str]]
"""What is wrong, in words; empty when nothing is."""

HEALTHZ: Final = "/healthz"
READYZ: Final = "/readyz"
METRICS: Final = "/metrics"
PATHS: Final = (HEALTHZ, READYZ, METRICS)
JSON: Final = "application/json"


class Probes:
    """In front of ``application``, or alone: then every other path is a 404.

    ``alive`` and ``ready`` answer 200, or 503 with the reason. ``metrics`` is Prometheus' text.
    """

    def __init__(
        self,
        *,
        alive: Check,
        ready: Check,
        metrics: Callable[[], Awaitable[bytes]],
        application: Application | None = None,
    ) -> None:
        self._checks = {HEALTHZ: alive, READYZ: ready}
        self._metrics = metrics
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _path_of(scope) if scope["type"] == "http" else None
        if path in PATHS:
            await _send(send, scope["method"], *await self._answer(path, scope["method"]))
        elif self._application is not None:
            await self._application(scope, receive, send)
        elif path is not None:
            await _send(send, scope["method"], *_error(404, f"there is no {path} here"))

    async def _answer(self, path: str, method: str) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return _error(405, f"{path} is for GET and HEAD")
        if path == METRICS:
            return 200, CONTENT_TYPE_LATEST, await self._metrics()
        reason = await self._checks[path]()
        return _error(503, reason) if reason else (200, JSON, b'{"ok": true}')


def _path_of(scope: Scope) -> str:
    """As it was sent: what a proxy keeps from the public by its path has no other spelling."""
    raw: bytes | None = scope.get("raw_path")
    return scope["path"] if raw is None else raw.decode("latin-1")


def _error(status: int, reason: str) -> tuple[int, str, bytes]:
    return status, JSON, json.dumps({"ok": False, "error": reason}).encode()


async def _send(send: Send, method: str, status: int, content_type: str, content: bytes) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else content})
