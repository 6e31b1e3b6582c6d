"""Threads as they are shown, whatever a harness put into them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.models import Agent
from sessions.models import Session
from sessions.thread_view import (
    FOLDED_LIMIT,
    MESSAGES_LIMIT,
    PARTS_LIMIT,
    SHOWN_LIMIT,
    TEXT_LIMIT,
    THREAD_LIMIT,
    Part,
    Shown,
    ShownThread,
    show_thread,
)

Json = dict[str, Any]


def show(*messages: Any, harness_id: str = "opencode") -> ShownThread:
    return show_thread(Session(agent=Agent(harness_id=harness_id)), messages)


def said(*parts: Json, role: str = "assistant", **info: Any) -> Json:
    return {"info": {"role": role, **info}, "parts": list(parts)}


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def only(thread: ShownThread) -> Shown:
    [message] = thread.messages
    return message


def part_of(part: Json) -> Part:
    [shown] = only(show(said(part))).parts
    return shown


def test_messages_are_called_what_they_are() -> None:
    thread = show(
        said(role="user"), said(), said(role="user"), said(role="system"), {"parts": []}, "junk"
    )
    labels = [message.label for message in thread.messages]
    assert labels == ["Prompt", "Answer", "Message", "System", "Unknown", "Unknown"]


def test_a_turn_is_timed_by_its_harness() -> None:
    message = only(show(said(time={"created": 1_767_225_600_000, "completed": 1_767_225_602_500})))
    assert message.at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (message.took, message.is_pending) == (timedelta(seconds=2.5), False)


@pytest.mark.parametrize(
    "time", [None, 7, {"created": "noon"}, {"created": 1e300}, {"created": []}]
)
def test_an_odd_clock_tells_no_time(time: Any) -> None:
    assert only(show(said(time=time))).at is None


@pytest.mark.parametrize(
    ("messages", "is_working"),
    [
        ([], False),
        ([said(role="user")], True),
        ([said(time={"created": 1})], True),
        ([said(time={"created": 1, "completed": 2})], False),
        ([said(time={"created": 1}, error={"name": "Aborted"})], False),
        ([said()], False),
    ],
)
def test_whether_a_turn_goes_on(messages: list[Json], is_working: bool) -> None:
    assert show(*messages).is_working is is_working


def test_an_error_of_a_turn_is_told() -> None:
    error = {"name": "ScriptFailed", "data": {"message": "exit status 3"}}
    assert only(show(said(error=error))).error == "exit status 3"


def test_the_text_of_a_script_and_its_output_are_code() -> None:
    shown = only(show(said(text("a  b\n\n**c**")), harness_id="shell"))
    assert shown.parts[0].texts[0].start == "<pre><code>a  b\n\n**c**</code></pre>"


def test_a_tool_is_folded_with_what_it_was_given_and_gave() -> None:
    state = {"status": "completed", "input": {"command": "df -h /"}, "output": "40 <%>"}
    part = part_of({"type": "tool", "tool": "bash", "state": state})
    assert (part.title, part.summary, part.status) == ("bash", "df -h /", "completed")
    assert [text.label for text in part.texts] == ["Input", "Output"]
    assert "&quot;command&quot;: &quot;df -h /&quot;" in part.texts[0].start
    assert part.texts[1].start == "<pre><code>40 &lt;%&gt;</code></pre>"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "hologram", "x": "<script>"},
        {"type": "tool", "tool": "bash", "state": "odd", "x": "<script>"},
        {"type": "text", "text": ["<script>"]},
        {"type": 7, "x": "<script>"},
        {"x": "<script>"},
    ],
)
def test_an_unknown_part_is_folded_as_json(part: Json) -> None:
    shown = part_of(part)
    assert shown.title
    assert "&lt;script&gt;" in shown.texts[0].start


def test_what_only_the_harness_needs_is_left_out() -> None:
    parts = [{"type": "step-start"}, text(" \n"), {"type": "reasoning", "text": "hm"}]
    assert [part.title for part in only(show(said(*parts))).parts] == ["Reasoning"]


def test_a_long_text_is_folded_and_a_longer_one_cut() -> None:
    [long] = part_of(text("x" * (SHOWN_LIMIT + 1))).texts
    assert (long.rest, long.left_out) == ("<p>x</p>", 0)
    thread = show(said(text("x" * (TEXT_LIMIT + 7))))
    assert only(thread).parts[0].texts[0].left_out == 7
    assert thread.is_cut


def test_what_a_tool_gave_is_cut() -> None:
    part = part_of({"type": "tool", "state": {"output": "x" * (FOLDED_LIMIT + 7)}})
    assert part.texts[0].left_out == 7


def test_of_many_messages_the_newest_are_shown() -> None:
    thread = show(*(said(text(str(n))) for n in range(MESSAGES_LIMIT + 3)))
    assert (len(thread.messages), thread.left_out, thread.is_cut) == (MESSAGES_LIMIT, 3, True)
    assert thread.messages[-1].parts[0].texts[0].start == f"<p>{MESSAGES_LIMIT + 2}</p>"


def test_of_large_messages_so_many_are_shown_as_fit() -> None:
    large = said(*[text("x" * TEXT_LIMIT)] * 5)
    thread = show(*[large] * 10)
    assert 0 < len(thread.messages) < 10
    assert sum(message.size for message in thread.messages) <= THREAD_LIMIT


def test_a_message_shows_so_many_parts_as_fit() -> None:
    many = only(show(said(*[text("x")] * (PARTS_LIMIT + 1))))
    large = only(show(said(*[text("x" * TEXT_LIMIT)] * 50)))
    assert (len(many.parts), many.parts_left_out) == (PARTS_LIMIT, 1)
    assert large.parts_left_out > 0
    assert large.size < THREAD_LIMIT + 2 * TEXT_LIMIT


def test_a_part_keeps_its_id_until_it_changes() -> None:
    before, after = show(said(text("a"), text("b"))), show(said(text("a"), text("c")), said())
    ids = [[part.id for part in thread.messages[0].parts] for thread in (before, after)]
    assert ids[0][0] == ids[1][0]
    assert ids[0][1] != ids[1][1]
