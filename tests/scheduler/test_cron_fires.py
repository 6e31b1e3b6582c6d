"""The next instants: the public vectors, properties, and two independent evaluators."""

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.cron import CronError, fires, next_fires, parse
from scheduler.cron.zones import NAMES, load
from tests.scheduler.oracle import BOUNDS, LATE_2026, MINUTE, Oracle, Tick, changes, walk

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors_public.json").read_text())
DAY = timedelta(days=1)
SPANS = (60, 24, 31, 12, 7)
ZONES = sorted(NAMES)

# Settings of this file: the same examples in every run, and no database of old ones.
steady = settings(derandomize=True, database=None, deadline=None, max_examples=300)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# -- strategies ---------------------------------------------------------------------------


def items(at: int, chance: random.Random) -> str:
    """Return a list of one to three items that the grammar allows in one field."""
    low, high = BOUNDS[at]
    first, last = sorted(chance.randint(low, high) for _ in range(2))
    step = f"/{chance.randint(1, SPANS[at])}"
    shapes = (str(first), f"{first}-{last}", f"{first}-{last}{step}", f"*{step}", f"{last}")
    return ",".join(chance.choice(shapes) for _ in range(chance.choice([1, 1, 2, 3])))


def fields(at: int) -> st.SearchStrategy[str]:
    """Draw from a pool: building a field item by item would cost ten times the test."""
    chance = random.Random(at)
    pool = sorted({items(at, chance) for _ in range(600)}, key=lambda text: (len(text), text))
    return st.sampled_from(["*"] * (len(pool) // 3) + pool)


expressions = st.tuples(*map(fields, range(5))).map(" ".join)
zone_names = st.sampled_from(ZONES)
instants = st.datetimes(datetime(1975, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))
counts = st.integers(1, 12)


def fires_or_assume(expression: str, zone: str, after: datetime, count: int) -> list[datetime]:
    try:
        return next_fires(expression, zone, after, count)
    except CronError:
        assume(False)
        raise


# -- the public vectors -------------------------------------------------------------------


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: f"{row['expr']} {row['tz']}")
def test_it_agrees_with_the_public_vectors(row: dict[str, list[str]]) -> None:
    expected = [datetime.fromisoformat(at) for at in row["expected_next"]]
    after = datetime.fromisoformat(str(row["after"]))
    assert next_fires(str(row["expr"]), str(row["tz"]), after, len(expected)) == expected


# -- rare shifts, by hand ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Apia skipped 30 December 2011: 24 hours, so nothing is made up.
        ("0 9 * * *", "Pacific/Apia", "2011-12-29 12:00", ["2011-12-29 19:00", "2011-12-30 19:00"]),
        ("0 9 30 * *", "Pacific/Apia", "2011-12-29 12:00", ["2012-01-29 19:00"]),
        ("0 * * * *", "Pacific/Apia", "2011-12-30 09:00", ["2011-12-30 10:00"]),
        # Casey's clocks went from 00:01 to 03:01: exactly three hours is a correction.
        ("30 1 * * *", "Antarctica/Casey", "2020-10-03 00:00", ["2020-10-04 14:30"]),
        # Ust-Nera in 1981: three hours forward.
        ("30 1 * * *", "Asia/Ust-Nera", "1981-03-31 00:00", ["1981-04-01 13:30"]),
        # Kwajalein repeated 23 hours in 1969. Fixed times run once, intervals twice.
        (
            "0 12 * * *",
            "Pacific/Kwajalein",
            "1969-09-30 00:30",
            ["1969-09-30 01:00", "1969-10-02 00:00"],
        ),
        (
            "0 */12 * * *",
            "Pacific/Kwajalein",
            "1969-09-30 00:30",
            ["1969-09-30 01:00", "1969-10-01 00:00", "1969-10-01 12:00", "1969-10-02 00:00"],
        ),
        # Vostok went back seven hours on 1 February 1994.
        ("0 20 * * *", "Antarctica/Vostok", "1994-01-31 12:00", ["1994-01-31 13:00"]),
        # Liberia's offset had seconds until 1972: so do its instants.
        ("0 9 * * *", "Africa/Monrovia", "1971-06-01 00:00", ["1971-06-01 09:44:30"]),
        # Leap-day Sundays: 2100 is no leap year, so 40 years pass.
        ("0 0 29 2 */7", "UTC", "2088-03-01 00:00", ["2128-02-29 00:00"]),
    ],
)
def test_rare_shifts(expression: str, zone: str, after: str, expected: list[str]) -> None:
    assert next_fires(expression, zone, utc(after), len(expected)) == list(map(utc, expected))


@pytest.mark.parametrize("weekday", range(7))
def test_every_leap_day_weekday_is_found_for_four_centuries(weekday: int) -> None:
    expression = f"0 0 29 2 */7,{weekday}"
    found = next_fires(expression, "UTC", utc("2000-03-01"), 30)
    expected = [
        at
        for year in range(2004, found[-1].year + 1, 4)
        if year % 100 or not year % 400
        for at in [datetime(year, 2, 29, tzinfo=UTC)]
        if at.isoweekday() % 7 in (0, weekday)
    ]
    assert found == expected


