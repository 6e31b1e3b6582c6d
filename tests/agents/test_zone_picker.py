"""Which time zones are offered for what was typed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from agents.schedule_zones import OTHER, SOUGHT_LENGTH, SUGGESTED, browse, offset_words, search
from scheduler.cron import load_zone, zones

WINTER = datetime(2026, 1, 15, tzinfo=UTC)
SUMMER = datetime(2026, 7, 15, tzinfo=UTC)


def found(text: str, at: datetime = WINTER) -> list[str]:
    return [option.zone.name for group in search(text, at) for option in group.options]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("America/Los_Angeles", "America/Los_Angeles"),
        ("los angeles", "America/Los_Angeles"),
        ("US/Pacific", "America/Los_Angeles"),
        ("Calcutta", "Asia/Kolkata"),
        ("india", "Asia/Kolkata"),  # and not Indiana
        ("PST8PDT", "PST8PDT"),
        ("etc/gmt+5", "Etc/GMT+5"),
        ("Germany", "Europe/Berlin"),
        ("buenos", "America/Argentina/Buenos_Aires"),
        ("alaska sitka", "America/Sitka"),
        ("york", "America/New_York"),
        ("zulu", "UTC"),
        ("UTC", "UTC"),
        ("utc+5:45", "Asia/Kathmandu"),
        ("UTC-8", "America/Los_Angeles"),
        ("  tokyo ", "Asia/Tokyo"),
    ],
)
def test_the_likeliest_zone_comes_first(text: str, first: str) -> None:
    assert found(text)[0] == first


def test_all_words_have_to_be_found() -> None:
    assert found("britain uk") == ["Europe/London"]
    assert found("tokyo germany") == []


def test_a_long_text_is_cut_off() -> None:
    assert found("tokyo".ljust(SOUGHT_LENGTH) + " nowhere" * 20_000) == ["Asia/Tokyo"]
    assert max(len(zone.name) for zone in zones()) < SOUGHT_LENGTH


def test_an_alias_that_was_found_is_named() -> None:
    option = search("US/Pacific", WINTER)[0].options[0]
    assert (option.zone.city, option.alias) == ("Los Angeles", "US/Pacific")
    assert search("angeles", WINTER)[0].options[0].alias == ""


def test_offsets_are_those_of_the_moment() -> None:
    assert search("los angeles", WINTER)[0].options[0].offset == "UTC\N{MINUS SIGN}08:00"
    assert search("los angeles", SUMMER)[0].options[0].offset == "UTC\N{MINUS SIGN}07:00"
    assert "America/Los_Angeles" in found("UTC-7", SUMMER)


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, "UTC"), (345, "UTC+05:45"), (-210, "UTC\N{MINUS SIGN}03:30"), (840, "UTC+14:00")],
)
def test_an_offset_in_words(minutes: int, words: str) -> None:
    assert offset_words(timedelta(minutes=minutes)) == words


def test_all_are_offered_by_region_with_the_likely_ones_before() -> None:
    groups = browse("Asia/Calcutta", "Europe/Oslo", WINTER)
    suggested = [option.zone.name for option in groups[0].options]
    offered = [option.zone.name for group in groups for option in group.options]
    assert (groups[0].name, suggested) == (SUGGESTED, ["Asia/Kolkata", "UTC", "Europe/Oslo"])
    assert sorted(offered) == sorted(zone.name for zone in zones())
    assert [group.name for group in groups[1:4]] == ["Africa", "America", "Antarctica"]


def test_all_that_is_offered_may_be_chosen() -> None:
    everything = search("", WINTER)
    assert OTHER in [group.name for group in everything]
    for group in everything:
        for option in group.options:
            load_zone(option.zone.name)


# The fragment


def test_the_fragment_is_a_list_of_options(ada: Client) -> None:
    page = ada.get("/schedules/zones/", {"q": "calcutta"}).content.decode()
    assert 'data-zone="Asia/Kolkata"' in page
    assert "UTC+05:30" in page
    assert page.count('role="option"') == 1


def test_the_fragment_begins_with_the_viewers_zone(ada: Client) -> None:
    ada.cookies["lap_zone"] = "Asia/Tokyo"
    page = ada.get("/schedules/zones/", {"q": "", "cron_timezone": "Europe/Oslo"}).content.decode()
    places = [page.index(f'data-zone="{name}"') for name in ("Asia/Tokyo", "UTC", "Europe/Oslo")]
    assert places == sorted(places)
    assert places[-1] < page.index('data-zone="Africa/Abidjan"')


def test_what_matches_nothing_is_said_and_escaped(ada: Client) -> None:
    page = ada.get("/schedules/zones/", {"q": "<script>nowhere"}).content.decode()
    assert "No time zone matches “&lt;script&gt;nowhere”" in page
    assert "data-zone" not in page


@pytest.mark.parametrize("codename", ["view_agent", "add_agent"])
@pytest.mark.parametrize("name", ["zones", "schedule-preview"])
def test_who_may_only_see_or_only_add_agents_is_helped(
    client: Client, db: None, name: str, codename: str
) -> None:
    bob = User.objects.create(username="bob")
    client.force_login(bob)
    assert client.get(reverse(name)).status_code == 403
    bob.user_permissions.set(Permission.objects.filter(codename=codename))
    assert client.get(reverse(name)).status_code == 200


def test_it_is_for_who_is_logged_in(client: Client, db: None) -> None:
    assert client.get("/schedules/zones/").status_code == 302
