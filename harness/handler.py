"""One HTTP request: the token, the body, the route, the answer."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import select
import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.errors import ClientGoneError, HttpError, bad_request
from harness.routes import Call, find_route

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.server import HarnessServer

log = logging.getLogger("harness")

BODY_LIMIT = 32 * 1024 * 1024
LINGER_SECONDS = 2.0
SILENCE_SECONDS = 60.0


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON and closes.

    No keep-alive: a message is never sent twice, so its sender must not have to guess whether
    an idle connection that just closed had taken it.
    """

    server: HarnessServer
    protocol_version = "HTTP/1.1"
    server_version = "harness"
    sys_version = ""
    timeout = SILENCE_SECONDS
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Before the request is read."""
        super().setup()
        self._unread = 0
        self._status = 0

    def dispatch(self) -> None:
        """Answer one request, whatever happens."""
        started = time.monotonic()
        path = urlsplit(self.path).path
        try:
            self._answer(path)
        except ClientGoneError:
            self._status = 499
        elapsed = (time.monotonic() - started) * 1000
        log.info("%s %s %d %.0fms", self.command, ascii(path)[1:-1][:120], self._status, elapsed)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = dispatch  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class finds wrong with a request, in JSON like everything else."""
        self._send_json(code, {"error": message or "bad request"})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """We write our own line."""

    def finish(self) -> None:
        """Read what the caller is still sending: closing at once would reset the connection,
        and it might never see the answer.
        """
        self._linger()
        super().finish()

    def _answer(self, path: str) -> None:
        try:
            self._unread = self._content_length()
            self._authenticate()
            route, names = find_route(self.command, path)
            result = route(self._call(names))
        except HttpError as error:
            self._send_json(error.status, {"error": error.message}, error.headers)
        except ClientGoneError:
            raise
        except Exception:
            log.exception("a request failed")
            self._send_json(500, {"error": "internal error"})
        else:
            self._send(result)

    def _authenticate(self) -> None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        expected = self.server.token.encode("utf-8", "surrogateescape")
        if not (hmac.compare_digest(given, expected) and scheme.lower() == "bearer"):
            raise HttpError(401, "unauthorized", {"WWW-Authenticate": "Bearer"})
        self.server.connections.trust(self.connection)

    def _call(self, names: dict[str, str]) -> Call:
        size, body = self._unread, self._body()
        server = self.server
        return Call(server.store, server.hub, names.get("id", ""), body, size, self._is_gone)

    def _content_length(self) -> int:
        text = self.headers.get("Content-Length", "0").strip()
        if "Transfer-Encoding" in self.headers:
            raise HttpError(411, "send a Content-Length, not a Transfer-Encoding")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise bad_request("bad Content-Length")
        return int(text)

    def _body(self) -> dict[str, Any]:
        """The JSON object that was sent; an empty body counts as an empty object."""
        if self._unread > BODY_LIMIT:
            raise HttpError(413, f"the body may have at most {BODY_LIMIT} bytes")
        try:
            body = json.loads(self._read() or b"{}", parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise bad_request("malformed JSON") from error
        if not isinstance(body, dict):
            raise bad_request("the body must be a JSON object")
        return body

    def _read(self) -> bytes:
        try:
            data = self.rfile.read(self._unread)
        except OSError as error:
            raise ClientGoneError from error
        if len(data) < self._unread:
            raise ClientGoneError
        self._unread = 0
        return data

    def _is_gone(self) -> bool:
        """Whether the caller has closed its side (asked while an answer is being waited for)."""
        try:
            if not select.select([self.connection], [], [], 0)[0]:
                return False
            return not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def _send(self, result: Any) -> None:
        if result is None:
            self._write(204, b"", {})
        elif hasattr(result, "__next__"):
            self._stream(result)
        else:
            self._send_json(200, result)

    def _send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        self._write(status, body, {"Content-Type": "application/json", **(headers or {})})

    def _write(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        if status != 204:
            headers = {**headers, "Content-Length": str(len(body))}
        self._begin(status, headers)
        if self.command != "HEAD":
            self._push(body)

    def _stream(self, chunks: Generator[bytes, None, None]) -> None:
        self._begin(200, {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        with contextlib.closing(chunks):
            for chunk in chunks:
                self._push(chunk)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self._status = status
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        try:
            self.end_headers()
        except OSError as error:
            raise ClientGoneError from error

    def _push(self, data: bytes) -> None:
        try:
            self.wfile.write(data)
        except OSError as error:
            raise ClientGoneError from error

    def _linger(self) -> None:
        deadline = time.monotonic() + LINGER_SECONDS
        self.connection.settimeout(LINGER_SECONDS)
        try:
            while self._unread > 0 and time.monotonic() < deadline:
                data = self.rfile.read1(65536)
                self._unread = self._unread - len(data) if data else 0
        except OSError:
            return


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
