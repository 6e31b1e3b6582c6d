"""What an editor is shown before it saves."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduler.cron import CronError, preview

NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_it_describes_and_lists_the_coming_runs() -> None:
    shown = preview("0 9 * * 1-5", NEW_YORK, utc("2026-11-22 10:17"), 3)
    assert shown.description == f"At 09:00, Monday through Friday ({NEW_YORK})"
    assert shown.next == tuple(map(utc, ("2026-11-23 14", "2026-11-24 14", "2026-11-25 14")))
    assert (shown.notes, shown.added, shown.removed) == ((), None, None)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "count", "note"),
    [
        (
            "30 2 * * *", NEW_YORK, "2026-03-07", 5,
            ("On 2026-03-08 the clocks of America/New_York skip 02:30: "
            "one run at 03:00 takes its place."),
        ),
        (
            "0,30 2,3 * * *", NEW_YORK, "2026-03-08", 5,
            ("On 2026-03-08 the clocks of America/New_York skip 02:00, 02:30: "
            "one run at 03:00 takes their place."),
        ),
        (
            "0-59/5 2 * * *", NEW_YORK, "2026-03-08", 5,
            ("On 2026-03-08 the clocks of America/New_York skip 02:00 to 02:55 "
            "(12 scheduled times): one run at 03:00 takes their place."),
        ),
        (
            "*/30 2 * * *", NEW_YORK, "2026-03-08", 5,
            ("On 2026-03-08 the clocks of America/New_York skip 02:00, 02:30: "
            "nothing runs for them."),
        ),
        (
            "30 1 * * *", NEW_YORK, "2026-10-31", 5,
            "On 2026-11-01 01:30 comes twice in America/New_York: it runs the first time only.",
        ),
        (
            "*/15 1 * * *", NEW_YORK, "2026-11-01", 9,
            ("On 2026-11-01 01:00 to 01:45 (4 scheduled times) come twice in America/New_York: "
            "they run both times."),
        ),
        (
            "0 9 * * *", "Pacific/Apia", "2011-12-28", 5,
            "On 2011-12-30 the clocks of Pacific/Apia skip 09:00: nothing runs for it.",
        ),
        (
            "15 2 * * *", "Australia/Lord_Howe", "2026-10-03", 2,
            ("On 2026-10-04 the clocks of Australia/Lord_Howe skip 02:15: "
            "one run at 02:30 takes its place."),
        ),
    ],
)  # fmt: skip
def test_it_notes_runs_that_a_clock_change_touches(
    expression: str, zone: str, after: str, count: int, note: str
) -> None:
    assert preview(expression, zone, utc(after), count).notes == (note,)


@pytest.mark.parametrize(
    ("expression", "after", "touched"),
    [
        ("30 2 * * *", "2026-03-07", ["2026-03-08 07"]),  # moved to the end of the gap
        ("30 2,3 * * *", "2026-03-08 01", ["2026-03-08 07"]),  # and not the 03:30 that follows
        ("*/30 2 * * *", "2026-03-08", []),  # nothing runs in its place
        ("30 1 * * *", "2026-10-31", ["2026-11-01 05:30"]),
        ("*/30 1 * * *", "2026-11-01",
         ["2026-11-01 05:00", "2026-11-01 05:30", "2026-11-01 06:00", "2026-11-01 06:30"]),
        ("0 9 * * *", "2026-03-07", []),
    ],
)  # fmt: skip
def test_it_marks_the_runs_that_a_clock_change_touches(
    expression: str, after: str, touched: list[str]
) -> None:
    assert preview(expression, NEW_YORK, utc(after), 5).touched == set(map(utc, touched))


@pytest.mark.parametrize(
    ("expression", "zone", "after", "count"),
    [
        ("30 2 * * *", "UTC", "2026-03-07", 5),
        ("0 9 * * *", NEW_YORK, "2026-03-07", 5),  # the offset changes, the wall time does not
        ("30 2 * * *", NEW_YORK, "2026-03-08 07:00", 5),  # the change has passed
        ("30 2 * * *", NEW_YORK, "2026-03-01", 5),  # the change is beyond what is shown
        ("30 1 * * *", NEW_YORK, "2026-11-01 06:30", 5),  # both passes are over
        ("30 2 * * 1", NEW_YORK, "2026-03-07", 5),  # another day of the week
    ],
)
def test_it_is_silent_about_runs_that_no_change_touches(
    expression: str, zone: str, after: str, count: int
) -> None:
    assert preview(expression, zone, utc(after), count).notes == ()


@pytest.mark.parametrize(
    ("before", "added", "removed"),
    [
        (("0 9 * * *", "UTC"), [], ["2026-11-22 09", "2026-11-28 09"]),
        (("0 9 * * 1-5", "UTC"), [], []),
        (("0 9 * * 1,2", "UTC"), ["2026-11-25 09", "2026-11-26 09", "2026-11-27 09"], []),
        (
            ("0 9 * * 1-5", NEW_YORK),
            ["2026-11-23 09", "2026-11-24 09", "2026-11-25 09", "2026-11-26 09", "2026-11-27 09"],
            ["2026-11-23 14", "2026-11-24 14", "2026-11-25 14", "2026-11-26 14", "2026-11-27 14"],
        ),
    ],
)
def test_it_tells_what_an_edit_adds_and_removes(
    before: tuple[str, str], added: list[str], removed: list[str]
) -> None:
    count = 7 if not added and removed else 5
    shown = preview("0 9 * * 1-5", "UTC", utc("2026-11-22"), count, before)
    assert shown.added == tuple(map(utc, added))
    assert shown.removed == tuple(map(utc, removed))


def test_a_former_schedule_that_cannot_be_used_ran_nothing() -> None:
    shown = preview("0 9 * * *", "UTC", utc("2026-11-22"), 2, ("0 9 * *", "UTC"))
    assert (shown.added, shown.removed) == (shown.next, ())


@pytest.mark.parametrize("pair", [("@daily", "UTC"), ("0 9 * * *", "utc")])
def test_a_bad_pair_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(CronError):
        preview(*pair, utc("2026-11-22"), 5)


def test_the_end_of_the_calendar_shows_nothing() -> None:
    shown = preview("0 9 * * *", "UTC", datetime.max.replace(tzinfo=UTC) - timedelta(hours=1), 5)
    assert (shown.next, shown.notes) == ((), ())
