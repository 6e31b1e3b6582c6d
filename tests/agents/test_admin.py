"""Agents in Django's admin: secrets, deleting, actions, the list."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from agents.editing import create_agent, delete_agent, edit_agent
from agents.models import Agent
from lap.core import clock
from lap.core.secrets import MASK
from tests.agents.browser import (
    ADD,
    LIST,
    change_url,
    messages_of,
    page_form,
    row,
    save,
    spoil,
)
from tests.conftest import SetClock

# Secrets


def test_stored_secrets_never_reach_a_page(ada: Client, nightly: Agent) -> None:
    for url in (LIST, change_url(nightly), f"{change_url(nightly)}../history/"):
        page = ada.get(url).content.decode()
        assert "s3cret-value" not in page
    page = unescape(ada.get(change_url(nightly)).content.decode())
    assert f'"TOKEN": "{MASK}"' in page
    assert f'"REGION": "{MASK}"' in page


def test_a_page_with_errors_keeps_stored_secrets_masked(ada: Client, nightly: Agent) -> None:
    page = save(ada, nightly, model="").content.decode()
    assert "s3cret-value" not in page
    assert MASK in page


def test_somebody_who_may_only_look_sees_names_only(client: Client, nightly: Agent) -> None:
    bob = User.objects.create(username="bob", is_staff=True)
    bob.user_permissions.add(Permission.objects.get(codename="view_agent"))
    client.force_login(bob)
    page = client.get(change_url(nightly)).content.decode()
    assert "TOKEN" in page
    assert "s3cret-value" not in page
    assert client.post(change_url(nightly), {"name": "x"}).status_code == 403
    assert "clear_schedule" not in client.get(LIST).content.decode()


def test_somebody_who_may_only_look_sees_files_and_servers_by_name(
    client: Client, nightly: Agent
) -> None:
    secret = {"Authorization": "Bearer s3cret-value"}
    listed = {
        "mcp_servers": [{"name": "docs-server", "headers": secret}],
        "tools": [{"name": "fetch-tool", "headers": secret}],
        "attached_skill_ids": [{"name": "some-skill", "headers": secret}],
        "sandbox_files": [{"path": "etc/some-key", "content": "s3cret-value"}],
    }
    edit_agent(nightly.pk, listed, "test")
    bob = User.objects.create(username="bob", is_staff=True)
    bob.user_permissions.add(Permission.objects.get(codename="view_agent"))
    client.force_login(bob)
    page = client.get(change_url(nightly)).content.decode()
    assert "s3cret-value" not in page
    for name in ("docs-server", "fetch-tool", "some-skill", "etc/some-key"):
        assert name in page


def test_masks_keep_values_and_the_rest_is_replaced(ada: Client, nightly: Agent) -> None:
    save(ada, nightly, env_vars=json.dumps({"TOKEN": MASK, "NEW": "new"}))
    nightly.refresh_from_db()
    assert dict(nightly.env_vars) == {"TOKEN": "s3cret-value", "NEW": "new"}


def test_variables_that_were_typed_stay_when_another_field_is_wrong(
    ada: Client, nightly: Agent
) -> None:
    typed = json.dumps({"TOKEN": "typed just now"})
    response = save(ada, nightly, model="", env_vars=typed)
    assert page_form(response)["env_vars"].value() == typed


def test_an_emptied_map_removes_all_variables(ada: Client, nightly: Agent) -> None:
    save(ada, nightly, env_vars="")
    nightly.refresh_from_db()
    assert dict(nightly.env_vars) == {}


# Deleting


def test_deleting_is_soft_and_says_what_happens(ada: Client, nightly: Agent) -> None:
    url = reverse("admin:agents_agent_delete", args=[nightly.pk])
    page = ada.get(url).content.decode()
    assert "Its schedule is cleared" in page
    assert "stay readable" in page
    assert ada.post(url, {"post": "yes"}).status_code == 302
    nightly.refresh_from_db()
    assert nightly.deleted_at is not None
    assert nightly.cron_schedule is None
    assert nightly.schedule_changes.latest("id").actor == "ada"
    assert "Nightly" not in ada.get(LIST).content.decode().split('id="changelist-form"')[1]
    assert ada.get(change_url(nightly)).status_code == 302


def test_several_are_deleted_by_the_action_after_a_confirmation(ada: Client) -> None:
    agents = [create_agent({"name": f"a{n}", "model": "none"}, "test") for n in range(3)]
    asked = act(ada, "delete_selected", *agents)
    assert "Its schedule is cleared" in asked.content.decode()
    assert Agent.objects.alive().count() == 3
    act(ada, "delete_selected", *agents, post="yes")
    assert not Agent.objects.alive().exists()
    assert Agent.objects.count() == 3


# Actions


def act(client: Client, action: str, *agents: Agent, **more: str) -> Any:
    sent = {"action": action, "_selected_action": [str(agent.pk) for agent in agents], **more}
    return client.post(LIST, sent, follow=True)


def test_disable_and_enable_leave_the_next_instant(ada: Client, nightly: Agent) -> None:
    response = act(ada, "disable", nightly)
    nightly.refresh_from_db()
    due = nightly.cron_next_fire_at
    assert messages_of(response) == ["Disabled 1 schedule."]
    assert not nightly.cron_enabled
    act(ada, "enable", nightly)
    nightly.refresh_from_db()
    assert nightly.cron_enabled
    assert nightly.cron_next_fire_at == due
    toggles = nightly.schedule_changes.toggles().values_list("actor", "enabled_after")
    assert list(toggles) == [("ada", False), ("ada", True)]


def test_clearing_removes_the_schedule_of_the_selected_only(ada: Client, nightly: Agent) -> None:
    other = create_agent({"model": "none", "cron_schedule": "0 9 * * *"}, "test")
    act(ada, "clear_schedule", nightly)
    assert row(nightly)["cron_schedule"] is None
    assert row(other)["cron_schedule"] == "0 9 * * *"


def test_what_one_agent_refuses_keeps_no_other_from_changing(ada: Client, nightly: Agent) -> None:
    other = create_agent({"model": "none", "cron_enabled": False}, "test")
    spoil(nightly)
    response = act(ada, "enable", nightly, other)
    done, refused = messages_of(response)
    assert done == "Enabled 1 schedule."
    assert refused.startswith('“Nightly report”: invalid cron_schedule "@daily"')
    assert not row(nightly)["cron_enabled"]
    assert row(other)["cron_enabled"]


def test_many_refusals_are_summed_up(ada: Client) -> None:
    agents = [create_agent({"model": "none", "cron_schedule": "* * * * *"}, "t") for _ in range(13)]
    for agent in agents:
        spoil(agent)
    sentences = messages_of(act(ada, "enable", *agents))
    assert len(sentences) == 11
    assert sentences[-1] == "… and 3 more."


# The list


def test_the_list_says_when_an_agent_runs(ada: Client, nightly: Agent) -> None:
    page = unescape(ada.get(LIST).content.decode())
    assert "Daily at 09:00 (America/New_York)" in page
    assert '<span class="lap-badge lap-good">enabled</span>' in page
    assert f"{nightly.cron_next_fire_at:%Y-%m-%d %H:%M} UTC" in page


def test_a_paused_agent_shows_paused_and_no_time_in_the_past(ada: Client, nightly: Agent) -> None:
    due = datetime(2020, 1, 1, 14, tzinfo=UTC)
    Agent.objects.filter(pk=nightly.pk).update(cron_next_fire_at=due, cron_enabled=False)
    page = ada.get(LIST).content.decode()
    assert '<td class="field-next_run">paused</td>' in page
    assert "2020-01-01" not in page


def test_an_agent_that_nobody_looked_at_is_due(ada: Client, nightly: Agent) -> None:
    due = datetime(2020, 1, 1, 14, tzinfo=UTC)
    Agent.objects.filter(pk=nightly.pk).update(cron_next_fire_at=due)
    assert "due since 2020-01-01 14:00 UTC" in ada.get(LIST).content.decode()


def test_the_reason_stands_beside_the_badge(ada: Client, nightly: Agent) -> None:
    later = clock.now() + timedelta(minutes=5)
    blocked = {"cron_blocked_until": later, "cron_blocked_reason": "<b>KeyError</b>"}
    Agent.objects.filter(pk=nightly.pk).update(**blocked)
    page = ada.get(LIST).content.decode()
    assert "&lt;b&gt;KeyError&lt;/b&gt;" in page
    assert '<span class="lap-badge lap-bad">blocked</span>' in page
    spoil(nightly)
    page = ada.get(LIST).content.decode()
    assert '<span class="lap-badge lap-warn">paused</span>' in page
    assert "it does not parse" in page
    assert "not valid: @daily (America/New_York)" in page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?schedule=yes", {"nightly", "paused"}),
        ("?schedule=no", {"plain"}),
        ("?cron_enabled__exact=0", {"paused"}),
        ("?harness_id__exact=opencode", {"plain"}),
        ("?q=NIGHT", {"nightly"}),
    ],
)
def test_filters_and_search(ada: Client, query: str, names: set[str]) -> None:
    shell = {"model": "none", "harness_id": "shell", "cron_schedule": "0 9 * * *"}
    create_agent({**shell, "name": "nightly"}, "test")
    create_agent({**shell, "name": "paused", "cron_enabled": False}, "test")
    create_agent({"model": "none", "name": "plain"}, "test")
    found = ada.get(LIST + query).context["cl"].result_list
    assert {agent.name for agent in found} == names


def test_due_and_blocked_are_told_by_the_clock_that_decides(
    ada: Client, nightly: Agent, set_clock: SetClock
) -> None:
    assert "due since" not in ada.get(LIST).content.decode()
    set_clock(clock.now() + timedelta(days=2))
    assert "due since" in ada.get(LIST).content.decode()


def test_it_finds_an_agent_by_its_id(ada: Client, nightly: Agent) -> None:
    create_agent({"model": "none"}, "test")
    for part in (str(nightly.pk), str(nightly.pk)[:13].upper()):
        found = ada.get(LIST, {"q": part}).context["cl"].result_list
        assert [agent.pk for agent in found] == [nightly.pk]


def test_fifty_rows_cost_the_queries_of_one(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(50):
        fields = {"name": f"a{n}", "model": "none", "cron_schedule": f"{n} 9 * * *"}
        create_agent({**fields, "env_vars": {"TOKEN": "s3cret"}}, "test")
    with django_assert_num_queries(5):  # cookie, user, clock, count, rows
        page = ada.get(LIST).content.decode()
    assert page.count("lap-badge") == 50


def test_changes_are_listed_for_reading_only(
    ada: Client, nightly: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(49):
        edit_agent(nightly.pk, {"cron_schedule": f"{n} 10 * * *"}, "bob")
    url = "/admin/agents/schedulechange/"
    with django_assert_num_queries(4):
        page = ada.get(url).content.decode()
    assert "48 10 * * * (America/New_York)" in page
    assert page.count("Nightly report") == 50
    detail = f"{url}{nightly.schedule_changes.latest('id').pk}/change/"
    assert ada.get(detail).status_code == 200
    assert ada.post(detail, {"actor": "mallory"}).status_code == 403
    assert ada.get(f"{url}add/").status_code == 403


def test_changes_of_one_agent(ada: Client, nightly: Agent) -> None:
    other = create_agent({"name": "Other", "model": "none", "cron_schedule": "0 9 * * *"}, "test")
    url = "/admin/agents/schedulechange/"
    response = ada.get(url, {"agent__id__exact": str(nightly.pk)})
    assert {change.agent_id for change in response.context["cl"].result_list} == {nightly.pk}
    assert "Other" not in response.content.decode()
    delete_agent(other.pk, "test")
    assert "Other (deleted)" in ada.get(url).content.decode()
    assert ada.get(url, {"agent__id__exact": "nonsense"}).status_code in {200, 302}


@pytest.mark.parametrize("path", ["nonsense/change/", "nonsense/delete/", "nonsense/history/"])
def test_an_unknown_agent_leads_back_with_a_message(ada: Client, path: str) -> None:
    response = ada.get(LIST + path, follow=True)
    assert "Perhaps it was deleted?" in messages_of(response)[0]
    assert ada.post(LIST + path, {"post": "yes"}).status_code == 302


def test_the_site_is_called_lap_and_its_style_sheet_exists(ada: Client) -> None:
    page = ada.get(LIST).content.decode()
    assert admin.site.site_header == "LAP"
    assert "lap/admin.css" in page
    assert (settings.BASE_DIR / "static" / "lap" / "admin.css").is_file()


def test_no_page_has_inline_styles_or_scripts(ada: Client, nightly: Agent) -> None:
    for url in (LIST, ADD, change_url(nightly)):
        page = ada.get(url).content.decode()
        assert " style=" not in page
        assert "<style" not in page
        assert "<script>" not in page
        assert "http://" not in page.replace("http://www.w3.org", "")