# -- properties ----------------------------------------------------------------------------


@steady
@given(expressions, zone_names, instants, counts)
def test_answers_are_later_sorted_unique_and_complete(
    expression: str, zone: str, after: datetime, count: int
) -> None:
    found = fires_or_assume(expression, zone, after, count)
    assert len(found) == count
    assert all(earlier < later for earlier, later in zip([after, *found], found, strict=False))
    assert all(at.tzinfo is UTC for at in found)


@steady
@given(expressions, zone_names, instants, counts)
def test_each_answer_leads_to_the_next(
    expression: str, zone: str, after: datetime, count: int
) -> None:
    found = fires_or_assume(expression, zone, after, count + 1)
    for at, following in pairwise(found):
        assert next_fires(expression, zone, at, 1) == [following]
        assert next_fires(expression, zone, following - timedelta(microseconds=1), 1) == [following]


@steady
@given(expressions, zone_names, instants, counts)
def test_a_shorter_answer_is_the_beginning_of_a_longer(
    expression: str, zone: str, after: datetime, count: int
) -> None:
    longer = fires_or_assume(expression, zone, after, count + 5)
    assert next_fires(expression, zone, after, count) == longer[:count]


@steady
@given(
    expressions,
    zone_names,
    st.datetimes(datetime(1880, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
    counts,
)
def test_flooring_to_the_minute_changes_nothing(
    expression: str, zone: str, after: datetime, count: int
) -> None:
    """The memo's key is the floored minute; the plain computation, unfloored, must agree.

    The years before 1972 hold offsets with seconds, where flooring alone would be wrong.
    """
    found = fires_or_assume(expression, zone, after, count)
    assert tuple(found) == fires._fires(expression, zone, after, count)


@steady
@given(expressions, zone_names, instants)
def test_the_zone_of_after_does_not_matter(expression: str, zone: str, after: datetime) -> None:
    found = fires_or_assume(expression, zone, after, 2)
    for other in (timezone(timedelta(hours=-9, minutes=-30)), load("America/New_York")):
        assert next_fires(expression, zone, after.astimezone(other), 2) == found


@steady
@given(expressions, zone_names)
def test_the_canonical_form_is_a_fixed_point(expression: str, zone: str) -> None:
    try:
        schedule = parse(expression, zone)
        canonical = parse(schedule.canonical, zone)
    except CronError as refused:
        assume("never comes" not in str(refused) and "at most" not in str(refused))
        raise
    assert canonical.canonical == schedule.canonical
    assert canonical.is_interval == schedule.is_interval
    assert (canonical.minutes, canonical.hours) == (schedule.minutes, schedule.hours)


# -- cronsim, where it is right --------------------------------------------------------------


def quiet_until(zone: ZoneInfo, after: datetime, horizon: datetime) -> datetime:
    """Return how long after `after` no offset change is within two days."""
    near = changes(zone, after - 2 * DAY, min(horizon, after + 800 * DAY) + 3 * DAY)
    return (near[0] - 2 * DAY) if near else min(horizon, after + 800 * DAY)


@settings(steady, max_examples=1000)
@given(expressions, zone_names, instants)
def test_it_agrees_with_cronsim_away_from_offset_changes(
    expression: str, zone: str, after: datetime
) -> None:
    # cronsim reads 5-5/2 as 5/2, "from 5 on"; Debian's range 5-5 holds 5 alone.
    single = (part.split("/")[0].split("-") for part in expression.replace(" ", ",").split(","))
    assume(all(len(pair) < 2 or pair[0] != pair[1] for pair in single))
    after = after.replace(microsecond=0)
    found = fires_or_assume(expression, zone, after, 6)
    until = quiet_until(load(zone), after, found[-1])
    try:
        rival = CronSim(expression, after.astimezone(load(zone)))
        theirs = [at.astimezone(UTC) for at, _ in zip(rival, range(6), strict=False)]
    except CronSimError:
        assume(False)
    ours = [at for at in found if at <= until]
    assert ours == [at for at in theirs if at <= until]


# -- the oracle: Debian's cron, minute by minute ---------------------------------------------

AROUND = [
    ("Australia/Lord_Howe", 2026),
    ("Antarctica/Troll", 2026),
    ("America/Havana", 2025),
    ("America/Santiago", 2026),
    ("Pacific/Apia", 2011),
    ("Africa/Cairo", 2026),
    ("Africa/Casablanca", 2025),
    ("Africa/El_Aaiun", 2010),
    ("Pacific/Kwajalein", 1969),
    ("Pacific/Kwajalein", 1993),
    ("Antarctica/Casey", 2020),
    ("Antarctica/Vostok", 1994),
    ("Asia/Ust-Nera", 1981),
    ("America/Danmarkshavn", 1996),
    ("Europe/Dublin", 1971),
    ("Europe/Dublin", 2030),
    ("Asia/Gaza", 2026),
    ("America/Nuuk", 2024),
    ("Asia/Tehran", 2022),
    ("America/New_York", 2050),
    ("America/Caracas", 2016),
    ("Asia/Pyongyang", 2018),
]


def around(zone: ZoneInfo, year: int) -> list[list[Tick]]:
    start = datetime(year, 1, 1, tzinfo=UTC)
    return [
        list(walk(zone, at - 2 * DAY, at + 32 * 60 * MINUTE))
        for at in changes(zone, start, start + 365 * DAY)
    ]


def random_expression(chance: random.Random, wall: datetime) -> str:
    """Return an expression that is likely to have something to do around `wall`."""

    def column(at: int, likely: int, stars: float) -> str:
        low, high = BOUNDS[at]
        if chance.random() < stars:
            return chance.choice(["*", f"*/{chance.randint(1, SPANS[at])}"])
        items = [str(chance.choice([likely, chance.randint(low, high)])) for _ in range(2)]
        first, last = sorted([likely, chance.randint(low, high)])
        return ",".join(
            [*items, f"{first}-{last}/{chance.randint(1, SPANS[at])}"][: chance.choice([1, 2, 3])]
        )

    near_hour = (wall.hour + chance.randint(-2, 1)) % 24
    return " ".join(
        [
            column(0, 30, 0.3),
            column(1, near_hour, 0.3),
            column(2, wall.day, 0.7),
            column(3, wall.month, 0.8),
            column(4, wall.isoweekday(), 0.7),
        ]
    )


@pytest.mark.parametrize(("name", "year"), AROUND)
def test_it_agrees_with_the_minute_by_minute_oracle(name: str, year: int) -> None:
    chance = random.Random(f"{name} {year}")
    zone, checked = load(name), 0
    periods = around(zone, year)
    assert periods
    for ticks in periods:
        middle = len(ticks) * 6 // 10
        for _ in range(60 // len(periods)):
            expression = random_expression(chance, ticks[middle].wall)
            checked += agrees(expression, name, ticks, chance)
    assert checked >= 30


def agrees(expression: str, name: str, ticks: list[Tick], chance: random.Random) -> bool:
    after = ticks[0].at + DAY + timedelta(seconds=chance.randint(0, 30 * 3600))
    oracle = Oracle(expression)
    expected = [tick.at for tick in ticks if tick.at > after and oracle.runs(tick)][:40]
    try:
        found = next_fires(expression, name, after, 40)
    except CronError:  # a date that never comes
        return not expected
    assert [at for at in found if at <= ticks[-1].at] == expected, (expression, name, after)
    return True


# -- limits, memo, misuse -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("expression", ["0 9 * * *", "* * * * *", "0 0 29 2 */7"])
def test_the_ends_of_the_calendar(name: str, expression: str) -> None:
    for after in (datetime.min, datetime(1, 1, 1, 20), datetime(9999, 12, 27), datetime.max):
        found = next_fires(expression, name, after.replace(tzinfo=UTC), 5)
        assert all(at > after.replace(tzinfo=UTC) for at in found)
    assert next_fires(expression, name, datetime.max.replace(tzinfo=UTC), 5) == []
    assert next_fires(expression, name, datetime.min.replace(tzinfo=UTC), 5) != []


def test_a_backlog_of_ten_thousand_over_a_change() -> None:
    after = utc("2026-10-30")
    found = next_fires("* * * * *", "America/New_York", after, 10_000)
    assert found == [after + n * MINUTE for n in range(1, 10_001)]


def test_a_caller_cannot_spoil_the_memo() -> None:
    first = next_fires("0 9 * * *", "Asia/Tokyo", LATE_2026, 3)
    kept = list(first)
    first.clear()
    assert next_fires("0 9 * * *", "Asia/Tokyo", LATE_2026, 3) == kept


def test_the_memo_is_bounded_and_used() -> None:
    assert fires._few_fires.cache_info().maxsize == 8192
    assert fires._many_fires.cache_info().maxsize == 16
    next_fires("1 2 3 4 *", "Asia/Tokyo", LATE_2026, 3)
    hits = fires._few_fires.cache_info().hits
    next_fires("1 2 3 4 *", "Asia/Tokyo", LATE_2026 + timedelta(seconds=59), 3)
    assert fires._few_fires.cache_info().hits == hits + 1


def test_misuse_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="aware"):
        next_fires("* * * * *", "UTC", datetime(2026, 1, 1), 1)
    with pytest.raises(ValueError):  # noqa: PT011
        next_fires("* * * * *", "UTC", LATE_2026, -1)
    assert next_fires("* * * * *", "UTC", LATE_2026, 0) == []
