"""What the editor shows before it saves."""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from django.test import Client

from agents.editing import edit_agent
from agents.models import Agent
from tests.agents.browser import spoil
from tests.api import NOBODY, invalid_pairs, sentence_of
from tests.conftest import SetClock

NOVEMBER = datetime(2026, 11, 23, 5, 20, tzinfo=UTC)
MINUS = "\N{MINUS SIGN}"


@pytest.fixture(autouse=True)
def _now(set_clock: SetClock) -> None:
    set_clock(NOVEMBER)


def shown(client: Client, schedule: str, zone: str = "UTC", **query: Any) -> Any:
    query = {"cron_schedule": schedule, "cron_timezone": zone, "cron_enabled": "on", **query}
    return client.get("/schedules/preview/", {k: v for k, v in query.items() if v is not None})


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return unescape(response.content.decode())


def changes_of(response: Any) -> list[tuple[str, list[str], list[str]]]:
    return [
        (day.name, *([f"{at:%H:%M}" for at in instants] for instants in (day.added, day.removed)))
        for day in response.context["outlook"].changes
    ]


def test_it_says_when_it_runs_next(ada: Client) -> None:
    page = text_of(shown(ada, "0 9 * * 1-5", "America/Los_Angeles"))
    assert "Weekdays at 09:00 (America/Los_Angeles)" in page
    assert page.count("Nov 09:00</time>") == 5
    assert page.count(f"UTC{MINUS}08:00") == 5
    assert "Mon 23 Nov 17:00" in page  # the viewer's own time, UTC for who tells none


def test_it_shows_the_viewers_time_only_where_it_differs(ada: Client) -> None:
    ada.cookies["lap_zone"] = "America/Tijuana"
    assert "Your time" not in text_of(shown(ada, "0 9 * * *", "America/Los_Angeles"))
    ada.cookies["lap_zone"] = "Europe/Berlin"
    page = text_of(shown(ada, "0 9 * * *", "America/Los_Angeles"))
    assert "Your time (Europe/Berlin)" in page
    assert "Mon 23 Nov 18:00" in page


@pytest.mark.parametrize(("expression", "timezone"), invalid_pairs()[::5])
def test_a_bad_pair_has_the_sentence_of_saving(ada: Client, expression: str, timezone: str) -> None:
    response = shown(ada, expression, timezone)
    assert sentence_of(expression, timezone) in text_of(response)
    assert "outlook" not in response.context


def test_a_run_that_a_clock_change_moves_is_marked_and_explained(
    ada: Client, set_clock: SetClock
) -> None:
    set_clock(datetime(2027, 3, 13, tzinfo=UTC))
    response = shown(ada, "30 2 * * *", "America/New_York")
    assert [run.is_touched for run in response.context["outlook"].runs] == [
        False, True, False, False, False,
    ]  # fmt: skip
    assert "one run at 03:00 takes its place" in text_of(response)
    assert text_of(response).count("clock change</span>") == 1


def test_a_change_of_offset_between_runs_is_explained(ada: Client, set_clock: SetClock) -> None:
    set_clock(datetime(2027, 3, 12, 20, tzinfo=UTC))
    page = text_of(shown(ada, "0 9 * * *", "America/New_York"))
    assert (
        "The clocks of America/New_York change before Sun 14 Mar: "
        f"from then on they show UTC{MINUS}04:00 instead of UTC{MINUS}05:00."
    ) in page
    assert "clock change</span>" not in page


def test_the_rarest_schedules_are_shown_too(ada: Client) -> None:
    page = text_of(shown(ada, "0 0 29 2 *"))
    assert "29 Feb 2028" in page
    assert "29 Feb 2044" in page


def test_blank_says_that_nothing_runs(ada: Client, nightly: Agent) -> None:
    assert "No schedule yet." in text_of(shown(ada, " "))
    assert "Saving clears the schedule" in text_of(shown(ada, "", agent=nightly.id))


def test_blank_with_a_bad_zone_is_refused_as_saving_is(ada: Client, nightly: Agent) -> None:
    assert 'invalid cron_timezone "Mars"' in text_of(shown(ada, "", "Mars", agent=nightly.id))


# What the edit changes


def test_it_tells_which_runs_are_added_and_removed(ada: Client, nightly: Agent) -> None:
    edit_agent(nightly.id, {"cron_schedule": "0 9 * * 1", "cron_timezone": "UTC"}, "test")
    assert changes_of(shown(ada, "0 9,17 * * 1", agent=nightly.id)) == [
        ("Mon 23 Nov", ["17:00"], []),
        ("Mon 30 Nov", ["17:00"], []),
        ("Mon 7 Dec", ["17:00"], []),
        ("Mon 14 Dec", ["17:00"], []),
        ("Mon 21 Dec", ["17:00"], []),
    ]


def test_another_zone_moves_every_run(ada: Client, nightly: Agent) -> None:
    response = shown(ada, "0 9 * * *", "Europe/Berlin", agent=nightly.id)
    changes = changes_of(response)
    assert changes[0] == ("Mon 23 Nov", ["08:00"], ["14:00"])
    assert sum(len(added) for _, added, _ in changes) == 10
    assert sum(len(removed) for _, _, removed in changes) == 10
    assert "What this edit changes" in text_of(response)


@pytest.mark.parametrize("schedule", ["0 9 * * *", "0  9 * * *", "0 9 * * 0-6"])
def test_what_changes_nothing_shows_no_changes(ada: Client, nightly: Agent, schedule: str) -> None:
    page = text_of(shown(ada, schedule, "America/New_York", agent=nightly.id))
    assert "What this edit changes" not in page
    assert ("The next 10 runs stay as they are." in page) == (schedule != "0 9 * * *")


@pytest.mark.parametrize(
    ("was", "will", "effect"),
    [
        (True, None, "Saving pauses the schedule: nothing runs until it is enabled."),
        (False, None, "The schedule is paused: nothing runs until it is enabled."),
        (False, "on", "Saving enables the schedule, from its next run on."),
        (True, "on", ""),
    ],
)
def test_pausing_and_enabling_are_said(
    ada: Client, nightly: Agent, was: bool, will: str | None, effect: str
) -> None:
    edit_agent(nightly.id, {"cron_enabled": was}, "test")
    same = ("0 9 * * *", "America/New_York")
    response = shown(ada, *same, agent=nightly.id, cron_enabled=will)
    assert response.context["outlook"].effect == effect
    assert effect in text_of(response)
    assert changes_of(response) == []


def test_nothing_is_compared_with_a_schedule_that_ran_nothing(ada: Client, nightly: Agent) -> None:
    spoil(nightly)
    assert changes_of(shown(ada, "0 9 * * *", agent=nightly.id)) == []
    edit_agent(nightly.id, {"cron_schedule": None}, "test")
    response = shown(ada, "0 9 * * *", agent=nightly.id)
    assert changes_of(response) == []
    assert response.context["outlook"].effect == ""


@pytest.mark.parametrize("agent", ["", "none", NOBODY])
def test_an_unknown_agent_has_nothing_to_compare_with(ada: Client, agent: str) -> None:
    assert changes_of(shown(ada, "0 9 * * *", agent=agent)) == []


def test_it_asks_the_database_little(
    ada: Client, nightly: Agent, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(4):  # session, user, agent, clock
        shown(ada, "0 10 * * *", agent=nightly.id)
