"""What callers say to a harness, and what becomes of its good and bad answers."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from agents.models import Agent
from sessions.models import Session
from tests.api import SESSIONS, Api
from tests.conftest import MakeAgent
from tests.sessions.fake_harness import FakeHarness, answer

REPLY = {"info": {"id": "m2", "role": "assistant"}, "parts": [{"type": "text", "text": "hello"}]}
THREAD = [{"info": {"id": "m1", "role": "user"}, "parts": []}, REPLY]
TEXT = {"text": "hi"}


@pytest.fixture
def harness() -> Iterator[FakeHarness]:
    fake = FakeHarness()
    fake.routes["POST /session/h1/message"] = lambda _: answer(REPLY)
    fake.routes["GET /session/h1/message"] = lambda _: answer(THREAD)
    fake.routes["POST /session/h1/abort"] = lambda _: answer(True)
    yield fake
    fake.close()


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent(model="acme/large")


@pytest.fixture
def ready(agent: Agent, harness: FakeHarness) -> Session:
    return ready_session(agent, harness.url)


def ready_session(agent: Agent, url: str, **columns: Any) -> Session:
    return Session.objects.create(
        agent=agent,
        **{
            "status": "ready",
            "sandbox_url": url,
            "harness_token": "token",
            "harness_session_id": "h1",
            **columns,
        },
    )


def path(session: Session, action: str) -> str:
    return f"{SESSIONS}/{session.id}/{action}"


def test_the_reply_is_given_as_it_is_and_the_thread_is_kept(
    api: Api, ready: Session, harness: FakeHarness
) -> None:
    answered = api.post(path(ready, "message"), TEXT)
    assert (answered.status, answered.body) == (200, REPLY)
    request, sent = harness.asked[0]
    assert request == "POST /session/h1/message"
    assert sent["model"] == {"providerID": "acme", "modelID": "large"}
    assert sent["parts"] == [{"type": "text", "text": "hi"}]
    ready.refresh_from_db()
    assert (ready.status, ready.thread) == ("ready", THREAD)
    assert ready.last_seen_at is not None


def test_parts_go_to_the_harness_as_they_are(
    api: Api, ready: Session, harness: FakeHarness
) -> None:
    parts = [{"type": "text", "text": ""}, {"type": "image", "source": {"data": "aGk="}}]
    assert api.post(path(ready, "message"), {"parts": parts}).status == 200
    assert harness.asked[0][1]["parts"] == parts


def test_a_message_id_is_never_used_twice(api: Api, ready: Session, harness: FakeHarness) -> None:
    for _ in range(2):
        api.post(path(ready, "message"), TEXT)
    ids = [body["messageID"] for request, body in harness.asked if request.startswith("POST")]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        pytest.param(answer({"error": "busy"}, 409), "ready", id="refused"),
        pytest.param(answer({"error": "boom"}, 500), "ready", id="error"),
        pytest.param(answer({"name": "NotFound"}, 404), "ready", id="another 404"),
        pytest.param(answer({"error": "not found"}, 404), "stopping", id="dead session"),
        pytest.param((200, b""), "stopping", id="empty"),
        pytest.param((200, b"<html>"), "stopping", id="no JSON"),
        pytest.param(answer({"parts": "text"}), "ready", id="no message"),
        pytest.param(answer({"info": 1, "parts": []}), "ready", id="odd info"),
        pytest.param((200, b'{"parts": [], "x": "' + b"x" * 9_000_000 + b'"}'), "ready", id="huge"),
        pytest.param(None, "ready", id="cut off"),
        pytest.param((200, b'{"parts": [], "x": 1e400}'), "stopping", id="infinite"),
        pytest.param((200, b'{"parts": [%s{}]}' % (b"{}," * 200_000)), "ready", id="bomb"),
    ],
)
def test_a_bad_answer_is_a_502(
    api: Api, ready: Session, harness: FakeHarness, reply: Any, status: str
) -> None:
    harness.routes["POST /session/h1/message"] = lambda _: reply
    answered = api.post(path(ready, "message"), TEXT)
    assert (answered.status, answered.body) == (502, {"error": "harness request failed"})
    ready.refresh_from_db()
    assert ready.status == status
    assert [request for request, _ in harness.asked] == ["POST /session/h1/message"]


def test_nobody_listening_ends_the_session(api: Api, ready: Session, harness: FakeHarness) -> None:
    harness.close()
    assert api.post(path(ready, "message"), TEXT).status == 502
    ready.refresh_from_db()
    assert (ready.status, ready.stop_as) == ("stopping", "dead")
    assert ready.failure_reason == "sandbox unreachable"


def test_our_own_lack_of_files_is_not_the_sandbox_s_end(
    api: Api, ready: Session, harness: FakeHarness
) -> None:
    api.post(path(ready, "abort"))  # what is opened once is open
    with no_files_left():
        assert api.post(path(ready, "message"), TEXT).status == 502
    ready.refresh_from_db()
    assert ready.status == "ready"


@contextmanager
def no_files_left() -> Iterator[None]:
    """Nothing in this process can open a file or a connection."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, limits[1]))
    opened: list[int] = []
    try:
        with suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for file in opened:
            os.close(file)


def test_a_sandbox_of_another_machine_is_out_of_reach_and_not_dead(api: Api, agent: Agent) -> None:
    elsewhere = ready_session(agent, "http://127.0.0.1:9", sandbox_host="another-machine:/data")
    assert api.post(path(elsewhere, "message"), TEXT).status == 502
    elsewhere.refresh_from_db()
    assert elsewhere.status == "ready"


