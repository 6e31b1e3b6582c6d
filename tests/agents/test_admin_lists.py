"""Lists of the admin however long: what is counted, how rows are found, what one action takes."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from agents.editing import create_agent, delete_agent, edit_agent
from agents.models import Agent
from lap.core import admin as core_admin
from tests.agents.browser import LIST, messages_of, row

CHANGES = "/admin/agents/schedulechange/"


def make(count: int, **fields: Any) -> list[Agent]:
    return [
        create_agent({"name": f"a{n}", "model": "none", **fields}, "test") for n in range(count)
    ]


def rows_of(client: Client, query: str) -> list[Any]:
    return list(client.get(query).context["cl"].result_list)


@pytest.fixture
def counts_to_five(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list counts no more than five rows, on pages of two."""
    monkeypatch.setattr(core_admin, "ROWS_COUNTED", 5)
    monkeypatch.setattr(core_admin.LapAdmin, "list_per_page", 2)


# Counting


@pytest.mark.usefixtures("counts_to_five")
def test_a_long_list_is_not_counted_to_its_end(ada: Client) -> None:
    make(6)
    page = unescape(ada.get(LIST).content.decode())
    assert "5+ agents" in page
    assert "?p=3" in page
    assert "?p=4" not in page
    assert len(rows_of(ada, f"{LIST}?p=2")) == 2
    assert ada.get(f"{LIST}?p=4").status_code == 302


@pytest.mark.usefixtures("counts_to_five")
def test_a_list_that_just_fits_is_counted_exactly(ada: Client) -> None:
    make(5)
    page = ada.get(LIST).content.decode()
    assert "5 agents" in page
    assert "5+" not in page.split('class="paginator"')[1]


def test_large_counts_are_told_with_separators() -> None:
    count = core_admin.AtLeast(2000)
    assert str(count) == "2,000+"
    assert count == 2000


def test_counting_stops_at_the_limit(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make(1)
    with django_assert_num_queries(5) as captured:  # cookie, user, clock, count, rows
        ada.get(LIST)
    counting = captured.captured_queries[3]["sql"]
    assert counting.startswith("SELECT COUNT(*)")
    assert f"LIMIT {core_admin.ROWS_COUNTED + 1}" in counting


@pytest.mark.parametrize(
    ("url", "queries"),
    [
        (LIST, 5),
        (CHANGES, 4),
        ("/admin/agent_sessions/session/", 4),
        ("/admin/agent_sessions/worker/", 4),
        ("/admin/scheduler/cronfire/", 4),
        ("/admin/access/apikey/", 4),
    ],
)
def test_no_list_counts_what_each_filter_would_find(
    ada: Client, url: str, queries: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(queries):  # cookie, user, of agents the clock, count, rows
        page = ada.get(f"{url}?_facets=True")
    assert page.status_code in {200, 302}
    assert "_facets" not in ada.get(url).content.decode()


# Searching


def test_agents_are_searched_as_everywhere(ada: Client) -> None:
    (found,) = make(1, name="Nightly report", harness_id="codex")
    make(1, name="other", harness_id="shell")
    for text in ("REPORT", " nightly ", "codex", str(found.pk)[:10]):
        assert rows_of(ada, f"{LIST}?q={text}") == [found]


def test_a_word_that_nobody_has_costs_no_more(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    make(3)
    with django_assert_num_queries(5):  # cookie, user, clock, count, rows
        assert rows_of(ada, f"{LIST}?q=zzz") == []


def test_changes_are_found_by_agent_and_by_actor(ada: Client) -> None:
    (mine,) = make(1, name="mine", cron_schedule="0 9 * * *")
    (theirs,) = make(1, name="theirs", cron_schedule="0 9 * * *")
    edit_agent(mine.pk, {"cron_schedule": "0 10 * * *"}, "bob")
    assert {change.agent_id for change in rows_of(ada, f"{CHANGES}?q=mine")} == {mine.pk}
    assert {change.agent_id for change in rows_of(ada, f"{CHANGES}?q=theirs")} == {theirs.pk}
    assert [change.actor for change in rows_of(ada, f"{CHANGES}?q=bob")] == ["bob"]


def test_rows_of_a_deleted_agent_are_found_by_its_id(ada: Client) -> None:
    (gone,) = make(1, name="Gone", cron_schedule="0 9 * * *")
    delete_agent(gone.pk, "test")
    assert rows_of(ada, f"{CHANGES}?q=Gone") == []
    for text in (str(gone.pk), str(gone.pk)[:9].upper()):
        assert {change.agent_id for change in rows_of(ada, f"{CHANGES}?q={text}")} == {gone.pk}


@pytest.mark.parametrize("text", ["%00", "%F0%9F%98%80", "--------", "g" * 32, "0" * 33])
def test_odd_texts_find_nothing_and_break_nothing(ada: Client, text: str) -> None:
    make(1, cron_schedule="0 9 * * *")
    assert ada.get(f"{CHANGES}?q={text}").status_code == 200


@pytest.mark.parametrize(
    "filtered",
    [
        f"{LIST}?harness_id__exact=",
        f"{LIST}?harness_id__exact=shell&harness_id__exact=",
        f"{CHANGES}?agent__id__exact=",
        "/admin/agent_sessions/session/?status__exact=",
        "/admin/scheduler/cronfire/?outcome__exact=",
    ],
)
def test_a_filter_with_a_nul_is_refused(ada: Client, filtered: str) -> None:
    assert ada.get(f"{filtered}x").status_code in {200, 302}
    assert ada.get(f"{filtered}%00").status_code == 400


# Actions


def test_an_action_on_too_many_agents_does_nothing(
    ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_admin, "ACTION_LIMIT", 2)
    agents = make(3)
    sent = {"action": "disable", "_selected_action": [str(agent.pk) for agent in agents]}
    response = ada.post(LIST, sent, follow=True)
    assert messages_of(response) == ["Nothing was done: select at most 2 rows at once."]
    assert all(row(agent)["cron_enabled"] for agent in agents)
