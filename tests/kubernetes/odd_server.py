"""An API server that answers oddly: what a broken one, or something in front of it, may say."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from sessions.sandboxes.kubernetes.options import Connection, Options

EMPTY_LIST = json.dumps({"items": [], "metadata": {"resourceVersion": "1"}})


@dataclass(frozen=True)
class Answer:
    """Sent as it is; a watch ends behind it."""

    text: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Odd:
    """Answers for ``list`` and ``watch`` of sandboxes, the last one again and again.

    Every other resource is empty, and its watches wait. ``asked`` counts requests for sandboxes,
    ``authorization`` is what the last one showed.
    """

    options: Options
    answers: Mapping[str, Sequence[Answer]]
    asked: Counter[str] = field(default_factory=Counter)
    authorization: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.authorization = request.headers.get("Authorization", "")
        verb = "watch" if "watch" in request.query else "list"
        if not request.path.endswith("/sandboxes"):
            return await _wait(request) if verb == "watch" else web.Response(text=EMPTY_LIST)
        answers = self.answers.get(verb) or [Answer(EMPTY_LIST)]
        answer = answers[min(self.asked[verb], len(answers) - 1)]
        self.asked[verb] += 1
        return web.Response(text=answer.text, status=answer.status, headers=answer.headers)


@asynccontextmanager
async def odd_server(**answers: Sequence[Answer]) -> AsyncIterator[Odd]:
    """Serves on loopback, without TLS, while the block runs."""
    application = web.Application()
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    odd = Odd(Options(namespace="default", harness_image="example/harness:1"), answers)
    application.router.add_route("*", "/{path:.*}", odd.answer)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    connection = Connection(api_server=f"http://127.0.0.1:{port}")
    odd.options = Options(
        namespace="default",
        harness_image="example/harness:1",
        connection=connection,
        api_retry_seconds=0,
    )
    try:
        yield odd
    finally:
        await runner.cleanup()


async def _wait(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while request.transport and not request.transport.is_closing():
        await asyncio.sleep(0.05)
    return response
