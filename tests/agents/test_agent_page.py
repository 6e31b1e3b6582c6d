"""The page of an agent, and the row of its schedule while nobody edits it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from agents.editing import delete_agent, edit_agent
from agents.models import Agent
from lap.core import clock
from tests.agents.browser import messages_of, spoil
from tests.agents.html import attr, find, parsed, text
from tests.api import NOBODY
from tests.conftest import MakeAgent, SetClock

ROW = {"HX-Request": "true", "HX-Target": "schedule-now"}
CHANGED = {"HX-Request": "true", "HX-Target": "schedule"}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def url(agent: Agent | UUID | str, name: str = "agent") -> str:
    return reverse(name, args=[agent.id if isinstance(agent, Agent) else agent])


def page_of(client: Client, agent: Agent, **options: Any) -> str:
    response = client.get(url(agent), **options)
    assert response.status_code == 200
    return unescape(response.content.decode())


def row_of(client: Client, agent: Agent) -> str:
    return page_of(client, agent, headers=ROW)


@pytest.fixture
def reader(client: Client, db: None) -> Client:
    """A browser of somebody who may only look at agents."""
    user = User.objects.create(username="reader")
    user.user_permissions.add(Permission.objects.get(codename="view_agent"))
    client.force_login(user)
    return client


# The page


def test_it_shows_the_configuration_and_no_secret(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(
        name="Sweeper", prompt="Sweep <b>well</b>.", repo_url="https://git.example.com/x",
        branch="next", env_vars={"TOKEN": "s3cret-value", "masked": "s3cret-too"},
        mcp_servers=[{"name": "docs", "url": "https://u:s3cret-pass@mcp.example.com"}],
        sandbox_files=[{"path": "etc/motd", "content": "s3cret-content"}],
        allow_out=["pypi.org"], requirements="httpx\nrich",
    )  # fmt: skip
    page = page_of(ada, agent)
    for shown in (
        "Sweeper", "Sweep <b>well</b>.", "https://git.example.com/x", "branch next", "TOKEN",
        "masked", "docs", "etc/motd", "pypi.org", "httpx, rich", str(agent.id), "No schedule",
    ):  # fmt: skip
        assert shown in page
    assert "s3cret" not in page
    assert "<b>well</b>" not in ada.get(url(agent)).content.decode()


def test_what_is_not_set_is_not_shown(ada: Client, make_agent: MakeAgent) -> None:
    page = page_of(ada, make_agent())
    for label in ("Prompt", "Repository", "Environment", "MCP servers", "Network"):
        assert f"<dt>{label}" not in page


def test_a_long_prompt_is_folded(ada: Client, make_agent: MakeAgent) -> None:
    assert '<details class="long">' in page_of(ada, make_agent(prompt="Sweep. " * 100))
    assert '<details class="long">' not in page_of(ada, make_agent(prompt="Sweep."))


def test_it_leads_to_all_that_can_be_done(ada: Client, nightly: Agent) -> None:
    page = page_of(ada, nightly)
    for name in ("run-agent", "new-session", "edit-agent", "delete-agent", "edit-schedule", "runs"):
        assert url(nightly, name) in page
    assert f"{reverse('sessions')}?agent={nightly.id}" in page


def test_an_agent_with_an_active_session_is_active(ada: Client, nightly: Agent) -> None:
    assert "active</span>" not in page_of(ada, nightly)
    nightly.sessions.create()
    assert "active</span>" in page_of(ada, nightly)


def test_who_may_only_look_is_offered_nothing_else(reader: Client, nightly: Agent) -> None:
    page = page_of(reader, nightly)
    for name in ("run-agent", "new-session", "edit-agent", "delete-agent", "edit-schedule"):
        assert f'"{url(nightly, name)}"' not in page
    assert "schedule-switch" not in page
    assert reader.get(url(nightly, "edit-schedule")).status_code == 403
    assert reader.post(url(nightly, "edit-schedule")).status_code == 403
    assert reader.post(url(nightly, "toggle-schedule")).status_code == 403
    nightly.refresh_from_db()
    assert nightly.cron_enabled


@pytest.mark.parametrize("name", ["agent", "edit-schedule"])
def test_an_agent_that_is_not_there_is_404(ada: Client, nightly: Agent, name: str) -> None:
    delete_agent(nightly.id, "test")
    assert ada.get(url(nightly, name)).status_code == 404
    assert ada.get(url(NOBODY, name)).status_code == 404


@pytest.mark.parametrize("name", ["edit-schedule", "toggle-schedule"])
def test_nothing_is_written_to_an_agent_that_is_not_there(
    ada: Client, nightly: Agent, name: str
) -> None:
    delete_agent(nightly.id, "test")
    assert ada.post(url(nightly, name), {"enabled": "on"}).status_code == 404
    assert ada.post(url(NOBODY, name)).status_code == 404


def test_it_asks_the_database_little(
    ada: Client, nightly: Agent, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(6):  # session, user, agent, is it active, clock, workers
        page_of(ada, nightly)
    with django_assert_max_num_queries(4):
        row_of(ada, nightly)


# The row


def test_it_says_when_it_ran_and_when_it_runs_next(
    ada: Client, nightly: Agent, set_clock: SetClock
) -> None:
    set_clock(NOON)
    edit_agent(nightly.id, {"cron_schedule": "0 9 * * 1-5"}, "test")
    Agent.objects.update(cron_last_fired_at=NOON - timedelta(hours=22))
    ada.cookies["lap_zone"] = "Europe/Berlin"
    row = row_of(ada, nightly)
    assert "Weekdays at 09:00 (America/New_York)" in row
    assert "0 9 * * 1-5" in row
    assert "Mon 23 Nov 15:00" in row
    assert "Sun 22 Nov 15:00" in row
    assert "enabled</span>" in row
    assert "<html" not in row


def test_an_instant_that_has_come_is_due(ada: Client, nightly: Agent, set_clock: SetClock) -> None:
    assert nightly.cron_next_fire_at is not None
    set_clock(nightly.cron_next_fire_at - timedelta(seconds=30))
    assert "due now" not in row_of(ada, nightly)
    set_clock(nightly.cron_next_fire_at + timedelta(seconds=30))
    assert "due now" in row_of(ada, nightly)


def test_a_paused_schedule_shows_no_next_run(
    ada: Client, nightly: Agent, set_clock: SetClock
) -> None:
    edit_agent(nightly.id, {"cron_enabled": False}, "test")
    assert nightly.cron_next_fire_at is not None
    set_clock(nightly.cron_next_fire_at + timedelta(days=3))
    row = row_of(ada, nightly)
    assert "none while paused" in row
    assert "paused</span>" in row
    assert nightly.cron_next_fire_at.strftime("%Y-%m-%d") not in row


def test_an_invalid_schedule_says_why_it_is_paused(ada: Client, nightly: Agent) -> None:
    spoil(nightly)
    row = row_of(ada, nightly)
    assert "@daily (America/New_York)" in row
    assert "LAP paused it: it does not parse" in row


def test_a_blocked_schedule_says_why_and_until_when(ada: Client, nightly: Agent) -> None:
    until = clock.now() + timedelta(minutes=5)
    Agent.objects.update(cron_blocked_until=until, cron_blocked_reason="a bad row")
    row = row_of(ada, nightly)
    assert "blocked</span>" in row
    assert f"{until:%H:%M}" in row
    assert "a bad row" in row
    Agent.objects.update(cron_blocked_until=clock.now())
    assert "enabled</span>" in row_of(ada, nightly)


def test_without_a_schedule_it_teaches(ada: Client, make_agent: MakeAgent) -> None:
    row = row_of(ada, make_agent())
    assert "Set schedule" in row
    assert "five cron fields" in row
    assert "enabled</span>" not in row
    assert "schedule-switch" not in row


def test_the_row_takes_the_focus_only_where_it_was_asked_for(ada: Client, nightly: Agent) -> None:
    assert "autofocus" not in row_of(ada, nightly)
    assert "autofocus" in page_of(ada, nightly, headers=CHANGED)


# The switch


def toggle(client: Client, agent: Agent, *, on: bool, **sent: str) -> Any:
    fields = {"enabled": "on", **sent} if on else sent
    return client.post(url(agent, "toggle-schedule"), fields, headers=CHANGED)


def test_it_switches_in_place(ada: Client, nightly: Agent) -> None:
    assert "paused</span>" in toggle(ada, nightly, on=False).content.decode()
    nightly.refresh_from_db()
    assert not nightly.cron_enabled
    assert "enabled</span>" in toggle(ada, nightly, on=True).content.decode()
    nightly.refresh_from_db()
    assert nightly.cron_enabled
    assert [change.actor for change in nightly.schedule_changes.toggles()] == ["ada", "ada"]


def test_switching_twice_the_same_way_is_one_change(ada: Client, nightly: Agent) -> None:
    toggle(ada, nightly, on=False)
    toggle(ada, nightly, on=False)
    assert nightly.schedule_changes.toggles().count() == 1


def test_enabling_an_invalid_schedule_is_refused_in_place(ada: Client, nightly: Agent) -> None:
    spoil(nightly)
    response = toggle(ada, nightly, on=True)
    assert response.status_code == 200
    assert 'invalid cron_schedule "@daily"' in unescape(response.content.decode())
    nightly.refresh_from_db()
    assert not nightly.cron_enabled


def test_in_the_list_it_answers_with_the_lists_row(ada: Client, nightly: Agent) -> None:
    response = toggle(ada, nightly, on=False, **{"from": "list"})
    assert f'<tr id="agent-{nightly.id}">' in response.content.decode()
    spoil(nightly)
    refused = toggle(ada, nightly, on=True, **{"from": "list"}).content.decode()
    assert "names such as @daily are not supported" in refused


@pytest.mark.parametrize("from_list", [True, False])
def test_without_htmx_it_leads_back(ada: Client, nightly: Agent, from_list: bool) -> None:
    back = reverse("agents") if from_list else url(nightly)
    sent = {"from": "list"} if from_list else {}
    response = ada.post(url(nightly, "toggle-schedule"), sent)
    assert (response.status_code, response["Location"]) == (302, back)
    spoil(nightly)
    response = ada.post(url(nightly, "toggle-schedule"), {**sent, "enabled": "on"}, follow=True)
    assert "invalid cron_schedule" in messages_of(response)[0]


# Instants inside a pause


def paused_since(agent: Agent, at: datetime, set_clock: SetClock) -> None:
    set_clock(at)
    edit_agent(agent.id, {"cron_schedule": "0 9 * * *", "cron_timezone": "UTC"}, "test")
    edit_agent(agent.id, {"cron_enabled": False}, "test")


def test_a_resumed_schedule_runs_next_after_the_pause(
    ada: Client, nightly: Agent, set_clock: SetClock
) -> None:
    paused_since(nightly, NOON - timedelta(days=4), set_clock)
    set_clock(NOON)
    for row in (toggle(ada, nightly, on=True).content.decode(), row_of(ada, nightly)):
        assert "Tue 24 Nov 09:00" in row
        assert "due now" not in row
        assert "20 Nov" not in row


def test_what_came_after_the_resume_is_due(
    ada: Client, nightly: Agent, set_clock: SetClock
) -> None:
    paused_since(nightly, NOON - timedelta(days=4), set_clock)
    set_clock(NOON)
    edit_agent(nightly.id, {"cron_enabled": True}, "test")
    set_clock(NOON + timedelta(hours=22))
    assert "due now" in row_of(ada, nightly)


def test_a_pause_before_the_next_instant_changes_nothing(
    ada: Client, nightly: Agent, set_clock: SetClock
) -> None:
    paused_since(nightly, NOON, set_clock)
    edit_agent(nightly.id, {"cron_enabled": True}, "test")
    assert "Tue 24 Nov 09:00" in row_of(ada, nightly)
    set_clock(NOON + timedelta(hours=22))
    assert "due now" in row_of(ada, nightly)


def test_a_resume_is_asked_for_only_where_an_instant_has_come(
    ada: Client, nightly: Agent, set_clock: SetClock, django_assert_num_queries: Any
) -> None:
    assert nightly.cron_next_fire_at is not None
    with django_assert_num_queries(4):
        row_of(ada, nightly)
    set_clock(nightly.cron_next_fire_at + timedelta(seconds=30))
    with django_assert_num_queries(5):
        row_of(ada, nightly)


# Rows that later rules refuse


BAD_ZONES = ["", "../etc/passwd", "Mars/Base", "é"]


@pytest.mark.parametrize("zone", BAD_ZONES)
@pytest.mark.parametrize("name", ["agent", "edit-schedule"])
def test_a_zone_that_does_not_exist_is_shown_as_not_valid(
    ada: Client, nightly: Agent, name: str, zone: str
) -> None:
    Agent.objects.update(cron_timezone=zone)
    response = ada.get(url(nightly, name))
    assert response.status_code == 200
    assert (
        "not valid" if name == "agent" else "invalid cron_timezone"
    ) in response.content.decode()


@pytest.mark.parametrize(
    "stored", [{"harness_id": "gone"}, {"model": ""}, {"cron_timezone": "Mars/Base"}]
)
def test_a_row_that_later_rules_refuse_can_be_paused(
    ada: Client, nightly: Agent, stored: dict[str, Any]
) -> None:
    Agent.objects.update(**stored)
    assert "paused</span>" in toggle(ada, nightly, on=False).content.decode()
    nightly.refresh_from_db()
    assert not nightly.cron_enabled


def test_a_zone_that_does_not_exist_is_not_enabled(ada: Client, nightly: Agent) -> None:
    Agent.objects.update(cron_timezone="Mars/Base", cron_enabled=False)
    assert "invalid cron_timezone" in toggle(ada, nightly, on=True).content.decode()
    nightly.refresh_from_db()
    assert not nightly.cron_enabled


# What is offered to whom


def test_new_session_is_a_link_to_its_form(ada: Client, nightly: Agent) -> None:
    [link] = find(parsed(ada.get(url(nightly))), f'a[href="{url(nightly, "new-session")}"]')
    assert text(link) == "New session"
    assert ada.get(attr(link, "href")).status_code == 200


def test_runs_and_sessions_are_shown_to_who_may_see_them(reader: Client, nightly: Agent) -> None:
    nightly.sessions.create()
    page = page_of(reader, nightly)
    assert "active</span>" in page
    assert url(nightly, "runs") not in page
    assert f"{reverse('sessions')}?agent=" not in page


@pytest.mark.parametrize(
    ("fields", "lacks"),
    [
        ({"cron_schedule": "0 9 * * *"}, True),
        ({"cron_schedule": "0 9 * * *", "cron_prompt": "uptime"}, False),
        ({"cron_schedule": "0 9 * * *", "harness_id": "opencode"}, False),
        ({}, False),
    ],
)
def test_a_schedule_without_a_script_is_pointed_out(
    ada: Client, make_agent: MakeAgent, fields: dict[str, Any], lacks: bool
) -> None:
    page = page_of(ada, make_agent(**fields))
    assert ("Its runs will fail: the shell harness runs its prompt as a script" in page) is lacks


def test_it_shows_what_a_scheduled_run_is_told(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(cron_prompt="df -h <all>")
    assert "df -h &lt;all&gt;" in ada.get(url(agent)).content.decode()
