"""The cron fields of PATCH, rule by rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.models import Agent, ScheduleChange
from lap.core import clock
from scheduler.cron import next_fires
from tests.api import AGENTS, Answer, Api, invalid_pairs, sentence_of
from tests.conftest import MakeAgent, SetClock

NOON = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent(cron_schedule="30 9 * * *", cron_timezone="Asia/Tokyo")


def _patch(api: Api, agent: Agent, **fields: Any) -> Answer:
    return api.patch(f"{AGENTS}/{agent.id}", fields)


def _wire(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(("expression", "timezone"), invalid_pairs())
def test_an_invalid_pair_is_one_sentence_and_changes_nothing(
    api: Api, agent: Agent, expression: str, timezone: str
) -> None:
    fields = {"cron_schedule": expression, "cron_timezone": timezone, "name": "new"}
    for answer in (_patch(api, agent, **fields), api.post(AGENTS, {"model": "m", **fields})):
        assert (answer.status, answer.error) == (400, sentence_of(expression, timezone))
    stored = Agent.objects.get()
    assert stored.schedule_values() == agent.schedule_values()
    assert (stored.name, stored.version) == ("", 1)
    assert stored.cron_next_fire_at == agent.cron_next_fire_at
    assert ScheduleChange.objects.count() == 1


WRONG_KIND: dict[str, list[Any]] = {
    "cron_schedule": [
        5, True, 1.5, ["* * * * *"], {"a": "* * * * *"}, "\ud800 * * * *", 10**300, "1" * 70_000,
    ],
    "cron_timezone": [
        None, 5, False, ["UTC"], {}, "", " ", "UTC\0", "\udfff", "utc", "Z" * 70_000,
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "fields", [{name: value} for name, values in WRONG_KIND.items() for value in values]
)
def test_half_a_pair_of_the_wrong_kind_is_one_sentence_too(
    api: Api, agent: Agent, fields: dict[str, Any]
) -> None:
    pair = {"cron_schedule": agent.cron_schedule, "cron_timezone": agent.cron_timezone, **fields}
    answer = _patch(api, agent, **fields)
    assert answer.status == 400
    assert answer.error == sentence_of(pair["cron_schedule"], pair["cron_timezone"])
    assert next(iter(fields)) in answer.error
    assert api.post(AGENTS, {"model": "m", **fields}).status == 400
    assert Agent.objects.get().schedule_values() == agent.schedule_values()


def test_a_bad_pair_is_one_sentence_whatever_else_is_wrong(api: Api, agent: Agent) -> None:
    answer = _patch(api, agent, cron_schedule="* * * *", harness_id="vim", tools="x")
    assert answer.error == sentence_of("* * * *", "UTC")


def test_a_zone_is_judged_also_without_a_schedule(api: Api, make_agent: MakeAgent) -> None:
    assert _patch(api, make_agent(), cron_timezone="Mars/Phobos").status == 400


@pytest.mark.parametrize("cleared", ["", "   ", "\t\n", None])
def test_empty_blank_and_null_clear_the_schedule(api: Api, agent: Agent, cleared: Any) -> None:
    answer = _patch(api, agent, cron_schedule=cleared)
    assert answer.status == 200
    assert answer.body["cron_schedule"] is None
    assert answer.body["cron_next_fire_at"] is None
    assert answer.body["cron_timezone"] == "Asia/Tokyo"
    created = api.post(AGENTS, {"model": "m", "cron_schedule": cleared})
    assert (created.status, created.body["cron_schedule"]) == (200, None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cron_schedule": "0 8 * * *"}, datetime(2026, 3, 2, 23, 0, tzinfo=UTC)),
        ({"cron_timezone": "Europe/Oslo"}, datetime(2026, 3, 3, 8, 30, tzinfo=UTC)),
        ({"cron_schedule": "* * * * *"}, datetime(2026, 3, 2, 12, 1, tzinfo=UTC)),
        (
            {"cron_schedule": "0 13 * * MON", "cron_timezone": "US/Pacific"},
            datetime(2026, 3, 2, 21, 0, tzinfo=UTC),
        ),
    ],
)
def test_a_changed_pair_is_counted_from_now(
    api: Api, agent: Agent, set_clock: SetClock, fields: dict[str, str], expected: datetime
) -> None:
    set_clock(NOON)
    answer = _patch(api, agent, **fields)
    assert answer.body["cron_next_fire_at"] == _wire(expected)
    assert answer.body | fields == answer.body
    change = ScheduleChange.objects.last()
    assert change is not None
    assert change.actor == "master key"
    assert change.next_fire_before == agent.cron_next_fire_at


def test_the_toggle_alone_never_touches_the_next_instant(api: Api, agent: Agent) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)
    Agent.objects.update(cron_next_fire_at=past)
    for enabled in (False, False, True):
        answer = _patch(api, agent, cron_enabled=enabled)
        assert answer.status == 200
        assert answer.body["cron_enabled"] is enabled
        assert answer.body["cron_next_fire_at"] == _wire(past)


def test_the_same_pair_again_never_touches_the_next_instant(api: Api, agent: Agent) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)
    Agent.objects.update(cron_next_fire_at=past)
    answer = _patch(
        api, agent, cron_schedule="30 9 * * *", cron_timezone="Asia/Tokyo", cron_enabled=True
    )
    assert answer.body["cron_next_fire_at"] == _wire(past)
    assert answer.headers["ETag"] == '"1"'


def test_other_columns_never_touch_the_next_instant(api: Api, agent: Agent) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)
    Agent.objects.update(cron_next_fire_at=past)
    answer = _patch(api, agent, name="n", cron_prompt="p", cron_run_timeout_seconds=5)
    assert answer.body["cron_next_fire_at"] == _wire(past)


def test_the_toggle_may_come_before_the_schedule(api: Api, make_agent: MakeAgent) -> None:
    agent = make_agent()
    paused = _patch(api, agent, cron_enabled=False)
    assert (paused.status, paused.body["cron_next_fire_at"]) == (200, None)
    scheduled = _patch(api, agent, cron_schedule="* * * * *")
    assert scheduled.body["cron_enabled"] is False
    assert scheduled.body["cron_next_fire_at"] is not None


def test_a_schedule_that_was_switched_off_as_invalid_is_judged_when_enabled(
    api: Api, agent: Agent
) -> None:
    Agent.objects.update(
        cron_schedule="0 0 30 2 *",
        cron_enabled=False,
        cron_next_fire_at=None,
        cron_disabled_reason="it never comes",
    )
    assert _patch(api, agent, name="n").body["cron_disabled_reason"] == "it never comes"
    refused = _patch(api, agent, cron_enabled=True)
    assert (refused.status, refused.error) == (400, sentence_of("0 0 30 2 *", "Asia/Tokyo"))
    repaired = _patch(api, agent, cron_enabled=True, cron_schedule="0 0 28 2 *")
    assert repaired.status == 200
    assert repaired.body["cron_disabled_reason"] is None
    assert repaired.body["cron_next_fire_at"] is not None


def test_a_new_agent_is_counted_from_now(api: Api) -> None:
    before = clock.now()
    body = api.post(AGENTS, {"model": "m", "cron_schedule": "*/5 * * * *"}).body
    following = datetime.fromisoformat(body["cron_next_fire_at"])
    assert following == next_fires("*/5 * * * *", "UTC", following - timedelta(minutes=5), 1)[0]
    assert before < following <= before + timedelta(minutes=6)


def test_a_mistyped_schedule_field_is_refused(api: Api, agent: Agent) -> None:
    """Ignored, it would leave a schedule that runs at the wrong hour for ever."""
    before = agent.name
    answer = _patch(api, agent, cron_tz="Europe/Berlin", name="x")
    assert answer.status == 400
    assert answer.body["error"][0]["path"] == "cron_tz"
    agent.refresh_from_db()
    assert agent.name == before
