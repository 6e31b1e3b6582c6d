"""The strict parser: what it takes, what it refuses, and the sentence it says."""

import json
import re
from pathlib import Path

import pytest

from scheduler.cron import CronError, describe, next_fires, parse, preview
from scheduler.cron.errors import echo
from tests.scheduler.oracle import LATE_2026

DATA = Path(__file__).parent / "data"
INVALID = json.loads((DATA / "invalid_public.json").read_text())
VALID = sorted({row["expr"] for row in json.loads((DATA / "vectors_public.json").read_text())})
SENTENCE = re.compile(
    r'invalid cron_schedule "[ -~…]*": [ -~]+'
    r'|invalid cron_timezone "[ -~…]*" — must be an IANA name \(e\.g\. America/Los_Angeles\)'
)


@pytest.mark.parametrize("row", INVALID, ids=lambda row: row["reason"][:40])
def test_it_refuses_with_one_plain_sentence(row: dict[str, str]) -> None:
    with pytest.raises(CronError) as refused:
        parse(row["expr"], row["tz"])
    assert SENTENCE.fullmatch(str(refused.value))
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("expression", VALID)
def test_it_accepts_every_public_vector(expression: str) -> None:
    assert parse(expression, "UTC").expression == expression


@pytest.mark.parametrize(
    ("expression", "canonical"),
    [
        ("* * * * *", "* * * * *"),
        ("*/1 */1 */1 */1 */1", "* * * * *"),
        ("*/5 */2 */10 */3 */2", "*/5 */2 */10 */3 */2"),
        ("0 9-9 * * *", "0 9 * * *"),
        ("00 09 01 01 01", "0 9 1 1 1"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * SUN", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * fri-7", "0 0 * * 0,5,6"),
        ("0 0 * * 0-7/2", "0 0 * * 0,2,4,6"),
        ("0 0 * jan,DEC *", "0 0 * 1,12 *"),
        ("10-50/10 * * * *", "10,20,30,40,50 * * * *"),
        ("5-5/2 * * * *", "5 * * * *"),
        ("3,1,2,2 * * * *", "1,2,3 * * * *"),
        ("*,5 * * * *", "* * * * *"),
        ("*/20,7 * * * *", "*/20,0,7,20,40 * * * *"),
        ("5,*/30 * * * *", "0,5,30 * * * *"),
        ("0 0 31 2 0", "0 0 * 2 0"),
        ("0 0 29,31 2 0", "0 0 29,31 2 0"),
        (" 0  9   * * * ", "0 9 * * *"),
    ],
)
def test_it_knows_the_canonical_form(expression: str, canonical: str) -> None:
    assert parse(expression, "UTC").canonical == canonical
    assert parse(canonical, "UTC").canonical == canonical


@pytest.mark.parametrize(
    ("expression", "is_interval", "needs_both_days"),
    [
        ("* 9 * * *", True, True),
        ("0 */2 * * *", True, True),
        ("*/10 2 1 * 1", True, False),
        ("0-59 0-23 * * *", False, True),
        ("5,* 1 1-31 * 0-6", False, False),
        ("0 9 */2 * 1", False, True),
        ("0 9 1-7 * */7", False, True),
    ],
)
def test_a_leading_star_decides(expression: str, is_interval: bool, needs_both_days: bool) -> None:
    schedule = parse(expression, "UTC")
    assert (schedule.is_interval, schedule.needs_both_days) == (is_interval, needs_both_days)


