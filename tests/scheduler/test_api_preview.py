"""The preview of a schedule over the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agents.models import Agent, ScheduleChange
from tests.api import NOBODY, Api, invalid_pairs, sentence_of
from tests.conftest import MakeAgent, SetClock

PATH = "/cron/preview"
DAILY = {"cron_schedule": "0 9 * * *", "cron_timezone": "UTC", "after": "2026-03-01T00:00:00Z"}


def test_it_describes_and_lists_what_comes(api: Api) -> None:
    answer = api.post(PATH, {**DAILY, "cron_timezone": "America/New_York", "count": 2})
    assert answer.status == 200
    assert answer.body == {
        "description": "At 09:00, every day (America/New_York)",
        "next": ["2026-03-01T14:00:00Z", "2026-03-02T14:00:00Z"],
        "notes": [],
    }


def test_it_tells_what_a_clock_change_does(api: Api) -> None:
    asked = {"cron_schedule": "30 2 * * *", "cron_timezone": "America/New_York"}
    answer = api.post(PATH, {**asked, "after": "2026-03-07T12:00:00-05:00"})
    assert answer.body["next"][0] == "2026-03-08T07:00:00Z"
    assert len(answer.body["notes"]) == 1
    assert "skip" in answer.body["notes"][0]


def test_it_counts_from_the_databases_clock(api: Api, set_clock: SetClock) -> None:
    set_clock(datetime(2030, 1, 1, 8, 59, 30, tzinfo=UTC))
    answer = api.post(PATH, {"cron_schedule": "0 9 * * *", "cron_timezone": "UTC"})
    assert answer.body["next"][0] == "2030-01-01T09:00:00Z"
    assert len(answer.body["next"]) == 5


def test_beside_a_stored_schedule_it_tells_the_difference(api: Api, make_agent: MakeAgent) -> None:
    agent = make_agent(cron_schedule="0 8,9 * * *")
    asked = {**DAILY, "cron_schedule": "0 9,10 * * *", "count": 2, "agent_id": str(agent.id)}
    answer = api.post(PATH, asked)
    assert answer.body["added"] == ["2026-03-01T10:00:00Z"]
    assert answer.body["removed"] == ["2026-03-01T08:00:00Z"]


def test_without_a_stored_schedule_every_run_is_new(api: Api, make_agent: MakeAgent) -> None:
    answer = api.post(PATH, {**DAILY, "count": 1, "agent_id": str(make_agent().id)})
    assert answer.body["added"] == answer.body["next"]
    assert answer.body["removed"] == []


def test_what_is_missing_is_taken_from_the_agent(api: Api, make_agent: MakeAgent) -> None:
    agent = make_agent(cron_schedule="0 9 * * *", cron_timezone="Asia/Tokyo")
    answer = api.post(PATH, {"agent_id": str(agent.id), "cron_schedule": "0 10 * * *"})
    assert answer.body["description"].endswith("(Asia/Tokyo)")
    same = api.post(PATH, {"agent_id": str(agent.id)})
    assert (same.body["added"], same.body["removed"]) == ([], [])


def test_it_writes_nothing(api: Api, make_agent: MakeAgent) -> None:
    agent = make_agent(cron_schedule="0 8 * * *")
    api.post(PATH, {**DAILY, "agent_id": str(agent.id)})
    assert Agent.objects.get().schedule_values() == agent.schedule_values()
    assert ScheduleChange.objects.count() == 1


@pytest.mark.parametrize(
    ("expression", "timezone"), [*invalid_pairs(), ("", "UTC"), ("  ", "UTC"), (5, "UTC")]
)
def test_an_invalid_pair_is_one_sentence(api: Api, expression: Any, timezone: Any) -> None:
    answer = api.post(PATH, {"cron_schedule": expression, "cron_timezone": timezone})
    assert (answer.status, answer.error) == (400, sentence_of(expression, timezone))


@pytest.mark.parametrize("body", [{}, {"cron_schedule": None}, {"cron_timezone": "UTC"}])
def test_a_schedule_is_needed(api: Api, body: dict[str, Any]) -> None:
    answer = api.post(PATH, body)
    assert answer.status == 400
    assert answer.error.startswith('invalid cron_schedule ""')


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 0),
        ("count", 51),
        ("count", "5"),
        ("count", 5.0),
        ("count", True),
        ("count", None),
        ("count", 10**300),
        ("after", "tomorrow"),
        ("after", "2026-03-01T00:00:00"),
        ("after", "2026-03-01"),
        ("after", 1_700_000_000),
        ("after", ["2026-03-01T00:00:00Z"]),
        ("after", "0001-01-01T00:00:00+14:00"),
        ("after", "9999-12-31T23:59:59-14:00"),
        ("after", "2026-03-01T00:00:00Z\0"),
        ("agent_id", 5),
        ("agent_id", "x" * 101),
    ],
)
def test_bad_values(api: Api, field: str, value: Any) -> None:
    answer = api.post(PATH, {**DAILY, field: value})
    assert answer.status == 400
    assert [error["path"] for error in answer.error] == [field]


@pytest.mark.parametrize("agent_id", [NOBODY, "x"])
def test_an_unknown_agent(api: Api, agent_id: str) -> None:
    answer = api.post(PATH, {**DAILY, "agent_id": agent_id})
    assert (answer.status, answer.error) == (404, f"agent '{agent_id}' not found")


def test_the_rarest_schedule_is_answered_too(api: Api) -> None:
    rare = {**DAILY, "cron_schedule": "0 0 29 2 *", "count": 50}
    assert len(api.post(PATH, rare).body["next"]) == 50
