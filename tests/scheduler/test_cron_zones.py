"""Time zones: exact names, from the pinned package whatever the machine offers."""

import os
import subprocess
import sys
from datetime import timedelta
from importlib import resources
from pathlib import Path

import pytest

from scheduler.cron import CronError, next_fires, parse, utc_offset, zones
from scheduler.cron.zones import NAMES, is_zone, load
from tests.scheduler.oracle import LATE_2026


@pytest.mark.parametrize(
    "name",
    ["UTC", "America/Los_Angeles", "US/Pacific", "Europe/Oslo", "Etc/GMT+5", "GB", "Asia/Calcutta"],
)
def test_aliases_are_accepted_and_kept_as_typed(name: str) -> None:
    assert is_zone(name)
    assert parse("0 9 * * *", name).timezone == name
    assert load(name).key == name


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "utc", "america/new_york", "America", "America/", " UTC", "UTC\n", "Factory",
        "localtime", "posixrules", "posix/UTC", "right/UTC", "tzdata.zi", "zone.tab",
        "../zones", "/etc/localtime", "America/New_York\x00", "America//New_York", "+02:00", "PST",
        "Z" * 10_000,
    ],
)  # fmt: skip
def test_anything_but_an_exact_name_is_refused_without_opening_a_file(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["scheduler.cron.zones"], "_load", pytest.fail)
    assert not is_zone(name)
    with pytest.raises(CronError, match="invalid cron_timezone"):
        load(name)


def test_every_name_loads() -> None:
    assert len(NAMES) > 590
    assert all(load(name).utcoffset(LATE_2026) is not None for name in NAMES)


def test_the_picker_offers_utc_and_zone_tab() -> None:
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text()
    names = {line.split("\t")[2] for line in table.splitlines() if not line.startswith("#")}
    offered = [zone.name for zone in zones()]
    assert offered[0] == "UTC"
    assert set(offered) == names | {"UTC"}
    assert len(offered) == len(set(offered))
    assert set(offered) <= NAMES
    assert zones() is zones()


@pytest.mark.parametrize(
    ("name", "region", "city", "country", "alias"),
    [
        ("UTC", "UTC", "UTC", "", "Etc/UTC"),
        ("UTC", "UTC", "UTC", "", "GMT"),
        ("America/Los_Angeles", "America", "Los Angeles", "United States", "US/Pacific"),
        ("Asia/Kolkata", "Asia", "Kolkata", "India", "Asia/Calcutta"),
        (
            "America/Argentina/Buenos_Aires",
            "America",
            "Argentina, Buenos Aires",
            "Argentina",
            "America/Buenos_Aires",
        ),
    ],
)
def test_a_zone_can_be_found_by_what_people_call_it(
    name: str, region: str, city: str, country: str, alias: str
) -> None:
    zone = next(zone for zone in zones() if zone.name == name)
    assert (zone.region, zone.city, zone.country) == (region, city, country)
    assert alias in zone.aliases


def test_only_names_without_a_place_are_not_in_the_picker() -> None:
    reachable = {name for zone in zones() for name in (zone.name, *zone.aliases)}
    assert {name.split("/")[0] for name in NAMES - reachable} <= {
        "Etc", "CST6CDT", "EST5EDT", "MST7MDT", "PST8PDT"
    }  # fmt: skip


def test_offsets_for_the_picker() -> None:
    assert utc_offset("Asia/Kathmandu", LATE_2026) == timedelta(hours=5, minutes=45)
    assert utc_offset("America/New_York", LATE_2026) == timedelta(hours=-5)


PROBE = """
import datetime, sys, zoneinfo
impostor = zoneinfo.ZoneInfo("America/New_York")  # built from the false database, and cached
from scheduler.cron import next_fires
after = datetime.datetime(2026, 11, 22, tzinfo=datetime.timezone.utc)
print(impostor.utcoffset(after), next_fires("0 9 * * *", "America/New_York", after, 1)[0],
      zoneinfo.ZoneInfo("America/New_York").utcoffset(after), zoneinfo.TZPATH,
      "django" in sys.modules)
"""


def test_the_machines_own_database_is_not_asked(tmp_path: Path) -> None:
    """A false New York, in which it is always nine hours later, and cached before our import."""
    tokyo = resources.files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").read_bytes()
    (tmp_path / "America").mkdir()
    (tmp_path / "America" / "New_York").write_bytes(tokyo)
    environment = {**os.environ, "PYTHONTZPATH": str(tmp_path)}
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=root, env=environment, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    assert answer == "9:00:00 2026-11-22 14:00:00+00:00 -1 day, 19:00:00 () False"


def test_two_names_of_one_clock_run_alike() -> None:
    assert next_fires("0 9 * * *", "US/Pacific", LATE_2026, 9) == next_fires(
        "0 9 * * *", "America/Los_Angeles", LATE_2026, 9
    )
