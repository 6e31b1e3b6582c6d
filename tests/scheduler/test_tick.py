"""One tick, against a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from cryptography.fernet import Fernet
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from agents.editing import delete_agent, edit_agent
from agents.models import Agent, ScheduleChange
from lap.core import clock
from scheduler.models import CronFire
from scheduler.tick import tick
from sessions.models import Session
from tests.conftest import MakeAgent, SetClock

MONDAY = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)

pytestmark = pytest.mark.django_db


BREAK_SESSIONS_OF = """
CREATE FUNCTION break_one() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'this agent is broken'; END $$;
CREATE TRIGGER break_one BEFORE INSERT ON agent_sessions_session
    FOR EACH ROW WHEN (NEW.agent_id = %s) EXECUTE FUNCTION break_one()
"""


def ledger(agent: Agent) -> list[tuple[str, str, int]]:
    """``("09:00", "started", 1)`` for each row, oldest first."""
    rows = CronFire.objects.filter(agent=agent).order_by("scheduled_for")
    return [(f"{row.scheduled_for:%H:%M}", row.outcome, row.count) for row in rows]


@pytest.fixture
def hourly(make_agent: MakeAgent, set_clock: SetClock) -> Agent:
    """An agent whose first instant is NINE."""
    set_clock(MONDAY)
    return make_agent(name="hourly", cron_schedule="0 * * * *", cron_prompt="echo hi")


def test_nothing_is_due_before_its_instant(hourly: Agent) -> None:
    assert tick().considered == 0
    assert ledger(hourly) == []


def test_a_due_instant_opens_a_session(hourly: Agent, set_clock: SetClock) -> None:
    set_clock(NINE)
    result = tick()
    session = Session.objects.get(agent=hourly)
    fire = CronFire.objects.get(agent=hourly)
    hourly.refresh_from_db()

    assert (result.considered, result.fired) == (1, 1)
    assert (session.status, session.trigger) == ("creating", "cron")
    assert session.scheduled_for == fire.scheduled_for == NINE
    assert session.initial_prompt == "echo hi"
    assert session.run_timeout_seconds == hourly.cron_run_timeout_seconds
    assert fire.session == session
    assert hourly.cron_next_fire_at == NINE + timedelta(hours=1)
    assert hourly.cron_last_fired_at == session.created_at
    assert hourly.version == 1


def test_a_second_tick_finds_nothing(hourly: Agent, set_clock: SetClock) -> None:
    set_clock(NINE)
    tick()
    assert tick().considered == 0
    assert Session.objects.count() == 1


def test_without_a_prompt_the_run_is_told_its_instant(
    make_agent: MakeAgent, set_clock: SetClock
) -> None:
    set_clock(MONDAY)
    make_agent(cron_schedule="0 9 * * *")
    set_clock(NINE)
    tick()
    assert Session.objects.get().initial_prompt == "[cron] scheduled run at 2026-03-02T09:00:00Z"


@pytest.mark.parametrize("trigger", ["cron", "manual"])
@pytest.mark.parametrize("status", ["creating", "ready", "stopping"])
def test_a_skipped_run_leaves_last_fired_alone(
    hourly: Agent, set_clock: SetClock, trigger: str, status: str
) -> None:
    """One of the two bugs of an earlier system."""
    Session.objects.create(
        agent=hourly,
        trigger=trigger,
        status=status,
        stop_as="dead" if status == "stopping" else "",
        scheduled_for=MONDAY if trigger == "cron" else None,
    )
    set_clock(NINE)
    result = tick()
    hourly.refresh_from_db()
    assert (result.fired, result.skipped_overlap) == (0, 1)
    assert ledger(hourly) == [("09:00", "skipped_overlap", 1)]
    assert hourly.cron_last_fired_at is None
    assert hourly.cron_next_fire_at == NINE + timedelta(hours=1)
    assert Session.objects.count() == 1


@pytest.mark.parametrize(("trigger", "status"), [("api", "ready"), ("cron", "completed")])
def test_conversations_and_ended_runs_do_not_overlap(
    hourly: Agent, set_clock: SetClock, trigger: str, status: str
) -> None:
    Session.objects.create(
        agent=hourly,
        trigger=trigger,
        status=status,
        scheduled_for=MONDAY if trigger == "cron" else None,
        stopped_at=MONDAY if status == "completed" else None,
    )
    set_clock(NINE)
    assert tick().fired == 1


@pytest.mark.parametrize(
    ("column", "value"), [("cron_schedule", "61 * * * *"), ("cron_timezone", "Mars/Phobos")]
)
def test_an_invalid_schedule_is_switched_off_and_starts_nothing(
    hourly: Agent, set_clock: SetClock, column: str, value: str
) -> None:
    """The other bug of an earlier system."""
    Agent.objects.filter(id=hourly.id).update(**{column: value})
    set_clock(NINE)
    result = tick()
    hourly.refresh_from_db()
    change = ScheduleChange.objects.latest("id")

    assert (result.fired, result.invalid) == (0, 1)
    assert not Session.objects.exists()
    assert ledger(hourly) == [("09:00", "invalid_schedule", 1)]
    assert value in CronFire.objects.get().reason
    assert (hourly.cron_enabled, hourly.cron_next_fire_at) == (False, None)
    assert hourly.cron_last_fired_at is None
    assert value in hourly.cron_disabled_reason
    assert hourly.version == 2
    assert (change.actor, change.enabled_before, change.enabled_after) == ("worker", True, False)
    assert tick().considered == 0


def test_the_database_refuses_a_session_for_anything_but_started(hourly: Agent) -> None:
    session = Session.objects.create(agent=hourly)
    with pytest.raises(IntegrityError, match="cron_fire_session_only_if_started"):
        CronFire.objects.create(
            agent=hourly,
            scheduled_for=NINE,
            outcome="invalid_schedule",
            session=session,
            decided_at=NINE,
        )


def test_the_database_refuses_a_second_session_of_an_instant(hourly: Agent) -> None:
    Session.objects.create(agent=hourly, trigger="cron", scheduled_for=NINE)
    with pytest.raises(IntegrityError, match="session_once_per_instant"):
        Session.objects.create(agent=hourly, trigger="cron", scheduled_for=NINE)


@pytest.mark.parametrize("minutes", [-60, 0, 30, 120])
def test_the_database_refuses_a_row_inside_a_range(hourly: Agent, minutes: int) -> None:
    hours = timedelta(hours=2)
    CronFire.objects.create(
        agent=hourly, scheduled_for=NINE, scheduled_until=NINE + hours, count=3,
        outcome="missed", decided_at=NINE,
    )  # fmt: skip
    row = CronFire(
        agent=hourly, scheduled_for=NINE + timedelta(minutes=minutes), outcome="missed",
        decided_at=NINE,
    )  # fmt: skip
    if minutes < 0:
        row.save()
        return
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()


def test_an_instant_that_has_a_row_is_not_decided_again(hourly: Agent, set_clock: SetClock) -> None:
    CronFire.objects.create(agent=hourly, scheduled_for=NINE, outcome="missed", decided_at=NINE)
    set_clock(NINE)
    result = tick()
    hourly.refresh_from_db()
    assert (result.considered, result.fired) == (1, 0)
    assert not Session.objects.exists()
    assert hourly.cron_next_fire_at == NINE + timedelta(hours=1)
    assert hourly.cron_last_fired_at is None


def test_after_an_outage_only_the_newest_instant_runs(
    make_agent: MakeAgent, set_clock: SetClock
) -> None:
    set_clock(MONDAY)
    agent = make_agent(cron_schedule="*/30 * * * *", cron_catchup_window_seconds=3600)
    set_clock(NINE + timedelta(hours=2, minutes=10))
    result = tick()
    assert ledger(agent) == [
        ("09:00", "missed", 1),
        ("09:30", "missed", 1),
        ("10:00", "missed", 1),
        ("10:30", "coalesced", 1),
        ("11:00", "started", 1),
    ]
    assert (result.missed, result.coalesced, result.fired) == (3, 1, 1)


def test_pause_outage_and_resume_are_told_apart(make_agent: MakeAgent, set_clock: SetClock) -> None:
    set_clock(MONDAY)
    agent = make_agent(cron_schedule="*/15 * * * *")
    for clock_time, enabled in ((9.1, False), (10.1, True)):
        set_clock(NINE + timedelta(hours=clock_time - 9))
        edit_agent(agent.id, {"cron_enabled": enabled}, "test")
    set_clock(NINE + timedelta(hours=1, minutes=31))
    tick()
    assert ledger(agent) == [
        ("08:45", "missed", 1),
        ("09:00", "missed", 1),
        ("09:15", "paused", 4),
        ("10:15", "coalesced", 1),
        ("10:30", "started", 1),
    ]


def test_switching_never_moves_the_next_instant(hourly: Agent, set_clock: SetClock) -> None:
    set_clock(NINE + timedelta(hours=3))
    for enabled in (False, True, True):
        edited = edit_agent(hourly.id, {"cron_enabled": enabled}, "test")
        assert edited.cron_next_fire_at == NINE
    toggles = ScheduleChange.objects.toggles().filter(agent=hourly)
    assert [change.enabled_after for change in toggles] == [False, True]


def test_a_resume_fires_nothing_from_before_it(hourly: Agent, set_clock: SetClock) -> None:
    edit_agent(hourly.id, {"cron_enabled": False}, "test")
    set_clock(NINE + timedelta(minutes=1))
    edit_agent(hourly.id, {"cron_enabled": True}, "test")
    assert tick().fired == 0
    assert ledger(hourly) == [("09:00", "paused", 1)]


def test_an_edit_supersedes_due_instants_and_fires_none(hourly: Agent, set_clock: SetClock) -> None:
    set_clock(NINE + timedelta(hours=1, minutes=5))
    edited = edit_agent(hourly.id, {"cron_schedule": "*/10 * * * *"}, "test")
    assert edited.cron_next_fire_at == NINE + timedelta(hours=1, minutes=10)
    result = tick()
    assert (result.superseded, result.fired) == (2, 0)
    assert ledger(hourly) == [("09:00", "superseded", 1), ("10:00", "superseded", 1)]
    assert not ScheduleChange.objects.unsettled().exists()


def test_an_edit_in_a_pause_leaves_its_instants_paused(hourly: Agent, set_clock: SetClock) -> None:
    set_clock(NINE + timedelta(minutes=30))
    edit_agent(hourly.id, {"cron_enabled": False}, "test")
    set_clock(NINE + timedelta(hours=2, minutes=30))
    edit_agent(hourly.id, {"cron_schedule": "0 12 * * *"}, "test")
    tick()
    assert ledger(hourly) == [("09:00", "superseded", 1), ("10:00", "paused", 2)]


@pytest.mark.parametrize("door", ["clear", "delete"])
def test_clearing_and_deleting_settle_what_was_due(
    hourly: Agent, set_clock: SetClock, door: str
) -> None:
    set_clock(NINE + timedelta(minutes=1))
    if door == "clear":
        edit_agent(hourly.id, {"cron_schedule": " "}, "test")
    else:
        delete_agent(hourly.id, "test")
    tick()
    hourly.refresh_from_db()
    assert (hourly.cron_schedule, hourly.cron_next_fire_at) == (None, None)
    assert ledger(hourly) == [("09:00", "superseded", 1)]


def test_long_backlogs_are_settled_in_chunks_before_a_run_starts(
    make_agent: MakeAgent, set_clock: SetClock, settings: Settings
) -> None:
    settings.LAP_CRON_BACKLOG_LIMIT = 100
    set_clock(MONDAY)
    agent = make_agent(cron_schedule="* * * * *")
    set_clock(MONDAY + timedelta(minutes=250, seconds=5))
    counts = [
        (result.missed + result.coalesced, result.fired) for result in (tick(), tick(), tick())
    ]
    assert counts == [(100, 0), (100, 0), (49, 1)]
    rows = CronFire.objects.filter(agent=agent)
    assert sum(row.count for row in rows) == 250
    assert len(rows) < 20


def test_a_long_superseded_backlog_is_settled_in_chunks(
    make_agent: MakeAgent, set_clock: SetClock, settings: Settings
) -> None:
    settings.LAP_CRON_BACKLOG_LIMIT = 100
    set_clock(MONDAY)
    agent = make_agent(cron_schedule="* * * * *")
    set_clock(MONDAY + timedelta(minutes=250, seconds=5))
    edit_agent(agent.id, {"cron_schedule": None}, "test")
    assert [tick().superseded for _ in range(4)] == [100, 100, 50, 0]


def test_one_bad_agent_steps_aside_and_the_others_go_on(
    make_agent: MakeAgent, set_clock: SetClock, settings: Settings
) -> None:
    set_clock(MONDAY)
    good = [make_agent(name=f"good {n}", cron_schedule="0 9 * * *") for n in range(3)]
    bad = make_agent(name="bad", cron_schedule="0 9 * * *")
    with connection.cursor() as cursor:
        cursor.execute(BREAK_SESSIONS_OF, [bad.id])
    set_clock(NINE)
    result = tick()
    bad.refresh_from_db()
    assert (result.fired, result.errors) == (3, 1)
    assert [ledger(agent) for agent in good] == [[("09:00", "started", 1)]] * 3
    assert ledger(bad) == []
    assert bad.cron_blocked_until is not None
    assert "broken" in bad.cron_blocked_reason
    assert tick().considered == 0

    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER break_one ON agent_sessions_session")
    set_clock(NINE + timedelta(seconds=settings.LAP_CRON_BLOCK_SECONDS + 1))
    assert tick().fired == 1


def test_a_skewed_machine_clock_decides_the_same(hourly: Agent, set_clock: SetClock) -> None:
    set_clock(NINE - timedelta(seconds=2))
    with time_machine.travel(datetime(2031, 5, 5, tzinfo=UTC), tick=True):
        assert tick().considered == 0
    set_clock(NINE)
    with time_machine.travel(datetime(2019, 5, 5, tzinfo=UTC), tick=True):
        assert tick().fired == 1
    assert ledger(hourly) == [("09:00", "started", 1)]
    assert abs((CronFire.objects.get().decided_at - NINE).total_seconds()) < 5


def test_schedules_follow_the_agents_zone(make_agent: MakeAgent, set_clock: SetClock) -> None:
    friday = datetime(2026, 3, 6, 18, tzinfo=UTC)
    set_clock(friday)
    agent = make_agent(cron_schedule="0 9 * * 1-5", cron_timezone="America/Los_Angeles")
    assert agent.cron_next_fire_at == datetime(2026, 3, 9, 16, tzinfo=UTC)
    set_clock(datetime(2026, 3, 9, 16, tzinfo=UTC))
    assert tick().fired == 1


def test_earliest_due_knows_agents_that_step_aside(
    make_agent: MakeAgent, set_clock: SetClock
) -> None:
    set_clock(MONDAY)
    assert Agent.objects.earliest_due() is None
    agent = make_agent(cron_schedule="0 9 * * *")
    assert Agent.objects.earliest_due() == NINE
    later = clock.now() + timedelta(minutes=5)
    Agent.objects.filter(id=agent.id).update(cron_blocked_until=later)
    assert Agent.objects.earliest_due() == later


def test_an_edit_of_a_schedule_that_was_off_all_along_leaves_it_paused(
    hourly: Agent, set_clock: SetClock
) -> None:
    """Switched off before its next instant: no toggle lies between that instant and the edit."""
    set_clock(NINE - timedelta(minutes=10))
    edit_agent(hourly.id, {"cron_enabled": False}, "test")
    set_clock(NINE + timedelta(hours=2, minutes=30))
    edit_agent(hourly.id, {"cron_schedule": "0 12 * * *"}, "test")
    tick()
    assert ledger(hourly) == [("09:00", "paused", 3)]


def test_many_long_backlogs_are_folded(make_agent: MakeAgent, set_clock: SetClock) -> None:
    set_clock(MONDAY)
    for _ in range(20):
        make_agent(cron_schedule="* * * * *")
    set_clock(MONDAY + timedelta(hours=5))
    assert tick().fired == 20
    assert CronFire.objects.count() < 20 * 20
    assert sum(fire.count for fire in CronFire.objects.all()) == 20 * 300


def test_an_agent_whose_secrets_cannot_be_read_does_not_stop_the_others(
    make_agent: MakeAgent, set_clock: SetClock, settings: Settings
) -> None:
    set_clock(MONDAY)
    stranger = make_agent(cron_schedule="0 9 * * *", env_vars={"A": "b"})
    settings.LAP_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    make_agent(cron_schedule="0 9 * * *")
    set_clock(NINE + timedelta(minutes=1))
    edit_agent(stranger.id, {"cron_schedule": "1 9 * * *"}, "test")
    result = tick()
    assert (result.fired, result.superseded, result.errors) == (1, 1, 0)
