"""The few words of a schedule, and whether they are true."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from scheduler.cron import CronError, describe, headline, next_fires

TABLE = [
    ("* * * * *", "Every minute"),
    ("*/5 * * * *", "Every 5 minutes"),
    ("0,20,40 * * * *", "Every 20 minutes"),
    ("0 * * * *", "Every hour"),
    ("30 * * * *", "Every hour at :30"),
    ("0 */2 * * *", "Every 2 hours"),
    ("0 0-23 * * *", "Every hour"),
    ("0 */12 * * *", "Every 12 hours"),
    ("0 0 * * *", "Daily at 00:00"),
    ("0 9 * * *", "Daily at 09:00"),
    ("0 9,17 * * *", "Daily at 09:00 and 17:00"),
    ("0 9 * * 1-5", "Weekdays at 09:00"),
    ("0 9 * * MON-FRI", "Weekdays at 09:00"),
    ("15,45 8,20 * * 6,7", "Weekends at 08:15, 08:45, 20:15 and 20:45"),
    ("0 9 * * 1", "Mondays at 09:00"),
    ("0 9 * * 1,4", "Mondays and Thursdays at 09:00"),
    ("0 9 */1 * 7", "Sundays at 09:00"),
    ("0 0 1 * *", "Day 1 of every month at 00:00"),
    ("0 0 28 * *", "Day 28 of every month at 00:00"),
]
WORDLESS = [
    "*/7 * * * *",  # does not divide the hour
    "5,35 * * * *",
    "0 */5 * * *",
    "*/5 9-17 * * *",
    "*/5 * * * 1-5",
    "0 9 1 6 *",
    "0 9 15 * 1",  # the 15th or a Monday
    "0 9 * * 1-4",
    "0 0 1,15 * *",
    "0 0 29 * *",  # not in every month
    "0 0 30 * *",
    "0 0 31 * *",
    "0 1-5 * * *",
]
DAYS = {
    "Weekdays": {1, 2, 3, 4, 5}, "Weekends": {6, 7}, "Mondays": {1}, "Sundays": {7},
    "Mondays and Thursdays": {1, 4}, "Daily": {1, 2, 3, 4, 5, 6, 7},
}  # fmt: skip
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(minutes=1)


@pytest.mark.parametrize(("expression", "words"), TABLE)
def test_the_words_end_with_the_zone(expression: str, words: str) -> None:
    assert headline(expression, "Asia/Tokyo") == f"{words} (Asia/Tokyo)"


@pytest.mark.parametrize("expression", WORDLESS)
def test_what_few_words_cannot_say_has_the_whole_sentence(expression: str) -> None:
    assert headline(expression, "UTC") == describe(expression, "UTC")


@pytest.mark.parametrize(("expression", "words"), TABLE)
def test_named_times_and_days_are_those_that_run(expression: str, words: str) -> None:
    days, _, times = words.partition(" at ")
    runs = next_fires(expression, "UTC", NEW_YEAR, 60)
    if re.fullmatch(r"(\d\d:\d\d(, | and )?)+", times):
        assert {f"{at:%H:%M}" for at in runs} == set(re.findall(r"\d\d:\d\d", times))
    if days in DAYS:
        assert {at.isoweekday() for at in runs} == DAYS[days]
    if day := re.fullmatch(r"Day (\d+) of every month", days):
        assert {at.day for at in runs} == {int(day[1])}
        assert {at.month for at in runs[:12]} == set(range(1, 13))


@pytest.mark.parametrize(("expression", "words"), TABLE)
def test_named_intervals_are_those_between_runs(expression: str, words: str) -> None:
    named = re.fullmatch(r"Every (?:(\d+) )?(minute|hour)s?(?: at :\d\d)?", words)
    if named:
        length = timedelta(**{f"{named[2]}s": int(named[1] or 1)})
        runs = next_fires(expression, "UTC", NEW_YEAR, 100)
        assert {after - before for before, after in pairwise(runs)} == {length}


@pytest.mark.parametrize("pair", [("@daily", "UTC"), ("0 9 * * *", "utc")])
def test_a_bad_pair_has_no_words(pair: tuple[str, str]) -> None:
    with pytest.raises(CronError):
        headline(*pair)
