"""Bounds request bodies before Django sees them.

Under ASGI Django writes the whole body to disk before any view runs, whoever sends it. So its
size, and the time it takes to arrive, are bounded here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PROGRESS_BYTES: Final = 64 * 1024
PARTS_LIMIT: Final = 10
LINGER_SECONDS: Final = 5.0
DISCONNECT: Final = {"type": "http.disconnect"}


class BodyGuard:
    """ASGI middleware: 413 for a body over ``limit`` bytes, 408 for one that does not get on.

    A body may take ``seconds``, and as long again for every 64 KiB that have come, but not more
    than ten times as long: a sender cannot hold its place by one byte a minute.
    """

    def __init__(self, application: Application, *, limit: int, seconds: float) -> None:
        self._application = application
        self._limit = limit
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        body = _Body(receive, self._limit, self._seconds)
        if _announced(scope) > self._limit:
            body.status = 413
        else:
            await self._application(scope, body.receive, send)
        if body.status:
            await _answer(send, body.status, self._sentence(body.status))
            await _linger(receive, 2 * self._limit)
            await send({"type": "http.response.body"})

    def _sentence(self, status: int) -> str:
        if status == 413:
            return f"the body is larger than {self._limit} bytes"
        return f"the body stopped arriving: {self._seconds:g} seconds went by without progress"


class _Body:
    """The body of one request as it comes; ``status`` is what it was refused with, or 0."""

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._begun = asyncio.get_running_loop().time()
        self._count = 0
        self._is_complete = False
        self.status = 0

    async def receive(self) -> Message:
        """The next message. To the application a refused body looks like a caller who left."""
        if self._is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline()):
                message = await self._receive()
        except TimeoutError:
            self.status = 408
            return DISCONNECT
        self._count += len(message.get("body", b""))
        if self._count > self._limit:
            self.status = 413
            return DISCONNECT
        self._is_complete = not message.get("more_body", False)
        return message

    def _deadline(self) -> float:
        return self._begun + self._seconds * min(PARTS_LIMIT, 1 + self._count // PROGRESS_BYTES)


def _announced(scope: Scope) -> int:
    """Content-Length; 0 when there is none that can be read: what comes is counted anyway."""
    for name, value in scope["headers"]:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def _answer(send: Send, status: int, sentence: str) -> None:
    """Everything but the end, which closes the connection."""
    content = json.dumps({"error": sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": True})


async def _linger(receive: Receive, limit: int) -> None:
    """Drop what still comes, for a while: many clients read an answer only after they sent all.

    Closing at once would reset the connection, and the answer would be lost with it.
    """
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while limit > 0:
                message = await receive()
                if not message.get("more_body", False):
                    return
                limit -= len(message.get("body", b""))
    except TimeoutError:
        return
