"""Agents in Django's admin: the same rules as every other door, and one way to write."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection, connections, transaction
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from agents.editing import create_agent, delete_agent, disable_invalid, edit_agent
from agents.forms import AgentForm
from agents.models import Agent, ScheduleChange
from lap.core import clock
from lap.core.secrets import MASK
from scheduler.cron import CronError, parse

LIST = "/admin/agents/agent/"
ADD = "/admin/agents/agent/add/"
DATA = Path(__file__).parents[1] / "scheduler" / "data"
INVALID = [
    (case["expr"], case["tz"])
    for case in json.loads((DATA / "invalid_public.json").read_text())
    if case["expr"].strip()
]
PRINTS_SECRET = "echo $TOKEN\nexit 0\n"


@pytest.fixture
def ada(db: None, client: Client) -> Client:
    """A browser in which a superuser is logged in."""
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def nightly(db: None) -> Agent:
    """An agent with a schedule, a script and a secret."""
    fields = {
        "name": "Nightly report",
        "model": "none",
        "harness_id": "shell",
        "cron_schedule": "0 9 * * *",
        "cron_timezone": "America/New_York",
        "cron_prompt": PRINTS_SECRET,
        "env_vars": {"TOKEN": "s3cret-value", "REGION": "eu"},
        "tools": ["bash"],
    }
    return create_agent(fields, "test")


def change_url(agent: Agent) -> str:
    return reverse("admin:agents_agent_change", args=[agent.pk])


def sent_by_browser(form: forms.BaseForm) -> dict[str, str]:
    """What a browser sends of a form that nobody touched: lines end in CRLF there."""
    sent: dict[str, str] = {}
    for field in form:
        value = field.value()
        if isinstance(field.field.widget, forms.CheckboxInput):
            sent |= {field.html_name: "on"} if value else {}
        else:
            sent[field.html_name] = "" if value is None else str(value).replace("\n", "\r\n")
    return sent


def page_form(response: Any) -> forms.BaseForm:
    form: forms.BaseForm = response.context["adminform"].form
    return form


def opened(client: Client, url: str) -> dict[str, str]:
    """Open a form's page and return what it would send."""
    return sent_by_browser(page_form(client.get(url)))


def save(client: Client, agent: Agent, **typed: str) -> Any:
    """Type into the agent's form and press Save; spares the time to render the page first."""
    untouched = sent_by_browser(AgentForm(instance=Agent.objects.get(pk=agent.pk)))
    return client.post(change_url(agent), {**untouched, **typed})


def row(agent: Agent) -> dict[str, Any]:
    return {**Agent.objects.filter(pk=agent.pk).values().get()}


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def sentence_of(expression: str, timezone: str) -> str:
    with pytest.raises(CronError) as caught:
        parse(expression, timezone)
    return str(caught.value)


# Writing


def test_it_creates_an_agent_through_the_one_editing_function(ada: Client) -> None:
    typed = {"name": "New", "model": "none", "harness_id": "shell", "cron_schedule": "*/5 * * * *"}
    response = ada.post(ADD, {**opened(ada, ADD), **typed})
    agent = Agent.objects.get(name="New")
    assert response.status_code == 302
    assert agent.created_by == "ada"
    assert agent.cron_timezone == "UTC"
    assert agent.cron_next_fire_at is not None
    assert agent.tools == []
    assert [change.actor for change in agent.schedule_changes.all()] == ["ada"]


def test_it_leaves_an_untouched_agent_alone(ada: Client, nightly: Agent) -> None:
    before, sent = row(nightly), opened(ada, change_url(nightly))
    assert ada.post(change_url(nightly), sent).status_code == 302
    assert row(nightly) == before
    assert sent == sent_by_browser(AgentForm(instance=nightly))


def test_a_new_name_does_not_touch_the_schedule(ada: Client, nightly: Agent) -> None:
    changes = ScheduleChange.objects.count()
    save(ada, nightly, name="Renamed")
    nightly.refresh_from_db()
    assert (nightly.name, nightly.version) == ("Renamed", 2)
    assert nightly.cron_prompt == PRINTS_SECRET
    assert ScheduleChange.objects.count() == changes


