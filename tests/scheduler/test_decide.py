"""What becomes of due instants, by tables. Instants are minutes past an hour; ``n`` is now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scheduler.decide import Backlog, Due, Fire, Pause, Toggle, decide, fold, pauses_of, supersede
from scheduler.outcome import Outcome

HOUR = datetime(2026, 3, 2, 9, tzinfo=UTC)


def minute(number: float) -> datetime:
    return HOUR + timedelta(minutes=number)


def backlog(*minutes: int, following: int | None = 600) -> Backlog:
    return Backlog([minute(m) for m in minutes], None if following is None else minute(following))


def due(policy: str = "latest", window: int = 60, busy: bool = False, toggles: str = "") -> Due:
    return Due(policy, timedelta(minutes=window), busy, history(toggles))


def history(text: str) -> list[Toggle]:
    """``10- 20+``: switched off at minute 10, on again at minute 20."""
    return [Toggle(minute(float(word[:-1])), word[-1] == "+") for word in text.split()]


def outcomes(fires: list[Fire]) -> str:
    """``0 missed, 5..9x5 paused``: the rows in words."""
    return ", ".join(_row(fire) for fire in fires)


def _row(fire: Fire) -> str:
    first = _minutes(fire.scheduled_for)
    if fire.scheduled_until is None:
        return f"{first} {fire.outcome}"
    return f"{first}..{_minutes(fire.scheduled_until)}x{fire.count} {fire.outcome}"


def _minutes(instant: datetime) -> int:
    return int((instant - HOUR).total_seconds() // 60)


@pytest.mark.parametrize(
    ("minutes", "now", "known", "expected"),
    [
        # On an ordinary day one instant is due.
        ("0", 0.01, due(), "0 started"),
        ("0", 0.01, due("skip"), "0 started"),
        ("0", 0.01, due(window=0), "0 started"),
        ("0", 0.01, due(busy=True), "0 skipped_overlap"),
        ("0", 0.01, due("skip", busy=True), "0 skipped_overlap"),
        # Late, but within the window: the newest runs, older ones are folded into it.
        ("0", 50, due(), "0 started"),
        ("0 5 10", 11, due(), "0 coalesced, 5 coalesced, 10 started"),
        ("0 5 10", 11, due(busy=True), "0 coalesced, 5 coalesced, 10 skipped_overlap"),
        # The window's edge belongs to the window.
        ("0", 60, due(), "0 started"),
        ("0", 60.01, due(), "0 missed"),
        ("0 30", 75, due(), "0 missed, 30 started"),
        ("0 5", 120, due(), "0 missed, 5 missed"),
        ("0", 1.01, due(window=0), "0 missed"),
        # Policy skip: only what is younger than a minute.
        ("0", 0.99, due("skip"), "0 started"),
        ("0", 1, due("skip"), "0 missed"),
        ("0 1", 1.5, due("skip"), "0 missed, 1 started"),
        ("0 5 10", 14, due("skip"), "0 missed, 5 missed, 10 missed"),
        # A pause, then a resume: nothing from before the resume runs.
        ("5 10", 21, due(toggles="0- 20+"), "5..10x2 paused"),
        ("5", 21, due(toggles="0- 20+"), "5 paused"),
        ("5 25", 25.1, due(toggles="0- 20+"), "5 paused, 25 started"),
        ("5 25", 25.1, due(toggles="20+"), "5 paused, 25 started"),
        ("20 25", 25.1, due(toggles="20+"), "20 paused, 25 started"),
        ("10 15", 15.1, due(toggles="10- 14+"), "10 paused, 15 started"),
        # Outage, pause, outage, resume: what lay outside every pause was missed.
        ("5 15 25 35", 36, due(toggles="10- 20+ 30- 34+"),
         "5 missed, 15 paused, 25 missed, 35 started"),
        ("5 15", 16, due(busy=True, toggles="0- 10+"), "5 paused, 15 skipped_overlap"),
        ("5 35", 100, due(toggles="0- 10+"), "5 paused, 35 missed"),
    ],
)  # fmt: skip
def test_what_becomes_of_instants(minutes: str, now: float, known: Due, expected: str) -> None:
    instants = backlog(*map(int, minutes.split()))
    assert outcomes(decide(known, instants, minute(now))) == expected


def test_a_chunk_starts_nothing_before_the_agent_has_caught_up() -> None:
    cut = backlog(0, 5, 10, following=15)
    rows = decide(due(), cut, minute(16))
    assert outcomes(rows) == "0 coalesced, 5 coalesced, 10 coalesced"


def test_a_schedule_without_another_instant_still_starts_its_last() -> None:
    assert outcomes(decide(due(), backlog(0, following=None), minute(0.1))) == "0 started"


def test_nothing_due_is_nothing_decided() -> None:
    assert decide(due(), backlog(), minute(5)) == []


@pytest.mark.parametrize(
    ("count", "rows"), [(10, 10), (11, 1)], ids=["ten stay single", "eleven become a range"]
)
def test_long_runs_of_one_outcome_become_a_range(count: int, rows: int) -> None:
    instants = backlog(*range(count))
    folded = decide(due(), instants, minute(600))
    assert len(folded) == rows
    assert sum(fire.count for fire in folded) == count


def test_a_range_ends_where_the_outcome_changes() -> None:
    rows = decide(due(window=10), backlog(*range(40)), minute(39.5))
    assert outcomes(rows[:1]) == "0..29x30 missed"
    assert outcomes(rows[-1:]) == "39 started"
    assert sum(fire.count for fire in rows) == 40


@pytest.mark.parametrize(
    ("toggles", "expected"),
    [
        ("", []),
        ("10-", [Pause(minute(10), None)]),
        ("10+", [Pause(None, minute(10))]),
        ("10- 20+", [Pause(minute(10), minute(20))]),
        ("5+ 10- 20+ 30-", [
            Pause(None, minute(5)), Pause(minute(10), minute(20)), Pause(minute(30), None)
        ]),
    ],
)  # fmt: skip
def test_pauses_are_read_from_toggles(toggles: str, expected: list[Pause]) -> None:
    assert pauses_of(history(toggles)) == expected


@pytest.mark.parametrize(
    ("minutes", "toggles", "expected"),
    [
        ("5 10", "", "5 superseded, 10 superseded"),
        ("5 10 15", "8-", "5 superseded, 10..15x2 paused"),
        ("5 10 15", "8- 12+", "5 superseded, 10 paused, 15 superseded"),
        ("5 10", "7+", "5 paused, 10 superseded"),
    ],
)
def test_an_edit_supersedes_what_nobody_looked_at(
    minutes: str, toggles: str, expected: str
) -> None:
    instants = backlog(*map(int, minutes.split()))
    assert outcomes(supersede(instants, history(toggles), minute(20))) == expected


def test_folding_keeps_every_instant_and_its_order() -> None:
    fires = [Fire(Outcome.MISSED, minute(m)) for m in range(11)]
    fires += [Fire(Outcome.PAUSED, minute(m)) for m in range(11, 13)]
    fires += [Fire(Outcome.STARTED, minute(13))]
    assert outcomes(fold(fires)) == "0..10x11 missed, 11..12x2 paused, 13 started"
