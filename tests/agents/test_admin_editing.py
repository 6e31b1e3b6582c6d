"""Agents written in Django's admin: the same rules as every other door."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import Client

from agents.editing import edit_agent
from agents.forms import AgentForm
from agents.models import Agent, ScheduleChange
from lap.core import clock
from lap.core.secrets import MASK
from tests.agents.browser import (
    ADD,
    change_url,
    opened,
    page_form,
    row,
    save,
    sent_by_browser,
    spoil,
)
from tests.agents.conftest import PRINTS_SECRET
from tests.api import invalid_pairs, sentence_of

INVALID = invalid_pairs()


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


# Two editors


def test_somebody_elses_edit_meanwhile_is_not_overwritten(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, change_url(nightly))
    edit_agent(nightly.pk, {"cron_schedule": "0 10 * * *"}, "bob")
    before = row(nightly)
    response = ada.post(change_url(nightly), {**sent, "name": "Mine"})
    assert "somebody else changed this meanwhile: Schedule." in response.content.decode()
    assert page_form(response)["name"].value() == "Mine"
    assert row(nightly) == before


@pytest.mark.parametrize("seen", ["", "none", "[]", "{}", '{"name": "of another agent"}'])
def test_a_page_that_does_not_tell_what_it_showed_saves_nothing(
    ada: Client, nightly: Agent, seen: str
) -> None:
    response = save(ada, nightly, name="Mine", seen=seen)
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
    assert "changed this meanwhile: Name" in answers[0].content.decode()
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
