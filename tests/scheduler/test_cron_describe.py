"""The table of sentences: what a schedule is said to do, next to what it does."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from scheduler.cron import CronError, describe, next_fires

TABLE = [
    # cron-descriptor's sentences, where they are true
    ("* * * * *", "Every minute, every hour, every day"),
    ("*/5 * * * *", "Every 5 minutes, every hour, every day"),
    ("0 * * * *", "Every hour, every day"),
    ("30 * * * *", "At 30 minutes past the hour, every hour, every day"),
    ("5,35 * * * *", "At 5 and 35 minutes past the hour, every hour, every day"),
    ("0-10 * * * *", "Minutes 0 through 10 past the hour, every hour, every day"),
    ("0 9 * * *", "At 09:00, every day"),
    ("00 09 * * 01", "At 09:00, only on Monday"),
    ("0 9,17 * * *", "At 09:00 and 17:00, every day"),
    ("30 9-17 * * *", "At 30 minutes past the hour, between 09:00 and 17:59, every day"),
    ("*/30 9-17 * * 1-5", "Every 30 minutes, between 09:00 and 17:59, Monday through Friday"),
    ("*/10 9 * * *", "Every 10 minutes, between 09:00 and 09:59, every day"),
    ("0 */2 * * *", "Every 2 hours, every day"),
    ("0-5 9 * * *", "Every minute between 09:00 and 09:05, every day"),
    ("0 0 1 * *", "At 00:00, on day 1 of the month"),
    ("0 0 1,15 * *", "At 00:00, on day 1 and 15 of the month"),
    ("0 0 28-31 * *", "At 00:00, between day 28 and 31 of the month"),
    ("0 0 * 2 *", "At 00:00, every day, only in February"),
    ("0 0 29 2 *", "At 00:00, on day 29 of the month, only in February"),
    ("0 6 1 JUN-aug *", "At 06:00, on day 1 of the month, June through August"),
    ("0 9 * * MON-FRI", "At 09:00, Monday through Friday"),
    ("0 0 * * 1,3,5", "At 00:00, only on Monday, Wednesday, and Friday"),
    ("0 8 * * 5-7", "At 08:00, Friday through Sunday"),
    ("0 0 * * 7", "At 00:00, only on Sunday"),
    # "Every 25 minutes" and its like: the step does not divide the field
    ("*/25 * * * *", "At minutes 0, 25 and 50 past every hour, every day"),
    ("*/7 * * * *", "At every 7th minute from 0 through 56 past every hour, every day"),
    ("*/60 * * * *", "At minute 0 past every hour, every day"),
    ("0 */5 * * *", "At 00:00, 05:00, 10:00, 15:00 and 20:00, every day"),
    ("0 */24 * * *", "At 00:00, every day"),
    ("0 0 */10 * *", "At 00:00, on days 1, 11, 21 and 31 of the month"),
    ("0 0 */2 * *", "At 00:00, on every 2nd day from 1 through 31 of the month"),
    ("0 0 * */5 *", "At 00:00, every day, in January, June and November"),
    ("0 9 1 */3 *", "At 09:00, on day 1 of the month, in January, April, July and October"),
    ("0 0 * * */2", "At 00:00, on Tuesday, Thursday, Saturday and Sunday"),
    ("0 0 * * */7", "At 00:00, on Sunday"),
    ("0 0 * * 1-5/5", "At 00:00, on Monday"),  # "every 5 weeks, Monday through Friday"
    ("0 0 * * 1-5/2", "At 00:00, on Monday, Wednesday and Friday"),
    # both day fields: "or" against "and" is the whole difference
    ("0 9 15 * 1", "At 09:00, on day 15 of the month or on Monday"),
    ("0 9 */2 * 1", "At 09:00, on every 2nd day from 1 through 31 of the month if that is Monday"),
    ("0 9 1-7 * */7", "At 09:00, on days 1 through 7 of the month if that is Sunday"),
    ("0 0 31 2 0", "At 00:00, on Sunday, in February"),
    ("0 0 29 2 */7", "At 00:00, on day 29 of the month if that is Sunday, in February"),
    ("0 0 1-31 * 1", "At 00:00, every day"),
    ("0 0 1 * 0-6", "At 00:00, every day"),
    ("0 0 */1 * 1", "At 00:00, on Monday"),
    # a-a: "between 09:00 and 09:59", "minutes 5 through 5"
    ("0 9-9 * * *", "At 09:00, every day"),
    ("5-5 * * * *", "At minute 5 past every hour, every day"),
    ("0 0 * * 3-3", "At 00:00, on Wednesday"),
    ("0 6 * DEC-DEC *", "At 06:00, every day, in December"),
    ("0 0 * * 07", "At 00:00, only on Sunday"),  # an exception inside cron-descriptor
    # lists that hold a star or a step: "at * and 5 minutes past the hour"
    ("*,5 * * * *", "Every minute, every day"),
    ("*/20,7 * * * *", "At minutes 0, 7, 20 and 40 past every hour, every day"),
    # hours that are not a span: "every minute, at 09:00 and 17:00"
    ("* 9,17 * * *", "Every minute of hours 9 and 17, every day"),
    ("* */2 * * *", "Every minute of every 2nd hour from 0 through 22, every day"),
    ("1,2 9 * * *", "At 09:01 and 09:02, every day"),  # "at 1 and 2 minutes …, at 09:00"
    ("0 1-3,5 * * *", "At 01:00, 02:00, 03:00 and 05:00, every day"),  # "01:00 through 03:59"
    ("0 0-20/2 * * *", "At minute 0 past every 2nd hour from 0 through 20, every day"),
    ("0 0-23 * * *", "At minute 0 past every hour, every day"),
    ("0 0 * * 0-6", "At 00:00, every day"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "sentence"), TABLE)
def test_the_sentence_ends_with_the_zone(expression: str, sentence: str) -> None:
    assert describe(expression, "America/Los_Angeles") == f"{sentence} (America/Los_Angeles)"


@pytest.mark.parametrize(("expression", "sentence"), TABLE)
def test_clock_times_in_the_sentence_are_those_that_run(expression: str, sentence: str) -> None:
    """Sentences that begin "At 09:00 and 17:00," name every time of a day, and no other."""
    named = re.match(r"At ((?:\d\d:\d\d(?:, | and )?)+),", sentence)
    after = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(minutes=1)
    if named:
        found = {f"{at:%H:%M}" for at in next_fires(expression, "UTC", after, 40)}
        assert found == set(re.findall(r"\d\d:\d\d", named[1]))


@pytest.mark.parametrize(
    ("sentence", "weekdays"),
    [
        ("0 0 * * 1-5/5", {1}),
        ("0 0 * * */7", {7}),
        ("0 0 * * */2", {2, 4, 6, 7}),
        ("0 0 * * 5-7", {5, 6, 7}),
        ("0 0 */1 * 1", {1}),
        ("0 0 31 2 0", {7}),
    ],
)
def test_the_weekdays_of_the_table_are_true(sentence: str, weekdays: set[int]) -> None:
    found = next_fires(sentence, "UTC", datetime(2026, 1, 1, tzinfo=UTC), 14)
    assert {at.isoweekday() for at in found} == weekdays


def test_a_bad_schedule_has_no_sentence() -> None:
    with pytest.raises(CronError, match="invalid cron_schedule"):
        describe("0 9 * * MOO", "UTC")
    with pytest.raises(CronError, match="invalid cron_timezone"):
        describe("0 9 * * *", "utc")
