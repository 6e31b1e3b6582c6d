"""The event stream."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.server import Harness, prompt, running, wait_until


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def until_idle(stream: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    seen = []
    for event in stream:
        seen.append(event)
        if event["type"] == "session.idle":
            break
    return seen


def listen(harness: Harness) -> Any:
    return harness.http.stream("GET", "/event", timeout=httpx.Timeout(10))


def test_a_turn_is_told_in_order(harness: Harness) -> None:
    with listen(harness) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        stream = events(response.iter_lines())
        assert next(stream)["type"] == "server.connected"
        session = harness.session()
        harness.http.post(f"/session/{session}/prompt_async", json=prompt("exit 3"))
        seen = until_idle(stream)
    assert [event["type"] for event in seen] == [
        "session.created",
        "message.updated",
        "message.updated",
        "message.updated",
        "session.error",
        "session.idle",
    ]
    assert [set(event) for event in seen] == [{"id", "type", "properties"}] * 6
    assert len({event["id"] for event in seen}) == 6
    roles = [event["properties"]["info"]["role"] for event in seen[1:4]]
    assert roles == ["user", "assistant", "assistant"]
    assert "completed" in seen[3]["properties"]["info"]["time"]
    assert seen[4]["properties"]["sessionID"] == session
    assert seen[4]["properties"]["error"]["data"]["message"] == "exit status 3"
    assert seen[5]["properties"] == {"sessionID": session}


def test_a_good_turn_tells_no_error_and_every_listener_hears_it(harness: Harness) -> None:
    with listen(harness) as one, listen(harness) as two:
        streams = [events(response.iter_lines()) for response in (one, two)]
        for stream in streams:
            next(stream)
        harness.run("true")
        first, second = (until_idle(stream) for stream in streams)
    assert first == second
    assert "session.error" not in [event["type"] for event in first]


def test_the_reply_can_be_read_when_idle_is_told(harness: Harness) -> None:
    session = harness.session()
    with listen(harness) as response:
        stream = events(response.iter_lines())
        next(stream)
        harness.http.post(f"/session/{session}/prompt_async", json=prompt("echo x"))
        until_idle(stream)
        assert harness.thread(session)[1]["parts"][0]["text"] == "x\n"


def test_the_heart_beats(tmp_path: Path) -> None:
    with running(tmp_path, "--heartbeat-seconds", "0.05") as harness, listen(harness) as response:
        stream = events(response.iter_lines())
        kinds = [next(stream)["type"] for _ in range(4)]
    assert kinds == ["server.connected"] + ["server.heartbeat"] * 3


def test_sessions_are_told(harness: Harness) -> None:
    with listen(harness) as response:
        stream = events(response.iter_lines())
        next(stream)
        session = harness.session()
        harness.http.delete(f"/session/{session}")
        told = [next(stream) for _ in range(2)]
    assert [event["type"] for event in told] == ["session.created", "session.deleted"]
    assert [event["properties"]["info"]["id"] for event in told] == [session] * 2


def test_streams_end_when_the_harness_stops(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    with listen(harness) as response:
        stream = events(response.iter_lines())
        next(stream)
        harness.process.terminate()
        assert list(stream) == []
    assert harness.stop() == 0


def test_listeners_that_left_give_their_places_back(harness: Harness) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(listen(harness))
        with pytest.raises((httpx.TransportError, httpx.HTTPStatusError)):
            harness.http.get("/session").raise_for_status()
    wait_until(lambda: harness.log.count("GET /event 200") == 64)
    assert harness.run("true")["info"]["exit"] == 0
