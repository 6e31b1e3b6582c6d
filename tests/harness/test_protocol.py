"""Routes, statuses, the token, limits: what any caller meets."""

from __future__ import annotations

import itertools
import re
import socket
from typing import Any

import httpx
import pytest

from harness.connections import Connections
from tests.harness.server import TOKEN, Harness, prompt, text, wait_until

ROUTES = [
    ("GET", "/session"),
    ("POST", "/session"),
    ("DELETE", "/session/ses_x"),
    ("GET", "/session/ses_x/message"),
    ("POST", "/session/ses_x/message"),
    ("POST", "/session/ses_x/prompt_async"),
    ("POST", "/session/ses_x/abort"),
    ("GET", "/event"),
    ("GET", "/nowhere"),
]


def test_every_route_needs_the_token(shared: Harness) -> None:
    wrong = (None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x")
    with httpx.Client(base_url=shared.url, trust_env=False) as client:
        for authorization, (method, path) in itertools.product(wrong, ROUTES):
            headers = {"Authorization": authorization} if authorization is not None else {}
            answer = client.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()) == (401, {"error": "unauthorized"})


def test_a_session_from_creation_to_deletion(harness: Harness) -> None:
    assert harness.http.get("/session").json() == []
    body = {"title": "nightly", "prompt": "be brief", "files": [], "platform_session_id": "p-1"}
    callback = {"url": "http://127.0.0.1:9/", "token": "callback-secret"}
    created = harness.http.post("/session", json={**body, "callback": callback})
    assert created.status_code == 200
    session = created.json()["id"]
    assert re.fullmatch(r"ses_[0-9a-f]{32}", session)
    assert [(s["id"], s["title"]) for s in harness.http.get("/session").json()] == [
        (session, "nightly")
    ]
    assert harness.thread(session) == []
    deleted = harness.http.delete(f"/session/{session}")
    assert (deleted.status_code, deleted.json()) == (200, True)
    assert harness.http.get("/session").json() == []
    assert harness.http.delete(f"/session/{session}").status_code == 404
    assert "callback-secret" not in harness.log


def test_an_empty_body_opens_a_session_named_default(shared: Harness) -> None:
    assert shared.http.post("/session").json()["title"] == "default"


def test_the_same_platform_session_gets_the_same_harness_session(harness: Harness) -> None:
    body = {"platform_session_id": "p-1", "files": [{"path": "a", "content": "one"}]}
    first = harness.session(**body)
    (harness.workdir / "a").write_text("changed by a turn")
    assert harness.session(**body) == first
    assert (harness.workdir / "a").read_text() == "changed by a turn"
    assert harness.session(platform_session_id="p-2") != first
    harness.http.delete(f"/session/{first}")
    assert harness.session(platform_session_id="p-1") != first


def test_the_number_of_sessions_is_bounded(harness: Harness) -> None:
    for _ in range(32):
        harness.session()
    answer = harness.http.post("/session", json={})
    assert (answer.status_code, answer.json()) == (409, {"error": "too many sessions"})


def test_a_message_and_its_reply(shared: Harness) -> None:
    session = shared.session()
    reply = shared.run("echo $GREETING", session, messageID="msg_1")
    info = reply["info"]
    assert text(reply) == "hello\n"
    assert (info["sessionID"], info["role"], info["parentID"]) == (session, "assistant", "msg_1")
    assert info["exit"] == 0
    assert "error" not in info
    assert info["time"]["created"] <= info["time"]["completed"]
    user, assistant = shared.thread(session)
    assert assistant == reply
    assert (user["info"]["id"], user["info"]["role"]) == ("msg_1", "user")
    assert user["info"]["model"] == {"providerID": "litellm", "modelID": "none"}
    assert user["parts"] == [{"type": "text", "text": "echo $GREETING"}]


def test_prompt_async_answers_before_the_turn_has_ended(harness: Harness) -> None:
    session = harness.session()
    script = "until [ -e go ]; do sleep 0.02; done; echo done"
    answer = harness.http.post(f"/session/{session}/prompt_async", json=prompt(script))
    assert (answer.status_code, answer.content) == (204, b"")
    wait_until(lambda: len(harness.thread(session)) == 2)
    running = harness.thread(session)[1]
    assert "completed" not in running["info"]["time"]
    assert running["parts"] == []
    (harness.workdir / "go").touch()
    assert text(harness.finished(session)[0]) == "done\n"


def test_unknown_sessions_and_paths_are_not_found(shared: Harness) -> None:
    for method, path in ROUTES[2:7] + ROUTES[8:] + [("GET", "/"), ("GET", "/session/")]:
        body = prompt("true") if method == "POST" else None
        answer = shared.http.request(method, path, json=body)
        assert (answer.status_code, answer.json()) == (404, {"error": "not found"}), path