def test_a_reply_is_given_also_when_the_thread_cannot_be_read(
    api: Api, ready: Session, harness: FakeHarness
) -> None:
    harness.routes["GET /session/h1/message"] = lambda _: answer([1, 2])
    assert api.post(path(ready, "message"), TEXT).status == 200
    ready.refresh_from_db()
    assert ready.thread == []


def test_an_older_thread_does_not_replace_a_longer_one(
    api: Api, ready: Session, harness: FakeHarness
) -> None:
    longer = [*THREAD, *THREAD]
    Session.objects.filter(id=ready.id).update(thread=longer)
    assert api.post(path(ready, "message"), TEXT).status == 200
    ready.refresh_from_db()
    assert ready.thread == longer


def test_what_the_database_cannot_store_is_replaced(
    api: Api, ready: Session, harness: FakeHarness
) -> None:
    odd = {"info": {"role": "assistant"}, "parts": [{"type": "text", "text": "a\0b\ud800"}]}
    harness.routes["POST /session/h1/message"] = lambda _: answer(odd)
    harness.routes["GET /session/h1/message"] = lambda _: answer([odd])
    text = api.post(path(ready, "message"), TEXT).body["parts"][0]["text"]
    assert text == "a\ufffdb\ufffd"
    ready.refresh_from_db()
    assert ready.thread[0]["parts"][0]["text"] == text


@pytest.mark.parametrize("trigger", ["cron", "manual"])
@pytest.mark.parametrize("status", ["creating", "ready", "stopping"])
def test_a_run_takes_no_messages(
    api: Api, agent: Agent, harness: FakeHarness, trigger: str, status: str
) -> None:
    columns: dict[str, Any] = {"trigger": trigger, "status": status, "initial_prompt": "echo"}
    if trigger == "cron":
        columns["scheduled_for"] = "2026-03-01T09:00:00Z"
    if status == "stopping":
        columns["stop_as"] = "dead"
    run = ready_session(agent, harness.url, **columns)
    assert api.post(path(run, "message"), TEXT).status == 409
    assert harness.asked == []


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, None),
        ({"text": "a", "parts": [{"type": "text", "text": "b"}]}, None),
        ({"text": ""}, "text"),
        ({"text": 1}, "text"),
        ({"text": "a\0"}, "text"),
        ({"text": "x" * 100_001}, "text"),
        ({"parts": []}, "parts"),
        ({"parts": {}}, "parts"),
        ({"parts": ["text"]}, "parts"),
        ({"parts": [{"text": "no type"}]}, "parts"),
        ({"parts": [{"type": ""}]}, "parts"),
        ({"parts": [{"type": "text", "text": 1}]}, "parts"),
        ({"parts": [{"type": "text", "text": "a\0"}]}, "parts"),
        ({"parts": [{"type": "other", "name": "\ud800"}]}, "parts"),
        ({"parts": [{"type": "x"}] * 101}, "parts"),
    ],
)
def test_bad_messages(
    api: Api, ready: Session, harness: FakeHarness, body: Any, where: str | None
) -> None:
    answered = api.post(path(ready, "message"), body)
    assert answered.status == 400
    if where is None:
        assert answered.error == "send either text or parts"
    else:
        assert [item["path"] for item in answered.error] == [where]
    assert harness.asked == []


def test_messages_are_the_harness_s_while_it_lives(
    api: Api, ready: Session, harness: FakeHarness
) -> None:
    assert api.get(path(ready, "messages")).body == THREAD
    harness.routes["GET /session/h1/message"] = lambda _: answer({"error": "boom"}, 500)
    assert api.get(path(ready, "messages")).status == 502


def test_reading_is_no_use(api: Api, ready: Session) -> None:
    assert api.get(path(ready, "messages")).status == 200
    ready.refresh_from_db()
    assert ready.last_seen_at is None
    assert api.post(path(ready, "message"), TEXT).status == 200
    ready.refresh_from_db()
    assert ready.last_seen_at is not None


def test_abort(api: Api, ready: Session, harness: FakeHarness) -> None:
    answered = api.post(path(ready, "abort"))
    assert (answered.status, answered.body) == (200, {"ok": True})
    assert harness.asked == [("POST /session/h1/abort", {})]


@pytest.mark.slow
def test_an_answer_that_drips_is_given_up(api: Api, ready: Session, harness: FakeHarness) -> None:
    given_up = threading.Event()

    def drip() -> Iterator[bytes]:
        try:
            while True:
                yield b" "
                given_up.wait(0.1)
        finally:
            given_up.set()

    harness.routes["POST /session/h1/abort"] = lambda _: (200, drip())
    assert api.post(path(ready, "abort")).status == 502
    assert given_up.wait(10)


@pytest.mark.django_db(transaction=True)
def test_a_long_turn_is_no_idleness(
    make_agent: MakeAgent, harness: FakeHarness, settings: Any
) -> None:
    settings.LAP_SESSION_IDLE_SECONDS = 0.3
    session = ready_session(make_agent(), harness.url)
    seen: set[Any] = set()
    is_seen_again = threading.Event()

    def turn(_: Any) -> Any:
        while len(seen) < 3:
            seen.add(Session.objects.values_list("last_seen_at", flat=True).get(id=session.id))
        is_seen_again.set()
        return answer(REPLY)

    harness.routes["POST /session/h1/message"] = in_thread_with_connection(turn)
    assert Api().post(path(session, "message"), TEXT).status == 200
    assert is_seen_again.is_set()


def in_thread_with_connection(route: Any) -> Any:
    """The server's threads end with their request: so must the connections they opened."""

    def run(body: Any) -> Any:
        try:
            return route(body)
        finally:
            connections.close_all()

    return run