def test_a_new_schedule_is_counted_from_now_and_recorded(ada: Client, nightly: Agent) -> None:
    save(ada, nightly, cron_schedule="*/5 * * * *", cron_timezone="Asia/Tokyo")
    nightly.refresh_from_db()
    change = nightly.schedule_changes.latest("id")
    assert nightly.cron_next_fire_at is not None
    assert nightly.cron_next_fire_at - clock.now() <= timedelta(minutes=5)
    assert (change.actor, change.schedule_before) == ("ada", "0 9 * * *")
    assert (change.schedule_after, change.timezone_after) == ("*/5 * * * *", "Asia/Tokyo")


@pytest.mark.parametrize("typed", ["", "   "])
def test_an_empty_schedule_clears(ada: Client, nightly: Agent, typed: str) -> None:
    assert save(ada, nightly, cron_schedule=typed).status_code == 302
    nightly.refresh_from_db()
    assert (nightly.cron_schedule, nightly.cron_next_fire_at) == (None, None)


def test_an_empty_prompt_of_scheduled_runs_means_the_default(ada: Client, nightly: Agent) -> None:
    save(ada, nightly, cron_prompt="")
    nightly.refresh_from_db()
    assert nightly.cron_prompt is None


def test_a_field_that_is_not_sent_is_left_alone(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, change_url(nightly)) | {"name": "Renamed"}
    for absent in ("cron_timezone", "cron_schedule", "env_vars", "tools"):
        del sent[absent]
    assert ada.post(change_url(nightly), sent).status_code == 302
    nightly.refresh_from_db()
    assert nightly.name == "Renamed"
    assert (nightly.cron_schedule, nightly.cron_timezone) == ("0 9 * * *", "America/New_York")
    assert nightly.env_vars["TOKEN"] == "s3cret-value"


def test_server_managed_columns_are_not_believed(ada: Client, nightly: Agent) -> None:
    before = row(nightly)
    save(
        ada, nightly, cron_next_fire_at="2020-01-01 00:00", cron_last_fired_at="2020-01-01 00:00",
        version="99", deleted_at="2020-01-01 00:00", created_by="mallory",
    )  # fmt: skip
    assert row(nightly) == before


# Bad input


@pytest.mark.parametrize(("expression", "timezone"), INVALID)
def test_a_bad_pair_is_refused_with_the_contracts_sentence(
    ada: Client, nightly: Agent, expression: str, timezone: str
) -> None:
    before, changes = row(nightly), ScheduleChange.objects.count()
    sentence = sentence_of(expression, timezone)
    field = "cron_timezone" if sentence.startswith("invalid cron_timezone") else "cron_schedule"
    response = save(ada, nightly, cron_schedule=expression, cron_timezone=timezone)
    form = page_form(response)
    assert form.errors == {field: [sentence]}
    assert sentence in unescape(response.content.decode())
    assert form["cron_schedule"].value() == expression
    assert form["cron_timezone"].value() == timezone
    assert row(nightly) == before
    assert ScheduleChange.objects.count() == changes


@pytest.mark.parametrize(("expression", "timezone"), INVALID[::7])
def test_a_bad_pair_creates_nothing(ada: Client, expression: str, timezone: str) -> None:
    typed = {"model": "none", "cron_schedule": expression, "cron_timezone": timezone}
    response = ada.post(ADD, {**opened(ada, ADD), **typed})
    errors = page_form(response).errors
    assert [sentence_of(expression, timezone)] in errors.values()
    assert not Agent.objects.exists()


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("tools", "{"),
        ("tools", '{"a": 1}'),
        ("tools", "[NaN]"),
        ("tools", '["\\ud800"]'),
        ("tools", '["\\u0000"]'),
        ("tools", "9" * 5000),
        ("tools", "[" * 100_000),
        ("sandbox_files", '[{"path": "../x", "content": ""}]'),
        ("env_vars", "[]"),
        ("env_vars", '{"PORT": "1"}'),
        ("env_vars", '{"A": 1}'),
        ("env_vars", '{"A": "\\ud800"}'),
        ("env_vars", f'{{"UNKNOWN": "{MASK}"}}'),
        ("harness_id", "perl"),
        ("cron_overlap_policy", "queue"),
        ("cron_catchup_policy", "all"),
        ("cron_run_timeout_seconds", "0"),
        ("cron_catchup_window_seconds", "-1"),
        ("preload_memory_limit", "99999999999999"),
        ("name", "a\0b"),
        ("name", "x" * 201),
        ("prompt", "a\0b"),
        ("model", ""),
    ],
)
def test_bad_values_are_errors_of_their_field(
    ada: Client, nightly: Agent, field: str, typed: str
) -> None:
    before = row(nightly)
    response = save(ada, nightly, **{field: typed})
    assert list(page_form(response).errors) == [field]
    assert row(nightly) == before


