"""What all agents are about to do: the plan, its herds and its pictures."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest

from scheduler.cron import load_zone, next_fires
from scheduler.fleet import HERDS, Plan, Shared, heat, herds, plan, quarters
from scheduler.fleet_charts import heat_map, shades, timeline

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
NOW = datetime(2026, 3, 2, 8, 20, 30, tzinfo=UTC)
BERLIN, KOLKATA = load_zone("Europe/Berlin"), load_zone("Asia/Kolkata")


def planned(*schedules: tuple[str, str] | tuple[str, str, int], now: datetime = NOW) -> Plan:
    """A plan of schedules; each has one agent where it is not said."""
    return plan([Shared(*schedule, *([1] * (3 - len(schedule)))) for schedule in schedules], now)


def instants(plan: Plan) -> list[str]:
    return [f"{plan.at(n):%d %H:%M}" for n, runs in enumerate(plan.minutes) if runs]


# The plan


def test_it_is_the_day_after_this_minute() -> None:
    day = planned(("* * * * *", "UTC"))
    assert day.start == datetime(2026, 3, 2, 8, 21, tzinfo=UTC)
    assert list(day.minutes) == [1] * 1440
    assert day.runs == 1440


def test_on_the_minute_its_own_instants_are_over() -> None:
    nine = NOW.replace(hour=9, minute=0, second=0)
    assert instants(planned(("0 9 * * *", "UTC"), now=nine)) == ["03 09:00"]
    assert instants(planned(("0 9 * * *", "UTC"), now=nine - MINUTE)) == ["02 09:00"]


@pytest.mark.parametrize(
    ("schedule", "now", "expected"),
    [
        (("0 9 * * *", "UTC"), NOW, ["02 09:00"]),
        (("20,21 8 * * *", "UTC"), NOW, ["02 08:21", "03 08:20"]),
        (("0 9 * * *", "Asia/Kolkata"), NOW, ["03 03:30"]),
        (("0 9 * * *", "Asia/Kathmandu"), NOW, ["03 03:15"]),
        (("0 9 1 * *", "UTC"), NOW, []),
        (("@daily", "UTC"), NOW, []),
        (("0 9 * * *", "Mars/Base"), NOW, []),
        # The clocks skip 02:30, and show it twice.
        (("30 2 * * *", "Europe/Berlin"), datetime(2026, 3, 28, 12, tzinfo=UTC), ["29 01:00"]),
        (("30 2 * * *", "Europe/Berlin"), datetime(2026, 10, 24, 12, tzinfo=UTC), ["25 00:30"]),
        (
            ("30 */2 * * *", "Europe/Berlin"), datetime(2026, 10, 24, 22, 40, tzinfo=UTC),
            [f"25 {hour:02}:30" for hour in (0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21)],
        ),
    ],
)  # fmt: skip
def test_instants(schedule: tuple[str, str], now: datetime, expected: list[str]) -> None:
    assert instants(planned(schedule, now=now)) == expected


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-03-28"), ("Europe/Berlin", "2026-10-24"),
        ("Australia/Lord_Howe", "2026-04-04"), ("Australia/Lord_Howe", "2026-10-03"),
        ("Africa/Cairo", "2026-04-23"), ("Africa/Cairo", "2026-10-29"), ("UTC", "2026-02-28"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("expression", ["*/5 * * * *", "*/7 1-3 * * *", "15 */2 * * 0"])
def test_it_agrees_with_the_rule_of_time(expression: str, zone: str, day: str) -> None:
    """Where clocks change within the plan."""
    now = datetime.fromisoformat(f"{day}T11:58:59Z")
    end = now.replace(minute=59, second=0) + DAY
    due = takewhile(lambda at: at < end, next_fires(expression, zone, now, 400))
    assert instants(planned((expression, zone), now=now)) == [f"{at:%d %H:%M}" for at in due]


def test_agents_of_one_schedule_count_each() -> None:
    day = planned(("0 9 * * *", "UTC", 312), ("0 * * * *", "UTC", 2), ("0 10 * * *", "Etc/UTC"))
    nine = NOW.replace(hour=9, minute=0, second=0)
    assert [day.runs_at(nine + n * timedelta(hours=1)) for n in range(3)] == [314, 3, 2]
    assert [day.runs_at(nine - DAY), day.runs_at(nine + DAY)] == [0, 0]


def test_schedules_without_an_instant_in_it_are_left_out() -> None:
    """The window spans two days of UTC: each schedule here has instants in one of them."""
    there = [Shared("21 8 * * *", "UTC", 1), Shared("20 8 * * *", "UTC", 2)]
    not_there = [Shared("0 9 4 * *", "UTC", 3), Shared("20 8 2 * *", "UTC", 4),
                 Shared("21 8 3 * *", "UTC", 5)]  # fmt: skip
    assert plan(there + not_there, NOW).schedules == there


# Quarters of an hour


def test_quarters_begin_on_the_quarter() -> None:
    slots = quarters(planned(("* * * * *", "UTC", 2)))
    assert [f"{slot.start:%H:%M}" for slot in slots[:2]] == ["08:15", "08:30"]
    assert len(slots) == 97
    assert (slots[0].runs, slots[1].runs, slots[-1].runs) == (18, 30, 12)
    assert sum(slot.runs for slot in slots) == 2880


def test_a_day_from_a_full_quarter_has_96() -> None:
    slots = quarters(planned(("* * * * *", "UTC"), now=NOW.replace(minute=29)))
    assert {slot.runs for slot in slots} == {15}
    assert len(slots) == 96


# Minutes of the hour by hours of the day


def test_the_heat_map_follows_the_viewers_clock() -> None:
    day = planned(("0 9 * * *", "Asia/Kolkata", 3))
    assert heat(day, KOLKATA)[9][0] == 3
    assert heat(day, UTC)[3][30] == 3
    assert sum(map(sum, heat(day, KOLKATA))) == 3


def test_an_hour_that_comes_twice_holds_both() -> None:
    night = datetime(2026, 10, 24, 22, tzinfo=UTC)
    grid = heat(planned(("15 * * * *", "UTC"), now=night), BERLIN)
    assert [row[15] for row in grid] == [1, 1, 2, *[1] * 20, 0]


def test_an_hour_that_is_skipped_holds_none() -> None:
    night = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
    grid = heat(planned(("15 * * * *", "UTC"), now=night), BERLIN)
    assert [row[15] for row in grid] == [1, 2, 0, *[1] * 21]


# Herds


def test_a_crowd_in_one_minute_is_a_herd() -> None:
    day = planned(
        ("0 9 * * *", "UTC", 300), ("0 10 * * *", "Europe/Berlin", 12), ("0 0 * * *", "UTC")
    )
    (herd,) = herds(day)
    assert (herd.at.isoformat(), herd.agents) == ("2026-03-02T09:00:00+00:00", 312)
    assert herd.schedule == Shared("0 9 * * *", "UTC", 300)
    assert herd.instead == "7 9 * * *"


def test_few_agents_are_no_herd() -> None:
    assert herds(planned(("0 9 * * *", "UTC", 9))) == []
    assert len(herds(planned(("0 9 * * *", "UTC", 10)))) == 1


def test_what_is_busy_all_day_is_no_herd() -> None:
    assert herds(planned(("* * * * *", "UTC", 1000))) == []
    assert herds(planned(("* * * * *", "UTC", 1000), ("0 9 * * *", "UTC", 3000))) == []
    assert len(herds(planned(("* * * * *", "UTC", 1000), ("0 9 * * *", "UTC", 4100)))) == 1


def test_only_the_largest_are_pointed_out() -> None:
    many = [(f"0 {hour} * * *", "UTC", 10 + hour) for hour in range(10, 20)]
    assert [herd.agents for herd in herds(planned(*many))] == [29, 28, 27, 26, 25][:HERDS]


@pytest.mark.parametrize(
    ("others", "instead"),
    [
        ([], "7 9 * * 1-5"),
        ([("7 9 * * *", "UTC")], "8 9 * * 1-5"),
        ([("7-9 9 * * *", "UTC")], "11 9 * * 1-5"),
        ([("1-59 9 * * *", "UTC"), ("5,6 * * * *", "UTC")], "7 9 * * 1-5"),
    ],
)
def test_the_advice_is_the_quietest_minute(others: list[tuple[str, str]], instead: str) -> None:
    assert herds(planned(("0 9 * * 1-5", "UTC", 50), *others))[0].instead == instead


def test_the_advice_is_in_the_schedules_own_clock() -> None:
    day = planned(("0 14 * * *", "Asia/Kolkata", 50), ("7 14 * * *", "Asia/Kolkata"))
    assert [(f"{herd.at:%H:%M}", herd.instead) for herd in herds(day)] == [("08:30", "8 14 * * *")]


def test_schedules_of_one_minute_are_moved_first() -> None:
    day = planned(("*/30 9 * * *", "UTC", 50), ("30 9 * * *", "UTC", 10))
    assert [herd.instead for herd in herds(day)] == ["7 9 * * *", ""]


# Pictures


@pytest.mark.parametrize(
    ("most", "bounds"),
    [(1, [1]), (2, [2]), (4, [2, 3, 4]), (32, [2, 4, 8, 16, 32]), (1024, [4, 16, 64, 256, 1024])],
)
def test_shades(most: int, bounds: list[int]) -> None:
    assert shades(most) == bounds


def test_every_cell_has_one_shade() -> None:
    schedules = [("*/7 * * * *", "UTC", 3), ("0 9 * * *", "UTC", 400), ("* 3 * * *", "UTC", 20)]
    day = planned(*schedules)
    drawn = heat_map(day, UTC)
    cells = sum(int(width) for level in drawn.levels for width in re.findall(r"h(\d+)", level.path))
    assert cells == sum(runs > 0 for runs in day.minutes)
    assert [level.least for level in drawn.levels][1:] == [
        level.most + 1 for level in drawn.levels[:-1]
    ]
    assert (drawn.levels[0].least, drawn.levels[-1].most) == (1, 403)


def test_neighbouring_cells_are_one_rectangle() -> None:
    (level,) = heat_map(planned(("10-29 3 * * *", "UTC")), UTC).levels
    assert level.path == "M10 3h20v0.86h-20z"


def test_a_row_of_the_map_knows_its_busiest_minute() -> None:
    row = heat_map(planned(("5,10 9 * * *", "UTC"), ("10 9 * * *", "UTC", 4)), UTC).rows[9]
    assert (row.runs, row.busiest_minute, row.busiest_runs) == (6, 10, 5)


def test_the_timeline_colours_herds() -> None:
    day = planned(("0 9 * * *", "UTC", 100), ("0 12 * * *", "UTC"))
    drawn = timeline(day, herds(day), UTC)
    assert drawn.crowded == "M3.1 100V0.0h0.8V100z"
    assert drawn.calm == "M15.1 100V98.0h0.8V100z"
    assert (drawn.busiest.runs, f"{drawn.busiest.start:%H:%M}") == (100, "09:00")


def test_its_axis_has_the_viewers_hours() -> None:
    drawn = timeline(planned(("0 9 * * *", "UTC")), [], KOLKATA)
    assert [f"{tick.at:%H:%M}" for tick in drawn.ticks] == [
        "18:00", "21:00", "00:00", "03:00", "06:00", "09:00", "12:00"
    ]  # fmt: skip
