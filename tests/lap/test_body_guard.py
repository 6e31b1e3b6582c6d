"""Bodies are bounded before Django reads them: a real uvicorn server, raw sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pytest_django import Settings

from lap.body_guard import PROGRESS_BYTES, BodyGuard
from lap.error_pages import WRONG_HOST
from tests.api import AGENTS
from tests.live import Web
from tests.processes import wait_for

LIMIT = 300_000
SECONDS = 0.5
AGENTS_PATH = f"/api/v1{AGENTS}"
CHUNKED = "Transfer-Encoding: chunked"
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Reader:
    """Reads whole bodies, as Django does, and keeps what it saw."""

    def __init__(self) -> None:
        self.scopes: list[str] = []
        self.bodies: list[bytes] = []
        self.aborted = 0
        self.left = threading.Event()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.scopes.append(scope["type"])
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.aborted += 1
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        if scope["path"] == "/wait":
            assert (await receive())["type"] == "http.disconnect"
            self.left.set()
            return
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        for stage in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{stage}"
            await send({"type": f"lifespan.{stage}.complete"})


class Server:
    """uvicorn in a thread, the guard around a reader."""

    def __init__(self) -> None:
        self.reader = Reader()
        guarded = BodyGuard(self.reader, limit=LIMIT, seconds=SECONDS)
        config = uvicorn.Config(guarded, port=0, lifespan="on", ws="none", log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        wait_for(lambda: self._server.started)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as started:
        yield started
    assert started.reader.scopes[0] == "lifespan"


class Caller:
    """One raw connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def send(self, *lines: str, path: str = "/", body: bytes = b"") -> None:
        head = "\r\n".join((f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""))
        self.socket.sendall(head.encode() + body)

    def chunk(self, content: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(content), content))

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name, and body."""
        response = HTTPResponse(self.socket)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()

    def is_closed(self) -> bool:
        return self.socket.recv(1) == b""

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def caller(server: Server) -> Iterator[Caller]:
    with closing(Caller(server.port)) as opened:
        yield opened


def check_refused(caller: Caller, status: int, says: str) -> None:
    answered, headers, body = caller.answer()
    assert answered == status
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert json.loads(body) == {"error": says}


TOO_LARGE = f"the body is larger than {LIMIT} bytes"
STOPPED = "the body stopped arriving: 0.5 seconds went by without progress"


@pytest.mark.parametrize("size", [0, 1, 70_000, LIMIT])
def test_a_body_within_the_limit_arrives_whole(server: Server, caller: Caller, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    for _ in range(2):  # the connection is kept
        caller.send(f"Content-Length: {size}", body=body)
        status, _, echo = caller.answer()
        assert (status, echo == body) == (200, True)
    assert server.reader.bodies == [body, body]


def test_a_chunked_body_within_the_limit_arrives_whole(server: Server, caller: Caller) -> None:
    caller.send(CHUNKED)
    for _ in range(3):
        caller.chunk(b"x" * (LIMIT // 3))
    caller.chunk(b"")
    assert caller.answer()[0] == 200
    assert server.reader.bodies == [b"x" * LIMIT]


def test_a_request_without_a_body(server: Server, caller: Caller) -> None:
    caller.send()
    assert caller.answer()[0] == 200
    assert server.reader.bodies == [b""]


@pytest.mark.parametrize("size", [LIMIT + 1, 10**15, 10**19])
def test_a_body_announced_too_large_is_refused_unread(
    server: Server, caller: Caller, size: int
) -> None:
    caller.send(f"Content-Length: {size}", "Expect: 100-continue")
    check_refused(caller, 413, TOO_LARGE)
    assert "http" not in server.reader.scopes


def test_whoever_sends_all_before_reading_still_gets_the_answer(caller: Caller) -> None:
    body = b"x" * (LIMIT * 2)
    caller.send(f"Content-Length: {len(body)}", body=body)
    check_refused(caller, 413, TOO_LARGE)
    assert caller.is_closed()


def test_whoever_sends_without_end_is_cut_off(caller: Caller) -> None:
    caller.send(CHUNKED)
    with pytest.raises(ConnectionError):
        _send_without_end(caller)


def _send_without_end(caller: Caller) -> None:
    while True:
        caller.chunk(b"x" * 60_000)


@pytest.mark.parametrize("last", [b"", b"x" * 1000])
def test_a_chunked_body_is_counted(server: Server, caller: Caller, last: bytes) -> None:
    caller.send(CHUNKED)
    for _ in range(LIMIT // 50_000):
        caller.chunk(b"x" * 50_000)
    caller.chunk(b"x")
    caller.chunk(last)
    check_refused(caller, 413, TOO_LARGE)
    assert (server.reader.bodies, server.reader.aborted) == ([], 1)


def test_content_beyond_the_announced_length_is_not_part_of_the_body(
    server: Server, caller: Caller
) -> None:
    caller.send("Content-Length: 3", body=b"abc" + b"x" * 1000)
    assert caller.answer()[::2] == (200, b"abc")
    assert server.reader.bodies == [b"abc"]


@pytest.mark.parametrize("length", ["-1", "x", "1, 2", "9" * 30])
def test_a_length_that_is_none_reaches_nobody(server: Server, caller: Caller, length: str) -> None:
    caller.send(f"Content-Length: {length}", body=b"abc")
    assert caller.answer()[0] == 400
    assert "http" not in server.reader.scopes


@pytest.mark.parametrize("sent", [b"", b"x", b"x" * (PROGRESS_BYTES - 1)])
def test_a_body_that_stops_arriving(server: Server, caller: Caller, sent: bytes) -> None:
    begun = time.monotonic()
    caller.send(f"Content-Length: {LIMIT}", body=sent)
    check_refused(caller, 408, STOPPED)
    assert time.monotonic() - begun >= SECONDS
    assert (server.reader.bodies, server.reader.aborted) == ([], 1)


def test_a_trickle_is_no_progress(caller: Caller) -> None:
    caller.send(f"Content-Length: {LIMIT}")
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.05):
            caller.socket.sendall(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    check_refused(caller, 408, STOPPED)
    stop.set()
    dripping.join()


def test_a_slow_body_that_gets_on_may_take_longer(server: Server, caller: Caller) -> None:
    size = PROGRESS_BYTES * 3
    begun = time.monotonic()
    caller.send(f"Content-Length: {size}")
    for number in range(3):
        wait_for(partial(_is_past, begun + number * SECONDS * 0.8))
        caller.socket.sendall(b"x" * PROGRESS_BYTES)
    assert caller.answer()[0] == 200
    assert time.monotonic() - begun > SECONDS
    assert len(server.reader.bodies[0]) == size


def _is_past(instant: float) -> bool:
    return time.monotonic() >= instant


def test_a_caller_who_leaves_before_the_end_of_the_body(server: Server, caller: Caller) -> None:
    caller.send("Content-Length: 10", body=b"abc")
    caller.socket.shutdown(socket.SHUT_WR)
    wait_for(lambda: server.reader.aborted)
    assert caller.is_closed()


def test_a_caller_who_leaves_while_waiting_for_an_answer(server: Server, caller: Caller) -> None:
    """No limit of time counts any more once the body is there."""
    caller.send("Content-Length: 3", path="/wait", body=b"abc")
    assert not server.reader.left.wait(SECONDS * 2)
    caller.socket.shutdown(socket.SHUT_RDWR)
    assert server.reader.left.wait(20)


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    started = Web(tmp_path, LAP_BODY_TIMEOUT_SECONDS="0.5")
    yield started
    started.end()


@pytest.fixture
def ask(web: Web) -> Iterator[Callable[[], Caller]]:
    """Opens connections to the web process."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(Caller(web.port)))


