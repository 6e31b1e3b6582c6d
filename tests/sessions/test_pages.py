"""The list of sessions, and the page that opens one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from agents.editing import delete_agent
from agents.models import Agent
from lap.core import clock
from sessions import listing
from sessions.listing import PAGE
from sessions.models import Session
from tests.api import NOBODY
from tests.conftest import MakeAgent
from tests.sessions.pages import HTMX, fragment, person, session_of, text_of

LIST = "/sessions/"
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def ada(client: Client, db: None) -> Client:
    """A browser of somebody who may look at sessions and open them."""
    client.force_login(person("view_session", "add_session"))
    return client


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent(name="Nightly")


def listed(client: Client, **query: Any) -> set[str]:
    """The ids of the sessions that a list links to."""
    page = text_of(client.get(LIST, query))
    return set(re.findall(r'id="s-([0-9a-f-]{36})"', page))


def live_address(page: str) -> str:
    """Where the rows ask whether they have changed."""
    found = re.search(r'<div id="rows" hx-get="([^"]+)"', page)
    assert found, page
    return unescape(found[1])


def test_it_shows_what_there_is_to_know_of_a_run(ada: Client, agent: Agent) -> None:
    session_of(
        agent, trigger="cron", scheduled_for=NINE, status="failed", started_at=NINE,
        stopped_at=NINE + timedelta(seconds=75), failure_reason="exit\nstatus 3 " + "x" * 200,
    )  # fmt: skip
    page = text_of(ada.get(LIST))
    assert '<span class="pill bad">failed</span> <span class="badge cron">cron</span>' in page
    assert ">Nightly</a>" in page
    assert 'title="2026-03-02 09:00:00 UTC"' in page
    assert "1 min 15 s" in page
    assert "exit status 3 xxx" in page
    assert "x" * 100 not in page


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"title": "release <notes>"}, "release &lt;notes&gt;"),
        ({"initial_prompt": "Summarise\n the week"}, "Summarise the week"),
        ({}, "Conversation"),
    ],
)
def test_a_conversation_goes_by_its_title_or_its_prompt(
    ada: Client, agent: Agent, columns: Any, label: str
) -> None:
    session_of(agent, **columns)
    assert f">{label}</a>" in text_of(ada.get(LIST))


def test_what_is_being_brought_up_says_how_far_it_is(ada: Client, agent: Agent) -> None:
    session_of(agent, phase="installing_deps")
    assert "Installing dependencies" in text_of(ada.get(LIST))


def test_the_agent_of_an_old_session_may_be_gone(ada: Client, agent: Agent) -> None:
    session_of(agent, status="dead")
    delete_agent(agent.id, "test")
    page = text_of(ada.get(LIST))
    assert "Nightly" in page
    assert "(deleted)" in page
    assert reverse("agent", args=[agent.id]) not in page


def test_filters(ada: Client, agent: Agent, make_agent: MakeAgent) -> None:
    now = clock.now()
    failed = session_of(agent, status="failed", created_at=now - timedelta(days=3))
    cron = session_of(
        agent, trigger="cron", scheduled_for=NINE, created_at=now - timedelta(hours=2)
    )
    other = session_of(make_agent(name="Other"), trigger="manual")
    cases: list[tuple[dict[str, Any], list[Session]]] = [
        ({}, [failed, cron, other]),
        ({"status": "failed"}, [failed]),
        ({"trigger": "cron"}, [cron]),
        ({"time": "1h"}, [other]),
        ({"time": "1d"}, [cron, other]),
        ({"time": "7d"}, [failed, cron, other]),
        ({"name": "NIGHT"}, [failed, cron]),
        ({"agent": agent.id}, [failed, cron]),
        ({"agent": agent.id, "status": "creating", "trigger": "cron"}, [cron]),
    ]
    for query, found in cases:
        assert listed(ada, **query) == {str(session.id) for session in found}, query


def test_a_name_that_many_go_by_says_that_it_is_too_short(
    ada: Client, make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "NAMED_LIMIT", 1)
    first, second = (session_of(make_agent(name=f"Nightly {number}")) for number in (1, 2))
    page = text_of(ada.get(LIST, {"name": "nightly"}))
    assert "These are the sessions of the first" in page
    assert str(first.id) in page
    assert str(second.id) not in page
    assert "of the first" not in text_of(ada.get(LIST, {"name": "nightly 2"}))


@pytest.mark.parametrize("name", ["status", "trigger", "time", "agent", "name"])
def test_a_filter_that_means_nothing_filters_nothing(ada: Client, agent: Agent, name: str) -> None:
    session = session_of(agent)
    assert listed(ada, **{name: "x\0"}) == {str(session.id)}


def test_the_chosen_agent_is_named_and_can_be_unchosen(ada: Client, agent: Agent) -> None:
    page = text_of(ada.get(LIST, {"agent": str(agent.id), "status": "ready"}))
    assert "Agent: Nightly" in page
    assert f'<input type="hidden" name="agent" value="{agent.id}" form="filters">' in page
    assert '<a href="/sessions/?status=ready" aria-label="Show all agents">' in page
    assert "No session matches these filters." in page


def test_an_agent_that_never_was_has_no_sessions(ada: Client, agent: Agent) -> None:
    session_of(agent)
    assert listed(ada, agent=NOBODY) == set()


def test_an_empty_list_teaches(ada: Client) -> None:
    page = text_of(ada.get(LIST))
    assert "No sessions yet." in page
    assert "Run now" in page


def test_pages_follow_each_other_whatever_is_added(ada: Client, agent: Agent) -> None:
    at = clock.now()
    ids = [str(session_of(agent, created_at=at).id) for _ in range(PAGE + 2)]
    first = text_of(ada.get(LIST, {"time": "1d"}))
    session_of(agent)
    older = re.search(r'<a class="button" href="([^"]+)">Older</a>', first)
    assert older
    second = text_of(ada.get(unescape(older[1])))
    shown = [re.findall(r'id="s-([0-9a-f-]{36})"', page) for page in (first, second)]
    assert [len(page) for page in shown] == [PAGE, 2]
    assert sorted([*shown[0], *shown[1]]) == sorted(ids)
    assert 'hx-trigger="look' not in second
    assert ">Older<" not in second


def test_a_cursor_that_no_page_gave_out_is_not_found(ada: Client) -> None:
    assert ada.get(LIST, {"before": "x"}).status_code == 404


def test_it_is_read_again_only_when_it_has_changed(ada: Client, agent: Agent) -> None:
    session = session_of(agent)
    address = live_address(text_of(ada.get(LIST, {"trigger": "api"})))
    assert fragment(ada, address).status_code == 204
    Session.objects.filter(id=session.id).update(phase="waiting_harness")
    changed = text_of(fragment(ada, address))
    assert "Waiting for the harness" in changed
    assert "<html" not in changed
    assert "HX-Push-Url" not in fragment(ada, address)
    session_of(agent, trigger="manual")
    assert fragment(ada, live_address(changed)).status_code == 204


def test_asking_again_costs_one_light_query(
    ada: Client, agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    session_of(agent)
    address = live_address(text_of(ada.get(LIST)))
    with django_assert_num_queries(5) as queries:  # 4 of them: who asks, and whether they may
        assert fragment(ada, address).status_code == 204
    assert "initial_prompt" not in queries[-1]["sql"]


def test_it_never_reads_what_is_large_or_secret(
    ada: Client, agent: Agent, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        session_of(agent)
    with django_assert_max_num_queries(7) as queries:
        ada.get(LIST)
    read = " ".join(query["sql"] for query in queries)
    assert "agent_sessions_session" in read
    for column in ("thread", "env_vars", "attachments", "harness_token", "response"):
        assert f'"{column}"' not in read


def test_filtering_in_place_changes_the_address(ada: Client, agent: Agent) -> None:
    answer = fragment(ada, f"{LIST}?status=ready&name=&trigger=")
    assert answer["HX-Push-Url"] == f"{LIST}?status=ready"
    assert "HX-Request" in answer["Vary"]


def test_going_back_in_the_browser_gives_the_whole_page(ada: Client) -> None:
    page = text_of(ada.get(LIST, headers={**HTMX, "HX-History-Restore-Request": "true"}))
    assert "<html" in page


# Opening a conversation


def opening(agent: Agent) -> str:
    return reverse("new-session", args=[agent.id])


def test_a_conversation_is_opened_once(ada: Client, agent: Agent) -> None:
    page = text_of(ada.get(opening(agent)))
    key = re.search(r'name="key" value="([^"]+)"', page)
    assert key
    fields = {"initial_prompt": "one\r\ntwo", "title": "talk", "key": key[1]}
    answers = [ada.post(opening(agent), fields) for _ in range(2)]
    session = Session.objects.get()
    assert (session.initial_prompt, session.title, session.created_by) == (
        "one\ntwo",
        "talk",
        "ada",
    )
    assert (session.trigger, session.status) == ("api", "creating")
    assert {answer["Location"] for answer in answers} == {reverse("session", args=[session.id])}


def test_it_needs_no_message(ada: Client, agent: Agent) -> None:
    ada.post(opening(agent))
    ada.post(opening(agent))
    assert Session.objects.filter(has_prompt=False, idempotency_key="").count() == 2


def test_what_was_typed_is_kept_when_it_is_refused(ada: Client, agent: Agent) -> None:
    page = text_of(ada.post(opening(agent), {"initial_prompt": "hello you", "title": "x" * 201}))
    assert "at most 200 characters" in page
    assert "hello you" in page
    ada.post(opening(agent), {"initial_prompt": "a", "key": "k"})
    page = text_of(ada.post(opening(agent), {"initial_prompt": "another one", "key": "k"}))
    assert "sent already" in page
    assert "another one" in page


def test_a_key_is_one_as_the_api_takes_them(ada: Client, agent: Agent) -> None:
    for key in ("two words", "schlüssel", "a\nb"):
        assert ada.post(opening(agent), {"key": key}).status_code == 200
    assert not Session.objects.exists()


def test_there_is_no_talking_to_an_agent_that_is_gone(ada: Client, agent: Agent) -> None:
    delete_agent(agent.id, "test")
    assert ada.get(opening(agent)).status_code == 404
    assert ada.post(opening(agent)).status_code == 404


def test_who_may_only_look_opens_nothing(client: Client, agent: Agent) -> None:
    client.force_login(person("view_session"))
    assert client.get(LIST).status_code == 200
    assert client.get(opening(agent)).status_code == 403
    assert client.post(opening(agent)).status_code == 403
    assert not Session.objects.exists()


def test_who_may_not_look_sees_nothing(client: Client, db: None) -> None:
    client.force_login(person("view_agent"))
    assert client.get(LIST).status_code == 403
