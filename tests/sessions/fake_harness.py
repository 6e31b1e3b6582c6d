"""A harness that answers as a test tells it to, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, bytes | Iterator[bytes]]


def answer(value: Any, status: int = 200) -> Reply:
    return status, json.dumps(value).encode()


class FakeHarness:
    """Listens on a loopback port; ``routes`` says what ``METHOD /path`` ends in,
    ``headers`` what every answer carries.

    A route that returns None closes the connection without an answer; one that returns an
    iterator sends its pieces, however long they take.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[Any], Reply | None]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.sent_headers: list[Message] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, request: str, body: Any) -> Reply | None:
        self.asked.append((request, body))
        for suffix, route in self.routes.items():
            if request.endswith(suffix):
                return route(body)
        return answer({"error": "no such route"}, 500)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                body = json.loads(self.rfile.read(length) or b"null")
                fake.sent_headers.append(self.headers)
                reply = fake._reply(f"{self.command} {self.path}", body)
                if reply is None:
                    return
                status, content = reply
                self.send_response(status)
                for name, value in fake.headers.items():
                    self.send_header(name, value)
                if isinstance(content, bytes):
                    self.send_header("Content-Length", str(len(content)))
                    content = iter([content])
                self.end_headers()
                with suppress(OSError):
                    for piece in content:
                        self.wfile.write(piece)

            do_GET = do_POST = handle_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """The tests look at ``asked``."""

        return Handler