@pytest.mark.parametrize(
    ("expression", "advice"),
    [
        ("", "it is empty; write five fields"),
        ("* * * * * *", "write exactly five, without seconds"),
        ("@daily", "write 0 0 * * * instead"),
        ("@Hourly", "write 0 * * * * instead"),
        ("0/15 * * * *", "write 0-59/15 (or */15) instead"),
        ("5/15 * * * *", "write 5-59/15 instead"),
        ("0 22-2 * * *", "write 22-23,0-2 instead"),
        ("0 0 * * 5-1", "write 5-7,1 instead"),
        ("0 0 * * SAT-SUN", "write 6-7 instead"),
        ("0 0 * * MON-SUN", "write 1-7 instead"),
        ("0 0 * 11-2 *", "write 11-12,1-2 instead"),
        ("0 0 31-1 * *", "write 31,1 instead"),
        ("0 22-2/2 * * *", "write 22-23,0-2 instead, and list the steps"),
        ("0 0 L * *", "write the days, e.g. 28-31"),
        ("0 0 LW * *", "write the days"),
        ("0 0 * * 5L", "write the days"),
        ("0 0 15W * *", "write plain days"),
        ("0 0 ? * *", "write * instead"),
        ("0 0 * * 1#2", "write plain weekdays"),
        ("H H * * *", "write a number"),
        ("60 * * * *", "minute 60 is out of range; write 0 to 59"),
        ("0 0 * * 8", "day-of-week 8 is out of range; write 0 to 7"),
        ("009 * * * *", "at most two digits"),
        ("*/61 * * * *", "write a step from 1 to 60 in the minute field"),
        ("0 0 * * */8", "write a step from 1 to 7 in the day-of-week field"),
        ("0 0 30 2 *", "write a day up to 29 or other months"),
        ("0 0 31 4,6,9,11 *", "write a day up to 30 or other months"),
        ("0 0 * MAY-31 *", "month 31 is out of range"),
        ("0\t9 * * *", "U+0009 is no plain space"),
        ("1,,2 * * * *", "remove the extra comma"),
        ("1- * * * *", "1- is incomplete"),
        ("1.5 * * * *", "the character . is not allowed"),
    ],
)
def test_it_says_what_to_write_instead(expression: str, advice: str) -> None:
    with pytest.raises(CronError) as refused:
        parse(expression, "UTC")
    assert str(refused.value).startswith(f'invalid cron_schedule "{echo(expression)}": ')
    assert advice in str(refused.value)


@pytest.mark.parametrize(
    "value", [None, 5, True, 1.5, b"* * * * *", [], {}, object(), 10**5000], ids=type
)
def test_what_is_no_string_is_a_cron_error_at_every_door(value: object) -> None:
    for pair in ((value, "UTC"), ("* * * * *", value)):
        for door in (
            lambda e, z: parse(e, z),
            lambda e, z: describe(e, z),
            lambda e, z: next_fires(e, z, LATE_2026, 1),
            lambda e, z: preview(e, z, LATE_2026, 1),
        ):
            with pytest.raises(CronError, match=r"^invalid cron_(schedule|timezone) "):
                door(*pair)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0 9 * * *", "0 9 * * *"),
        ("a\nb\r\x00\x1b[1m", r"a\nb\r\x00\x1b[1m"),
        ('<b>&"\\', r"\x3cb\x3e\x26\x22\x5c"),
        ("\u202e\uff10\U0001f600\ud800", r"\u202e\uff10\U0001f600\ud800"),
        ("x" * 100, "x" * 100),
        ("x" * 101, "x" * 100 + "…"),
        (None, "None"),
    ],
)
def test_the_echo_of_a_bad_value_is_harmless(value: object, shown: str) -> None:
    assert echo(value) == shown


def test_the_contracts_sentence_for_zones() -> None:
    with pytest.raises(CronError) as refused:
        parse("0 9 * * *", "Mars/Phobos")
    assert str(refused.value) == (
        'invalid cron_timezone "Mars/Phobos" — must be an IANA name (e.g. America/Los_Angeles)'
    )


def test_a_schedule_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        parse("0 9 * * *", "UTC").minutes = ()  # type: ignore[misc]


def test_no_other_module_imports_a_cron_library() -> None:
    library = re.compile(r"^\s*(from|import) (croniter|cronsim|cron_descriptor)\b", re.MULTILINE)
    root = Path(__file__).parents[2]
    users = {
        path.relative_to(root).as_posix()
        for app in ("lap", "agents", "sessions", "scheduler", "harness")
        for path in (root / app).rglob("*.py")
        if library.search(path.read_text())
    }
    assert users == {"scheduler/cron/describe.py", "scheduler/cron/fires.py"}