def test_wrong_methods_name_the_right_ones(shared: Harness) -> None:
    session = shared.session()
    for method, path, allowed in [
        ("PUT", "/session", "GET, POST"),
        ("GET", f"/session/{session}", "DELETE"),
        ("PATCH", f"/session/{session}/message", "GET, POST"),
        ("GET", f"/session/{session}/abort", "POST"),
        ("OPTIONS", "/event", "GET"),
    ]:
        answer = shared.http.request(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
        assert answer.json() == {"error": "method not allowed"}
    assert shared.http.head("/session").status_code == 405


@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b"\xff\xfe\xff", b"[1]", b'"text"', b'{"a": NaN}', b"[" * 100_000],
)
def test_malformed_bodies_are_refused(shared: Harness, body: bytes) -> None:
    answer = shared.http.post("/session", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"] in ("malformed JSON", "the body must be a JSON object")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "parts"),
        ({"parts": []}, "parts"),
        ({"parts": "echo"}, "parts"),
        ({"parts": ["echo"]}, "type"),
        ({"parts": [{"text": "echo"}]}, "type"),
        ({"parts": [{"type": "text"}]}, "text"),
        ({"parts": [{"type": "text", "text": 3}]}, "text"),
        ({"parts": [{"type": "image", "source": {}}]}, "script"),
        ({"parts": [{"type": "text", "text": ""}], "messageID": ""}, "messageID"),
        ({"parts": [{"type": "text", "text": ""}], "messageID": 7}, "messageID"),
        ({"parts": [{"type": "text", "text": ""}], "messageID": "a\nb"}, "messageID"),
        ({"parts": [{"type": "text", "text": ""}], "messageID": "a" * 201}, "messageID"),
        ({"parts": [{"type": "text", "text": ""}], "model": "gpt"}, "model"),
    ],
)
def test_bad_messages_are_refused_with_a_sentence(
    shared: Harness, body: dict[str, Any], word: str
) -> None:
    session = shared.session()
    for route in ("message", "prompt_async"):
        answer = shared.http.post(f"/session/{session}/{route}", json=body)
        assert answer.status_code == 400
        assert word in answer.json()["error"]
    assert shared.thread(session) == []


@pytest.mark.parametrize(
    "body",
    [
        {"title": 3},
        {"prompt": []},
        {"platform_session_id": 1},
        {"callback": "http://127.0.0.1:9/"},
        {"callback": {"token": 1}},
    ],
)
def test_bad_sessions_are_refused(harness: Harness, body: dict[str, Any]) -> None:
    assert harness.http.post("/session", json=body).status_code == 400
    assert harness.http.get("/session").json() == []


def test_a_body_over_the_limit_is_refused_and_answered(shared: Harness) -> None:
    answer = shared.http.post("/session", content=b" " * (32 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    assert "33554432 bytes" in answer.json()["error"]


def raw(harness: Harness, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", harness.port), timeout=10) as connection:
        connection.sendall(request)
        return connection.makefile("rb").read()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Content-Length: -1", 400),
        ("Content-Length: ten", 400),
        ("Transfer-Encoding: chunked", 411),
    ],
)
def test_bodies_of_unknown_length_are_refused(shared: Harness, header: str, status: int) -> None:
    request = f"POST /session HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n{header}\r\n\r\n"
    assert raw(shared, request.encode()).startswith(f"HTTP/1.1 {status} ".encode())


def test_what_is_not_http_is_answered_in_json(shared: Harness) -> None:
    assert b'{"error": ' in raw(shared, b"\x16\x03\x01 hello\r\n\r\n")
    assert shared.http.get("/session").status_code == 200


def test_connections_are_closed_so_that_nobody_sends_on_a_dying_one(shared: Harness) -> None:
    assert shared.http.get("/session").headers["Connection"] == "close"


def test_the_number_of_connections_is_bounded(harness: Harness) -> None:
    idle = [socket.create_connection(("127.0.0.1", harness.port)) for _ in range(64)]
    try:
        wait_until(lambda: raw(harness, b"").startswith(b"HTTP/1.1 503 "))
    finally:
        for connection in idle:
            connection.close()
    wait_until(lambda: is_served(harness))


def is_served(harness: Harness) -> bool:
    try:
        return harness.http.get("/session").status_code == 200
    except httpx.TransportError:
        return False


def test_a_silent_stranger_loses_its_place_and_a_known_caller_does_not() -> None:
    connections = Connections(limit=2, stranger_seconds=0)
    pairs = [socket.socketpair() for _ in range(3)]
    assert [connections.admit(ours) for ours, _ in pairs] == [True, True, False]
    connections.trust(pairs[1][0])
    connections.end_strangers()
    (_, stranger), (_, caller), _ = pairs
    assert stranger.recv(1) == b""
    caller.setblocking(False)
    with pytest.raises(BlockingIOError):
        caller.recv(1)
    connections.release(pairs[0][0])
    assert connections.admit(pairs[2][0])
    for pair in pairs:
        for end in pair:
            end.close()
