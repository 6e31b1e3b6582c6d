"""The list of agents: what its rows say, searched, sorted, in pages, at one cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from justhtml import JustHTML

from agents.editing import disable_invalid, edit_agent
from agents.listing import PAGE_SIZE, shown_agents
from agents.models import Agent
from lap.core import clock
from scheduler.models import CronFire
from sessions.models import Session
from tests.agents.html import attr, find, parsed, text
from tests.conftest import MakeAgent, SetClock

LIST = "/agents/"
HTMX = {"HX-Request": "true"}
DAILY = {"cron_schedule": "0 9 * * *", "cron_timezone": "Asia/Tokyo"}


def page_of(client: Client, query: str = "", **headers: str) -> JustHTML:
    response = client.get(f"{LIST}{query}", headers=headers)
    assert response.status_code == 200
    return parsed(response)


def names(page: JustHTML) -> list[str]:
    return [text(link) for link in find(page, "tbody .name a")]


def cell(page: JustHTML, agent: Agent, column: str) -> str:
    [found] = find(page, f"#agent-{agent.id} .{column}")
    return text(found)


# What a row says


def test_a_scheduled_agent(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(name="report", **DAILY)
    page = page_of(ada)
    assert cell(page, agent, "schedule") == "Daily at 09:00 (Asia/Tokyo)"
    [local, relative] = find(page, f"#agent-{agent.id} .next > time, .next > span > time")
    assert agent.cron_next_fire_at is not None
    shown = agent.cron_next_fire_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [attr(local, "datetime"), attr(relative, "datetime")] == [shown, shown]
    assert attr(relative, "class") == "from-now"


def test_times_are_those_of_the_viewers_zone(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(**DAILY)
    ada.cookies["lap_zone"] = "Asia/Tokyo"
    assert " 09:00" in cell(page_of(ada), agent, "next")


def test_a_paused_agent_shows_no_time(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(cron_enabled=False, **DAILY)
    page = page_of(ada)
    assert cell(page, agent, "next") == "paused"
    assert find(page, f"#agent-{agent.id} .next time") == []


def test_an_agent_without_a_schedule(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent()
    page = page_of(ada)
    assert cell(page, agent, "schedule") == "No schedule"
    assert [cell(page, agent, column) for column in ("next", "last", "enabled")] == ["", "", ""]
    assert names(page) == [str(agent.id)]


def test_an_invalid_schedule_says_why(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(**DAILY)
    Agent.objects.filter(id=agent.id).update(cron_schedule="@daily")
    disable_invalid(agent.id, "it does <not> parse", clock.now())
    page = page_of(ada)
    assert cell(page, agent, "next") == "invalid"
    assert cell(page, agent, "schedule") == "not valid: @daily (Asia/Tokyo) it does <not> parse"


@pytest.mark.parametrize(
    ("column", "shown"),
    [("cron_next_fire_at", "due now"), ("cron_blocked_until", "blocked again")],
)
def test_due_and_blocked(ada: Client, make_agent: MakeAgent, column: str, shown: str) -> None:
    agent = make_agent(**DAILY)
    at = clock.now() + timedelta(minutes=-1 if shown == "due now" else 5)
    Agent.objects.filter(id=agent.id).update(**{column: at})
    assert cell(page_of(ada), agent, "next").startswith(shown)


def test_what_lies_in_a_pause_is_not_due(
    ada: Client, make_agent: MakeAgent, set_clock: SetClock
) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    set_clock(now - timedelta(days=4))
    resumed, late = make_agent(cron_schedule="0 9 * * *"), make_agent(cron_schedule="0 9 * * *")
    edit_agent(resumed.id, {"cron_enabled": False}, "test")
    set_clock(now)
    edit_agent(resumed.id, {"cron_enabled": True}, "test")
    page = page_of(ada)
    assert cell(page, resumed, "next").startswith("Tue 24 Nov 09:00")
    assert cell(page, late, "next") == "due now"
    set_clock(now + timedelta(hours=22))
    assert cell(page_of(ada), resumed, "next") == "due now"


@pytest.mark.parametrize(("status", "is_running"), [("ready", True), ("completed", False)])
def test_an_active_session_is_a_badge(
    ada: Client, make_agent: MakeAgent, status: str, is_running: bool
) -> None:
    agent = make_agent(name="report")
    Session.objects.create(agent=agent, status=status, **ended(status))
    assert (cell(page_of(ada), agent, "name") == "report running") is is_running


def test_the_last_outcome_leads_to_the_session(ada: Client, make_agent: MakeAgent) -> None:
    agent, now = make_agent(**DAILY), clock.now()
    run = Session.objects.create(
        agent=agent, trigger="cron", scheduled_for=now, status="failed", **ended("failed")
    )
    fire(agent, now, "started", session=run)
    fire(agent, now - timedelta(hours=1), "missed")
    page = page_of(ada)
    assert cell(page, agent, "last").startswith("failed")
    assert last_link(page, agent) == reverse("session", args=[run.id])


def test_an_instant_that_did_not_start_leads_to_the_runs(
    ada: Client, make_agent: MakeAgent
) -> None:
    agent, now = make_agent(**DAILY), clock.now()
    fire(agent, now - timedelta(hours=2), "missed", scheduled_until=now, count=3)
    page = page_of(ada)
    assert cell(page, agent, "last").startswith("missed")
    assert last_link(page, agent) == reverse("runs", args=[agent.id])
    [time] = find(page, f"#agent-{agent.id} .last time")
    assert attr(time, "datetime") == now.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_switch_asks_for_the_other_state(
    ada: Client, make_agent: MakeAgent, is_enabled: bool
) -> None:
    agent = make_agent(name="report", cron_enabled=is_enabled, **DAILY)
    page = page_of(ada)
    [switch] = find(page, f"#agent-{agent.id} [role=switch]")
    [form] = find(page, f"form#{attr(switch, 'form')}")
    assert attr(form, "method") == "post"
    assert attr(switch, "aria-checked") == ("true" if is_enabled else "false")
    assert attr(switch, "name") == ("" if is_enabled else "enabled")
    assert "report" in (attr(switch, "aria-label"))
    sent = {} if is_enabled else {"enabled": "on"}
    ada.post(attr(switch, "formaction") or "", {"from": "list", **sent})
    agent.refresh_from_db()
    assert agent.cron_enabled is not is_enabled


def test_a_switched_row_comes_back_whole(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(name="report", **DAILY)
    url = reverse("toggle-schedule", args=[agent.id])
    row = ada.post(url, {"from": "list"}, headers=HTMX).content.decode().strip()
    assert row.startswith(f'<tr id="agent-{agent.id}">')
    assert row.endswith("</tr>")
    assert "paused" in row


def test_a_name_is_text(ada: Client, make_agent: MakeAgent) -> None:
    make_agent(name="<script>alert(1)</script>")
    assert names(page_of(ada)) == ["<script>alert(1)</script>"]


def test_rows_are_made_without_secrets_texts_and_files(make_agent: MakeAgent) -> None:
    make_agent(env_vars={"TOKEN": "x"})
    unread = shown_agents(Agent.objects.all()).get().get_deferred_fields()
    assert {"env_vars", "prompt", "cron_prompt", "sandbox_files", "requirements"} <= unread


# Searching, sorting, paging


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["alpha", "Beta", "gamma"]),
        ("?search=ET", ["Beta"]),
        ("?search=%20beta%20", ["Beta"]),
        ("?search=SHELL", ["alpha", "Beta"]),
        ("?search=a&sort=-name", ["gamma", "Beta", "alpha"]),
        ("?sort=-name", ["gamma", "Beta", "alpha"]),
        ("?sort=created", ["gamma", "Beta", "alpha"]),
        ("?sort=-created", ["alpha", "Beta", "gamma"]),
        ("?sort=next", ["gamma", "alpha", "Beta"]),
        ("?sort=-next", ["alpha", "gamma", "Beta"]),
        ("?sort=nonsense", ["alpha", "Beta", "gamma"]),
        ("?page=0", ["alpha", "Beta", "gamma"]),
        ("?page=x", ["alpha", "Beta", "gamma"]),
        ("?page=2", []),
        ("?page=2&sort=next", []),
        ("?search=zzz", []),
        ("?search=%00", ["alpha", "Beta", "gamma"]),
    ],
)
def test_the_list_as_asked_for(
    ada: Client, make_agent: MakeAgent, query: str, found: list[str]
) -> None:
    now = clock.now()
    for number, (name, harness, is_enabled) in enumerate(
        (("alpha", "shell", True), ("Beta", "shell", False), ("gamma", "codex", True))
    ):
        agent = make_agent(name=name, harness_id=harness, cron_enabled=is_enabled, **DAILY)
        Agent.objects.filter(id=agent.id).update(
            created_at=now - timedelta(days=number),
            cron_next_fire_at=now + timedelta(hours=5 - number),
        )
    assert names(page_of(ada, query)) == found


def test_a_head_turns_the_order_round(ada: Client, make_agent: MakeAgent) -> None:
    make_agent()
    page = page_of(ada, "?search=shell&sort=-next&page=1")
    heads = {text(head): head for head in find(page, "thead th")}
    links = {
        name: attr(find(head, "a")[0], "href") for name, head in heads.items() if find(head, "a")
    }
    assert links == {
        "Name": "?search=shell&sort=name",
        "Next run": "?search=shell&sort=next",
        "Created": "?search=shell&sort=created",
    }
    assert [attr(head, "aria-sort") for head in heads.values()].count("descending") == 1
    assert attr(heads["Next run"], "aria-sort") == "descending"
    [hidden] = find(page, "form[role=search] [name=sort]")
    assert attr(hidden, "value") == "-next"


@pytest.mark.parametrize("sort", ["name", "-created", "next"])
def test_pages_hold_every_agent_once(ada: Client, make_agent: MakeAgent, sort: str) -> None:
    for number in range(2 * PAGE_SIZE + 1):
        scheduled = DAILY if number % 3 else {}
        make_agent(name=f"agent {number:03}", **scheduled)
    query, seen = f"?search=agent&sort={sort}", []
    while query:
        page = page_of(ada, query)
        seen.append(names(page))
        query = next((attr(a, "href") or "" for a in find(page, "[rel=next]")), "")
    assert [len(part) for part in seen] == [PAGE_SIZE, PAGE_SIZE, 1]
    assert len({name for part in seen for name in part}) == 2 * PAGE_SIZE + 1
    [back] = find(page, "[rel=prev]")
    assert names(page_of(ada, attr(back, "href"))) == seen[1]


def test_a_page_that_is_not_there(ada: Client, make_agent: MakeAgent) -> None:
    make_agent(name="report")
    page = page_of(ada, "?search=report&page=99")
    assert "There is no page 99" in text(page)
    [first] = find(page, ".empty a")
    assert names(page_of(ada, attr(first, "href"))) == ["report"]


# What is asked for by htmx


def test_htmx_is_given_the_rows_alone(ada: Client, make_agent: MakeAgent) -> None:
    make_agent(name="report")
    response = ada.get(LIST, headers=HTMX)
    assert "HX-Request" in response.headers["Vary"]
    assert "<h1>" not in response.content.decode()
    assert names(parsed(response)) == ["report"]


def test_a_browser_that_goes_back_is_given_the_whole_page(ada: Client) -> None:
    headers = {**HTMX, "HX-History-Restore-Request": "true"}
    assert "<h1>" in ada.get(LIST, headers=headers).content.decode()


def test_nothing_is_sent_to_who_shows_it_already(
    ada: Client, make_agent: MakeAgent, set_clock: SetClock
) -> None:
    due = datetime(2026, 11, 23, tzinfo=UTC)
    set_clock(due - timedelta(hours=9))
    agent = make_agent(name="report", **DAILY)
    [token] = find(page_of(ada, "?search=rep"), "#found #token")
    again = f"{LIST}?search=rep&token={attr(token, 'value')}"
    set_clock(due - timedelta(minutes=1))
    answer = ada.get(again, headers=HTMX)
    assert (answer.status_code, answer.content) == (204, b"")
    set_clock(due + timedelta(minutes=1))
    assert cell(page_of(ada, again.removeprefix(LIST), **HTMX), agent, "next") == "due now"
    edit_agent(agent.id, {"cron_enabled": False}, "bob")
    page = page_of(ada, again.removeprefix(LIST), **HTMX)
    assert cell(page, agent, "next") == "paused"
    assert attr(find(page, "#token")[0], "value") != attr(token, "value")
    assert not [link for link in find(page, "a") if "token" in attr(link, "href")]


@pytest.mark.parametrize("query", ["?page=2", "?page=3", "?page=99", "?search=zzz", "?search="])
def test_what_takes_the_focus_has_an_id(ada: Client, make_agent: MakeAgent, query: str) -> None:
    for number in range(2 * PAGE_SIZE + 1):
        agent = make_agent(name=f"agent {number:03}", **DAILY)
        fire(agent, clock.now(), "missed")
    ids = [attr(one, "id") for one in find(page_of(ada, query, **HTMX), "a, button")]
    assert ids
    assert "" not in ids
    assert len(set(ids)) == len(ids)


# Without agents


def test_no_agents_teach_what_one_is(ada: Client) -> None:
    text = unescape(ada.get(LIST).content.decode())
    assert "There are no agents yet" in text
    assert reverse("api:docs") in text
    assert "http://testserver/api/v1/managed_agents/agents" in text


def test_nothing_found_shows_what_was_searched(ada: Client, make_agent: MakeAgent) -> None:
    make_agent()
    page = page_of(ada, "?search=<b>zzz&sort=created")
    assert "No agent is found for “<b>zzz”" in text(page)
    assert [attr(link, "href") for link in find(page, ".empty a")] == ["?sort=created"]
    [field] = find(page, "#search")
    assert attr(field, "value") == "<b>zzz"


# Who may do what


def test_nobody_is_sent_to_the_login(client: Client) -> None:
    assert client.get(LIST).headers["Location"] == f"{reverse('login')}?next={LIST}"


def test_who_may_only_look_is_offered_nothing_else(client: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(**DAILY)
    client.force_login(user_who_may("view_agent"))
    page = page_of(client)
    assert cell(page, agent, "enabled") == "enabled"
    assert find(page, ".button, [role=switch]") == []


def test_who_may_not_look_is_refused(db: None, client: Client) -> None:
    client.force_login(user_who_may())
    assert client.get(LIST).status_code == 403


# Cost


def test_the_list_costs_as_many_statements_with_twenty_rows_as_with_three(
    ada: Client, make_agent: MakeAgent
) -> None:
    counts = []
    for more in (3, 17):
        for number in range(more):
            agent, at = make_agent(name="agent", **DAILY), clock.now() + timedelta(seconds=number)
            run = Session.objects.create(agent=agent, trigger="cron", scheduled_for=at)
            fire(agent, at, "started", session=run)
        with CaptureQueriesContext(connection) as captured:
            assert len(names(page_of(ada, "?search=agent&sort=next"))) == Agent.objects.count()
        counts.append(len(captured))
    assert counts[0] == counts[1]


def user_who_may(*codenames: str) -> User:
    user = User.objects.create(username="bob")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def ended(status: str) -> dict[str, Any]:
    return {"stopped_at": clock.now()} if status in ("completed", "failed", "dead") else {}


def fire(agent: Agent, at: Any, outcome: str, **columns: Any) -> None:
    CronFire.objects.create(
        agent=agent, scheduled_for=at, outcome=outcome, decided_at=at, **columns
    )


def last_link(page: JustHTML, agent: Agent) -> str:
    [link] = find(page, f"#agent-{agent.id} .last a")
    return attr(link, "href")
