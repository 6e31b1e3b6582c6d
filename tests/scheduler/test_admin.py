"""The ledger in Django's admin, and what it adds to an agent's page."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from agents.admin import AgentAdmin
from agents.editing import create_agent, delete_agent
from agents.models import Agent
from scheduler.admin import RECENT_FIRES
from scheduler.models import CronFire
from sessions.models import Session

LIST = "/admin/scheduler/cronfire/"
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def ada(db: None, client: Client) -> Client:
    """A browser in which a superuser is logged in."""
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def agent(db: None) -> Agent:
    return create_agent({"name": "Nightly", "model": "none", "cron_schedule": "0 9 * * *"}, "test")


def fire(agent: Agent, at: datetime = NINE, outcome: str = "missed", **fields: Any) -> CronFire:
    decided_at = at + timedelta(seconds=1)
    return CronFire.objects.create(
        agent=agent, scheduled_for=at, outcome=outcome, decided_at=decided_at, **fields
    )


def started(agent: Agent, at: datetime = NINE) -> CronFire:
    session = Session.objects.create(agent=agent, trigger="cron", scheduled_for=at)
    return fire(agent, at, "started", session=session)


def listed(client: Client, query: str) -> set[Any]:
    return {row.pk for row in client.get(query).context["cl"].result_list}


def agent_page(client: Client, agent: Agent) -> str:
    url = reverse("admin:agents_agent_change", args=[agent.pk])
    return unescape(client.get(url).content.decode())


def test_a_row_says_what_became_of_its_instant_and_why(ada: Client, agent: Agent) -> None:
    fire(agent, reason="no worker ran <for a day>")
    page = ada.get(LIST).content.decode()
    assert "2026-03-02 09:00 UTC" in page
    assert '<span class="lap-badge lap-bad">missed</span>' in page
    assert "no worker ran &lt;for a day&gt;" in page
    assert '<td class="field-delay">1.00 s</td>' in page


def test_a_started_row_links_to_its_session(ada: Client, agent: Agent) -> None:
    row = started(agent)
    url = reverse("admin:agent_sessions_session_change", args=[row.session_id])
    assert f'href="{url}"' in ada.get(LIST).content.decode()
    assert ada.get(url).status_code == 200


def test_a_range_says_how_many_instants_it_stands_for(ada: Client, agent: Agent) -> None:
    fire(agent, outcome="paused", scheduled_until=NINE + 11 * DAY, count=12)
    page = ada.get(LIST).content.decode()
    assert "2026-03-02 09:00 UTC<br>to 2026-03-13 09:00 UTC<br>(12 instants)" in page


def test_filters_and_search(ada: Client, agent: Agent) -> None:
    other = create_agent({"name": "Other", "model": "none"}, "test")
    missed, ran, theirs = fire(agent), started(agent, NINE + DAY), fire(other)
    assert listed(ada, f"{LIST}?outcome__exact=started") == {ran.pk}
    assert listed(ada, f"{LIST}?agent__id__exact={agent.pk}") == {missed.pk, ran.pk}
    assert listed(ada, f"{LIST}?q=other") == {theirs.pk}
    assert listed(ada, f"{LIST}?q={other.pk}") == {theirs.pk}
    assert ada.get(f"{LIST}?agent__id__exact=nonsense", follow=True).status_code == 200


def test_the_ledger_cannot_be_written(ada: Client, agent: Agent) -> None:
    row = fire(agent)
    url = f"{LIST}{row.pk}/change/"
    assert ">missed<" in ada.get(url).content.decode()
    assert ada.get(f"{LIST}add/").status_code == 403
    assert ada.post(url, {"outcome": "started"}).status_code == 403
    assert ada.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    ada.post(LIST, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    row.refresh_from_db()
    assert row.outcome == "missed"


def test_rows_of_deleted_agents_stay(ada: Client, agent: Agent) -> None:
    fire(agent)
    delete_agent(agent.pk, "test")
    assert "Nightly (deleted)" in ada.get(LIST).content.decode()


def test_fifty_rows_cost_the_queries_of_one(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(50):
        started(create_agent({"name": f"a{n}", "model": "none", "env_vars": {"A": "b"}}, "test"))
    with django_assert_num_queries(4) as captured:  # cookie, user, count, rows
        page = ada.get(LIST).content.decode()
    assert page.count('class="field-became"') == 50
    assert "env_vars" not in captured.captured_queries[-1]["sql"]


# The agent's page


def test_the_agents_page_shows_its_recent_fires(ada: Client, agent: Agent) -> None:
    for n in range(RECENT_FIRES + 5):
        fire(agent, NINE + n * DAY, reason=f"reason {n}")
    table = re.search(r'<table class="lap-fires">.*?</table>', agent_page(ada, agent), re.S)
    assert table is not None
    assert table[0].count(">missed<") == RECENT_FIRES
    assert "reason 24" in table[0]
    assert "reason 4<" not in table[0]


def test_the_agents_page_links_to_all_of_its_history(ada: Client, agent: Agent) -> None:
    page = agent_page(ada, agent)
    for model in ("scheduler/cronfire", "agent_sessions/session", "agents/schedulechange"):
        link = f"/admin/{model}/?agent__id__exact={agent.pk}"
        assert f'href="{link}"' in page
        assert ada.get(link).status_code == 200


def test_twenty_fires_cost_one_query(
    ada: Client, agent: Agent, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(RECENT_FIRES):
        started(agent, NINE + n * DAY)
    agent_page(ada, agent)  # Django looks up the content type once
    with django_assert_max_num_queries(5):  # cookie, user, clock, agent, fires
        agent_page(ada, agent)


def test_a_new_agent_has_no_fires_yet(ada: Client, agent: Agent) -> None:
    assert "Recent fires" not in ada.get("/admin/agents/agent/add/").content.decode()
    assert "Recent fires" in agent_page(ada, agent)


def test_the_scheduler_extends_the_agents_own_page() -> None:
    assert isinstance(admin.site.get_model_admin(Agent), AgentAdmin)