@pytest.mark.slow
def test_the_web_process_guards_itself(
    web: Web, ask: Callable[[], Caller], settings: Settings
) -> None:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    key = f"Authorization: Bearer {web.key}"
    body = json.dumps({"model": "m", "name": "whole"}).encode()
    large, slow, whole, chunked, anonymous = (ask() for _ in range(5))
    large.send(f"Content-Length: {limit + 1}", path=AGENTS_PATH)
    check_refused(large, 413, f"the body is larger than {limit} bytes")
    slow.send("Content-Length: 3", path=AGENTS_PATH)
    check_refused(slow, 408, STOPPED)
    whole.send(key, f"Content-Length: {len(body)}", path=AGENTS_PATH, body=body)
    status, _, answer = whole.answer()
    assert (status, json.loads(answer)["name"]) == (200, "whole")
    chunked.send(key, CHUNKED, path=AGENTS_PATH)
    chunked.chunk(body)
    chunked.chunk(b"")
    assert chunked.answer()[0] == 200
    anonymous.send("Content-Length: 2", path=AGENTS_PATH, body=b"{}")
    assert anonymous.answer()[0] == 401


@pytest.mark.slow
def test_a_wrong_host_is_a_bad_request(ask: Callable[[], Caller]) -> None:
    for host in ("elsewhere.example", "a b", "[::", "127.0.0.1:x"):
        for path, kind in ((AGENTS_PATH, "application/json"), ("/admin/", "text/html")):
            caller = ask()
            caller.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            status, headers, body = caller.answer()
            assert (status, headers["content-type"].partition(";")[0]) == (400, kind)
            if kind == "application/json":
                assert json.loads(body) == {"error": WRONG_HOST}
