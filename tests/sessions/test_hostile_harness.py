"""A worker goes on, and its sandboxes end, whatever a harness says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from sessions.harness_client import Harness, http_client
from sessions.harness_errors import HarnessError
from sessions.messages import is_completed
from tests.sessions.fake_harness import FakeHarness, answer

T = TypeVar("T")


@pytest.fixture
def harness() -> Iterator[FakeHarness]:
    fake = FakeHarness()
    yield fake
    fake.close()


def ask(call: Callable[[Harness], Any], *fakes: FakeHarness) -> list[Any]:
    """What each harness answers to one client, as one worker would ask them."""

    async def run() -> list[Any]:
        async with http_client() as http:
            return [await call(Harness(http, fake.url, "token")) for fake in fakes]

    return asyncio.run(run())


@pytest.mark.parametrize(
    "session_id", ["..", "a\nb", "a\x7fb", "a/b", "", "?x", "é", "x" * 201, 5, None, ["a"]]
)
def test_odd_ids_are_refused(harness: FakeHarness, session_id: Any) -> None:
    harness.routes["POST /session"] = lambda _: answer({"id": session_id})
    with pytest.raises(HarnessError, match="usable id"):
        ask(lambda h: h.open_session("title"), harness)


@pytest.mark.parametrize("session_id", ["a\nb", "a\x7fb"])
def test_an_id_that_makes_no_address_is_an_error_of_the_harness(
    harness: FakeHarness, session_id: str
) -> None:
    with pytest.raises(HarnessError, match="cannot be spoken to"):
        ask(lambda h: h.thread(session_id), harness)


def test_cookies_stay_with_who_sets_them(harness: FakeHarness) -> None:
    harness.headers = {"Set-Cookie": "a=b; Path=/"}
    harness.routes["GET /session/h1/message"] = lambda _: answer([])
    ask(lambda h: h.thread("h1"), harness, harness)
    assert [sent.get("Cookie") for sent in harness.sent_headers] == [None, None]


@pytest.mark.parametrize(
    "thread",
    [{}, None, [1], [{}], [{"parts": {}}], [{"parts": ["text"]}], [{"info": [], "parts": []}]],
)
def test_odd_threads_are_refused(harness: FakeHarness, thread: Any) -> None:
    harness.routes["GET /session/h1/message"] = lambda _: answer(thread)
    with pytest.raises(HarnessError, match="not a list of messages"):
        ask(lambda h: h.thread("h1"), harness)


@pytest.mark.parametrize("time", [None, "now", [], {}, {"completed": 0}])
def test_odd_times_are_no_completion(time: Any) -> None:
    assert not is_completed({"info": {"time": time}, "parts": []})
    assert not is_completed({"parts": []})