def test_an_invalid_schedule_may_stay_while_it_is_off(ada: Client, nightly: Agent) -> None:
    spoil(nightly)
    assert save(ada, nightly, name="Renamed").status_code == 302
    nightly.refresh_from_db()
    assert nightly.name == "Renamed"
    assert nightly.cron_disabled_reason == "it does not parse"


@pytest.mark.parametrize("typed", [{"cron_enabled": "on"}, {"cron_schedule": "61 * * * *"}])
def test_an_invalid_schedule_is_judged_when_it_is_edited_or_enabled(
    ada: Client, nightly: Agent, typed: dict[str, str]
) -> None:
    spoil(nightly)
    before = row(nightly)
    response = save(ada, nightly, **typed)
    assert list(page_form(response).errors) == ["cron_schedule"]
    assert "it does not parse" in response.content.decode()
    assert row(nightly) == before


def spoil(agent: Agent) -> None:
    """Give the agent a schedule that no longer parses, as the worker finds it."""
    Agent.objects.filter(pk=agent.pk).update(cron_schedule="@daily")
    agent.refresh_from_db()
    disable_invalid(agent.id, "it does not parse", clock.now())


# Two editors


def test_somebody_elses_edit_meanwhile_is_not_overwritten(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, change_url(nightly))
    edit_agent(nightly.pk, {"cron_schedule": "0 10 * * *"}, "bob")
    before = row(nightly)
    response = ada.post(change_url(nightly), {**sent, "name": "Mine"})
    assert "it was changed meanwhile; the current version is 2" in response.content.decode()
    assert page_form(response)["name"].value() == "Mine"
    assert row(nightly) == before


@pytest.mark.parametrize("version", ["", "none", "0", "2"])
def test_a_page_without_the_right_version_saves_nothing(
    ada: Client, nightly: Agent, version: str
) -> None:
    response = save(ada, nightly, name="Mine", seen_version=version)
    assert response.status_code == 200
    nightly.refresh_from_db()
    assert nightly.name == "Nightly report"


@pytest.mark.django_db(transaction=True)
def test_an_edit_that_waited_for_another_sees_what_it_left(ada: Client, nightly: Agent) -> None:
    sent = {**opened(ada, change_url(nightly)), "name": "Mine"}
    answers: list[Any] = []
    browser = threading.Thread(target=post_in_thread, args=(ada, nightly, sent, answers))
    with transaction.atomic():
        edit_agent(nightly.pk, {"name": "Theirs"}, "bob")
        browser.start()
        wait_for_a_waiting_lock()
    browser.join(timeout=20)
    assert "it was changed meanwhile" in answers[0].content.decode()
    nightly.refresh_from_db()
    assert nightly.name == "Theirs"


def post_in_thread(client: Client, agent: Agent, sent: dict[str, str], answers: list[Any]) -> None:
    try:
        answers.append(client.post(change_url(agent), sent))
    finally:
        connections.close_all()


def wait_for_a_waiting_lock() -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits for the lock")


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
    assert "At 09:00, every day (America/New_York)" in page
    assert '<span class="lap-badge lap-good">enabled</span>' in page
    assert f"{nightly.cron_next_fire_at:%Y-%m-%d %H:%M} UTC" in page


def test_a_paused_agent_shows_paused_and_no_time_in_the_past(ada: Client, nightly: Agent) -> None:
    due = datetime(2020, 1, 1, 14, tzinfo=UTC)
    Agent.objects.filter(pk=nightly.pk).update(cron_next_fire_at=due, cron_enabled=False)
    page = ada.get(LIST).content.decode()
    assert '<td class="field-next_run">paused</td>' in page
    assert "2020" not in page


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
    with django_assert_num_queries(4):  # cookie, user, count, rows
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
