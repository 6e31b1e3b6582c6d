"""The pages of an agent's history, and the button that runs it now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from agents.editing import delete_agent, disable_invalid, edit_agent
from agents.models import Agent
from lap.core import clock
from scheduler.models import CronFire
from scheduler.pages import EMBEDDED_ROWS, ROWS, STRIP
from sessions.models import Session
from tests.conftest import MakeAgent, SetClock
from tests.scheduler.focus import assert_focusable_have_ids

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
HTMX = {"HX-Request": "true"}


@pytest.fixture
def ada(db: None, client: Client) -> Client:
    """A browser in which a superuser is logged in."""
    client.force_login(User.objects.create_superuser("ada", password=None))
    return client


@pytest.fixture
def agent(make_agent: MakeAgent, set_clock: SetClock) -> Agent:
    set_clock(NINE - HOUR)
    return make_agent(name="Nightly", cron_schedule="0 9 * * *", cron_timezone="Asia/Tokyo")


def fire(agent: Agent, at: datetime = NINE, outcome: str = "missed", **fields: Any) -> CronFire:
    late = fields.pop("late", timedelta(seconds=1))
    return CronFire.objects.create(
        agent=agent, scheduled_for=at, outcome=outcome, decided_at=at + late, **fields
    )


def run(
    agent: Agent, at: datetime = NINE, status: str = "completed", trigger: str = "cron",
    late: timedelta = timedelta(seconds=1), **columns: Any,
) -> Session:  # fmt: skip
    """A run that took three minutes, with its row in the ledger where it was scheduled."""
    times = {"started_at": at + late, "stopped_at": at + late + timedelta(minutes=3)}
    session = Session.objects.create(
        agent=agent, trigger=trigger, scheduled_for=at if trigger == "cron" else None,
        status=status, created_at=at + late,
        **({} if status == "creating" else times), **columns,
    )  # fmt: skip
    if trigger == "cron":
        fire(agent, at, "started", session=session, late=late)
    return session


def url(agent: Agent, query: str = "") -> str:
    return f"{reverse('runs', args=[agent.pk])}{query}"


def page(client: Client, address: str, **headers: str) -> str:
    response = client.get(address, headers=headers)
    assert response.status_code == 200
    return unescape(response.content.decode())


def rows(text: str) -> list[str]:
    """The text of each row of the table."""
    body = re.search(r"<tbody>(.*?)</tbody>", text, re.DOTALL)
    found = re.findall(r"<tr>(.*?)</tr>", body[1] if body else "", re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in found]


def strip(text: str) -> list[str]:
    """The labels of the last outcomes."""
    found = re.search(r'<ol class="strip".*?</ol>', text, re.DOTALL)
    return re.findall(r'aria-label="([^"]*)"', found[0])[1:] if found else []


def test_a_run_shows_its_instant_lateness_duration_and_session(ada: Client, agent: Agent) -> None:
    session = run(agent, late=timedelta(milliseconds=420))
    text = page(ada, url(agent))
    (row,) = rows(text)
    assert "Mon 2 Mar 09:00 18:00 JST started 0.42 s 3 min completed" in row
    assert f'href="{reverse("session", args=[session.pk])}"' in text


@pytest.mark.parametrize(
    ("outcome", "reason", "words"),
    [
        (
            "skipped_overlap", "the previous run was still active",
            "The previous run was still active. If this happens often, run it less often",
        ),
        (
            "missed", "no worker ran within the catch-up window of 3600 s",
            "No worker ran within the catch-up window of 1 h. Keep a worker running",
        ),
        ("coalesced", "", "Folded into a later run. A newer instant ran in its place."),
        ("paused", "the schedule was switched off", "The schedule was switched off. What falls"),
        ("superseded", "the schedule was changed", "The new schedule counts from then on."),
        ("invalid_schedule", "six fields?", "Six fields? Correct the schedule"),
    ],
)  # fmt: skip
def test_what_did_not_start_says_why_and_what_to_do(
    ada: Client, agent: Agent, outcome: str, reason: str, words: str
) -> None:
    fire(agent, outcome=outcome, reason=reason)
    (row,) = rows(page(ada, url(agent)))
    assert words in row


def test_a_failed_run_says_why(ada: Client, agent: Agent) -> None:
    run(agent, status="failed", failure_reason="exit status <3>")
    response = ada.get(url(agent))
    assert b"Exit status &lt;3&gt;." in response.content


def test_a_late_run_says_no_more_than_that(ada: Client, agent: Agent) -> None:
    """Its agent may have stood aside, or its worker was busy."""
    run(agent, late=timedelta(minutes=12))
    (row,) = rows(page(ada, url(agent)))
    assert "started Started 12 min late. 12 min" in row


def test_a_range_is_one_row(ada: Client, agent: Agent) -> None:
    fire(agent, outcome="paused", scheduled_until=NINE + 11 * DAY, count=12)
    (row,) = rows(page(ada, url(agent)))
    assert "Mon 2 Mar 09:00 to Fri 13 Mar 09:00 12 instants" in row
    assert strip(page(ada, url(agent))) == ["paused (12 instants), 2026-03-02 09:00:00 UTC"]


def test_manual_runs_stand_where_they_belong_in_time(ada: Client, agent: Agent) -> None:
    fire(agent, NINE + DAY)
    run(agent, NINE + HOUR, trigger="manual", created_by="ada")
    fire(agent, NINE)
    first, second, third = rows(page(ada, url(agent)))
    assert "manual Started by ada." in second
    assert ("Tue 3 Mar" in first, "Mon 2 Mar" in third) == (True, True)


def test_conversations_are_no_runs(ada: Client, agent: Agent) -> None:
    run(agent, trigger="api")
    assert rows(page(ada, url(agent))) == []


def test_times_are_the_viewers(ada: Client, agent: Agent) -> None:
    run(agent)
    ada.cookies["lap_zone"] = "America/New_York"
    (row,) = rows(page(ada, url(agent)))
    assert "Mon 2 Mar 04:00 18:00 JST" in row


@pytest.mark.parametrize("zone", ["", "../x", "/etc/passwd", "Mars/Base"])
def test_a_zone_that_does_not_exist_adds_no_second_time(
    ada: Client, agent: Agent, zone: str
) -> None:
    run(agent)
    Agent.objects.update(cron_timezone=zone)
    (row,) = rows(page(ada, url(agent)))
    assert "Mon 2 Mar 09:00 started" in row


@pytest.mark.parametrize(
    ("only", "hours"),
    [
        ("", [3, 2, 1, 0]),
        ("missed", [0]),
        ("manual", [2]),
        ("started", [3, 1]),
        ("all", [3, 2, 1, 0]),
    ],
)
def test_filters(ada: Client, agent: Agent, only: str, hours: list[int]) -> None:
    fire(agent, NINE)
    run(agent, NINE + HOUR)
    run(agent, NINE + 2 * HOUR, trigger="manual")
    run(agent, NINE + 3 * HOUR, status="failed")
    text = page(ada, url(agent, f"?only={only}"))
    assert [int(row[10:12]) - 9 for row in rows(text)] == hours
    assert len(strip(text)) == 4


@pytest.mark.parametrize("only", ["", "missed"])
def test_pages_hold_every_row_once(ada: Client, agent: Agent, only: str) -> None:
    for n in range(ROWS + 5):
        fire(agent, NINE + n * HOUR)
        if not only:
            run(agent, NINE + (n + 0.5) * HOUR, trigger="manual")
    seen, address = [], url(agent, f"?only={only}")
    while address:
        text = page(ada, address)
        seen += rows(text)
        older = re.search(r'href="([^"]*)">Older<', text)
        address = older[1] if older else ""
    assert len(seen) == len(set(seen)) == (ROWS + 5) * (1 if only else 2)


@pytest.mark.parametrize("before", ["yesterday", "2026-03-02T09:00", "2026-03-02T09:00:00+01:00"])
def test_a_page_that_nobody_handed_out_is_the_newest(
    ada: Client, agent: Agent, before: str
) -> None:
    fire(agent)
    assert len(rows(page(ada, url(agent, f"?before={before}")))) == 1


def test_the_strip_tells_the_last_outcomes_oldest_first(ada: Client, agent: Agent) -> None:
    for n in range(STRIP):
        fire(agent, NINE - n * DAY)
    failed = run(agent, NINE + DAY, status="failed")
    text = page(ada, url(agent))
    assert len(strip(text)) == STRIP
    assert strip(text)[-2:] == [
        "missed, 2026-03-02 09:00:00 UTC",
        "failed, 2026-03-03 09:00:00 UTC",
    ]
    assert f'href="{reverse("session", args=[failed.pk])}" id="strip-{failed.pk}"' in text


# What a place without content teaches


def test_without_a_schedule(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(name="on demand")
    text = page(ada, url(agent))
    assert "This agent has no schedule." in text
    assert f'href="{reverse("edit-schedule", args=[agent.pk])}"' in text


def test_before_the_first_run(ada: Client, agent: Agent) -> None:
    text = page(ada, url(agent))
    assert re.search(r'The first run is due <time [^>]*datetime="2026-03-03T00:00:00Z"', text)


def test_while_paused(ada: Client, agent: Agent) -> None:
    edit_agent(agent.pk, {"cron_enabled": False}, "ada")
    assert "The schedule is paused." in page(ada, url(agent))


def test_while_invalid(ada: Client, agent: Agent) -> None:
    disable_invalid(agent.pk, "it does not parse", clock.now())
    assert "The schedule is invalid and switched off." in page(ada, url(agent))


def test_nothing_of_a_kind(ada: Client, agent: Agent) -> None:
    fire(agent)
    assert "No run of this kind." in page(ada, url(agent, "?only=paused"))


# The fragment


def test_the_agents_page_is_given_a_short_list(ada: Client, agent: Agent) -> None:
    for n in range(ROWS):
        fire(agent, NINE + n * DAY)
    response = ada.get(url(agent), headers=HTMX)
    text = response.content.decode()
    assert "<html" not in text
    assert response["HX-Reswap"] == "outerHTML"
    assert "HX-Request" in response["Vary"]
    assert (len(rows(text)), len(strip(text))) == (EMBEDDED_ROWS, STRIP)
    assert f'href="{url(agent)}">All runs' in text


@pytest.mark.parametrize("query", ["", "?only=missed"])
def test_a_list_that_is_asked_again_answers_only_with_news(
    ada: Client, agent: Agent, query: str
) -> None:
    fire(agent)
    again = asks(page(ada, url(agent, query), **HTMX if not query else {}))
    assert ada.get(again, headers=HTMX).status_code == 204
    fire(agent, NINE + DAY)
    news = ada.get(again, headers=HTMX)
    assert len(rows(news.content.decode())) == 2
    assert ada.get(asks(news.content.decode()), headers=HTMX).status_code == 204


def test_the_end_of_a_run_is_news(ada: Client, agent: Agent) -> None:
    session = run(agent, status="creating")
    again = asks(page(ada, url(agent), **HTMX))
    assert ada.get(again, headers=HTMX).status_code == 204
    Session.objects.filter(pk=session.pk).update(status="failed", stopped_at=NINE)
    assert "failed" in page(ada, again, **HTMX)


def test_an_older_page_does_not_ask_again(ada: Client, agent: Agent) -> None:
    fire(agent)
    assert asks(page(ada, url(agent)))
    older = page(ada, url(agent, f"?before={NINE + DAY:%Y-%m-%dT%H:%M:%S}%2B00:00"))
    assert rows(older)
    assert asks(older) == ""


def asks(text: str) -> str:
    """The address that the list asks for again."""
    found = re.search(r'id="runs"[^>]*hx-get="([^"]*)"', text)
    return unescape(found[1]) if found else ""


@pytest.mark.parametrize(
    "query", ["", "?whole=1", "?whole=1&only=paused", "?whole=1&before=2030-01-01T00:00:00%2B00:00"]
)
def test_what_has_the_focus_is_found_again(ada: Client, agent: Agent, query: str) -> None:
    """By its id, in the news of a live part."""
    for n in range(ROWS + 1):
        run(agent, NINE + n * DAY)
    assert_focusable_have_ids(page(ada, url(agent, query), **HTMX))


@pytest.mark.parametrize("query", ["", "?only=started", "?before=2030-01-01T00:00:00%2B00:00"])
def test_many_rows_cost_the_queries_of_one(
    ada: Client, agent: Agent, query: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(ROWS + 1):
        run(agent, NINE + n * DAY)
        run(agent, NINE + n * DAY + HOUR, trigger="manual")
    with django_assert_max_num_queries(8) as captured:  # cookie, user, worker, agent, 2 lists of 2
        assert len(rows(page(ada, url(agent, query)))) == ROWS
    assert "thread" not in "".join(query["sql"] for query in captured.captured_queries)


# Who may see it


def test_it_is_for_those_who_may_see_the_ledger(client: Client, agent: Agent) -> None:
    assert client.get(url(agent))["Location"].startswith("/login/")
    user = User.objects.create_user("bob")
    client.force_login(user)
    assert client.get(url(agent)).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_cronfire"))
    assert "Run now" not in page(client, url(agent))
    assert client.post(run_url(agent)).status_code == 403


def test_agents_that_are_not_there(ada: Client, agent: Agent) -> None:
    delete_agent(agent.pk, "ada")
    for name in ("runs", "run-agent"):
        for pk in (agent.pk, uuid4()):
            assert ada.get(reverse(name, args=[pk])).status_code == 404
            assert ada.post(reverse("run-agent", args=[pk])).status_code == 404


# Run now


def run_url(agent: Agent) -> str:
    return reverse("run-agent", args=[agent.pk])


def log_in(client: Client, *codenames: str) -> None:
    """As a user who has these permissions only."""
    user = User.objects.create_user("bob")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)


def test_run_now_leads_to_its_session(ada: Client, agent: Agent) -> None:
    response = ada.post(run_url(agent))
    session = Session.objects.get()
    assert (session.trigger, session.created_by) == ("manual", "ada")
    assert response["Location"] == reverse("session", args=[session.pk])


def test_who_may_not_see_the_session_is_led_to_the_agent(client: Client, agent: Agent) -> None:
    log_in(client, "change_agent", "view_agent")
    response = client.post(run_url(agent), follow=True)
    assert response.redirect_chain == [(reverse("agent", args=[agent.pk]), 302)]
    assert response.status_code == 200
    assert "The run was started. Seeing it needs the permission" in response.content.decode()
    assert Session.objects.get().created_by == "bob"


def test_who_may_change_agents_is_asked_about_an_active_run(client: Client, agent: Agent) -> None:
    active = run(agent, status="creating")
    log_in(client, "change_agent")
    response = client.post(run_url(agent), follow=True)
    text = response.content.decode()
    assert response.status_code == 200
    assert "A run of this agent is active already." in text
    assert reverse("session", args=[active.pk]) not in text


def test_opening_the_address_needs_what_running_needs(client: Client, agent: Agent) -> None:
    log_in(client, "view_cronfire")
    assert client.get(run_url(agent)).status_code == 403


def test_run_now_of_a_fragment_leads_the_whole_page_there(ada: Client, agent: Agent) -> None:
    response = ada.post(run_url(agent), headers=HTMX)
    assert response["HX-Redirect"] == reverse("session", args=[Session.objects.get().pk])


def test_an_active_run_is_shown_first(ada: Client, agent: Agent) -> None:
    active = run(agent, status="creating")
    response = ada.post(run_url(agent), follow=True)
    text = response.content.decode()
    assert Session.objects.count() == 1
    assert "A run of this agent is active already." in text
    assert reverse("session", args=[active.pk]) in text
    ada.post(run_url(agent), {"force": "1"})
    assert Session.objects.filter(trigger="manual").count() == 1


def test_opening_the_address_starts_nothing(ada: Client, agent: Agent) -> None:
    assert "The agent is told what its scheduled runs are told." in page(ada, run_url(agent))
    assert not Session.objects.exists()


def test_a_paused_agent_runs_too(ada: Client, agent: Agent) -> None:
    edit_agent(agent.pk, {"cron_enabled": False}, "ada")
    ada.post(run_url(agent))
    assert Session.objects.filter(trigger="manual").count() == 1
