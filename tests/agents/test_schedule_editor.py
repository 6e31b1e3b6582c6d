"""Editing a schedule on the agent's page: what is saved, what is refused, who else was there."""

from __future__ import annotations

import threading
from copy import copy
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connections, transaction
from django.test import Client
from django.urls import reverse

from agents.editing import edit_agent
from agents.models import Agent, ScheduleChange
from agents.schedule_form import ScheduleForm, length_words
from lap.core import clock
from tests.agents.browser import messages_of, row, sent_by_browser, spoil
from tests.agents.conftest import PRINTS_SECRET
from tests.agents.html import attr, find, parsed
from tests.agents.test_admin_editing import wait_for_a_waiting_lock
from tests.api import invalid_pairs, sentence_of
from tests.conftest import MakeAgent, SetClock

HTMX = {"HX-Request": "true", "HX-Target": "schedule"}


def url(agent: Agent, name: str = "edit-schedule") -> str:
    return reverse(name, args=[agent.id])


def opened(client: Client, agent: Agent) -> dict[str, str]:
    """Open the editor and return what it would send."""
    return sent_by_browser(client.get(url(agent), headers=HTMX).context["form"])


def save(client: Client, agent: Agent, sent: dict[str, str] | None = None, **typed: str) -> Any:
    """Press Save in an editor that was opened before, or just now."""
    untouched = sent or sent_by_browser(ScheduleForm(instance=copy(agent)))
    return client.post(url(agent), {**untouched, **typed}, headers=HTMX)


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return unescape(response.content.decode())


def editor_of(response: Any) -> ScheduleForm:
    form: ScheduleForm = response.context["form"]
    return form


# Opening


def test_htmx_gets_the_editor_in_place_of_the_row(ada: Client, nightly: Agent) -> None:
    response = ada.get(url(nightly), headers=HTMX)
    page = text_of(response)
    assert "<html" not in page
    assert 'value="0 9 * * *"' in page
    assert 'value="America/New_York"' in page
    assert "Daily at 09:00 (America/New_York)" in page
    assert response["Vary"] == "HX-Request, Cookie"


def test_without_javascript_the_editor_is_on_the_agents_page(ada: Client, nightly: Agent) -> None:
    page = text_of(ada.get(url(nightly)))
    assert "<h1>Nightly report</h1>" in page
    assert 'value="0 9 * * *"' in page


def test_a_new_schedule_begins_empty(ada: Client, make_agent: MakeAgent) -> None:
    page = text_of(ada.get(url(make_agent()), headers=HTMX))
    assert "No schedule yet." in page
    assert 'value="UTC"' in page


# Saving


def test_saving_tells_when_it_runs_next(ada: Client, nightly: Agent) -> None:
    page = text_of(save(ada, nightly, cron_schedule="*/5 * * * *", cron_timezone="Asia/Tokyo"))
    nightly.refresh_from_db()
    change = nightly.schedule_changes.latest("id")
    assert (change.actor, change.schedule_before) == ("ada", "0 9 * * *")
    assert (nightly.cron_schedule, nightly.cron_timezone) == ("*/5 * * * *", "Asia/Tokyo")
    assert "Saved. The next run is" in page
    assert "Every 5 minutes (Asia/Tokyo)" in page


def test_without_javascript_saving_leads_to_the_agent(ada: Client, nightly: Agent) -> None:
    sent = {**opened(ada, nightly), "cron_schedule": "0 10 * * *"}
    response = ada.post(url(nightly), sent, follow=True)
    assert response.redirect_chain == [(url(nightly, "agent"), 302)]
    assert messages_of(response) == ["Schedule saved."]
    assert "Daily at 10:00" in text_of(response)


@pytest.mark.parametrize("typed", ["", "   "])
def test_blank_clears(ada: Client, nightly: Agent, typed: str) -> None:
    page = text_of(save(ada, nightly, cron_schedule=typed))
    nightly.refresh_from_db()
    assert (nightly.cron_schedule, nightly.cron_next_fire_at) == (None, None)
    assert "Saved. The agent has no schedule now." in page


def test_saving_what_nobody_touched_writes_nothing(ada: Client, nightly: Agent) -> None:
    before, changes = row(nightly), ScheduleChange.objects.count()
    text_of(save(ada, nightly, opened(ada, nightly)))
    assert row(nightly) == before
    assert ScheduleChange.objects.count() == changes


def test_the_rarer_columns_are_saved(ada: Client, nightly: Agent) -> None:
    save(
        ada, nightly, cron_prompt="Say hello.", cron_catchup_policy="skip",
        cron_run_timeout_seconds="1 h 30 min", cron_catchup_window_seconds="2d",
    )  # fmt: skip
    nightly.refresh_from_db()
    assert nightly.cron_prompt == "Say hello."
    assert nightly.cron_catchup_policy == "skip"
    assert nightly.cron_run_timeout_seconds == 5400
    assert nightly.cron_catchup_window_seconds == 172_800


def test_nothing_but_the_schedule_is_written(ada: Client, nightly: Agent) -> None:
    before = row(nightly)
    save(ada, nightly, name="Mine", env_vars="{}", tools="[]", cron_next_fire_at="2020-01-01")
    assert row(nightly) == before
    assert nightly.cron_prompt == PRINTS_SECRET


def test_a_row_that_later_rules_refuse_has_its_schedule_saved(ada: Client, nightly: Agent) -> None:
    Agent.objects.update(harness_id="gone")
    assert "Saved." in text_of(save(ada, nightly, cron_schedule="0 10 * * *"))
    nightly.refresh_from_db()
    assert (nightly.cron_schedule, nightly.harness_id) == ("0 10 * * *", "gone")


def test_enabling_names_the_first_run_after_the_pause(
    ada: Client, nightly: Agent, set_clock: SetClock
) -> None:
    set_clock(datetime(2026, 11, 19, 18, tzinfo=UTC))
    fields = {"cron_schedule": "0 9 * * *", "cron_timezone": "UTC", "cron_enabled": False}
    edit_agent(nightly.id, fields, "test")
    set_clock(datetime(2026, 11, 23, 12, tzinfo=UTC))
    nightly.refresh_from_db()
    [told] = find(parsed(save(ada, nightly, cron_enabled="on")), "#schedule-told time")
    assert attr(told, "datetime") == "2026-11-24T09:00:00Z"


def test_saving_while_a_run_is_due_says_so(
    ada: Client, nightly: Agent, set_clock: SetClock
) -> None:
    assert nightly.cron_next_fire_at is not None
    set_clock(nightly.cron_next_fire_at + timedelta(seconds=30))
    assert "Saved. A run is due now." in text_of(save(ada, nightly, cron_prompt="Say hello."))


def test_unchecking_pauses(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, nightly)
    del sent["cron_enabled"]
    assert "Saved. The schedule is paused." in text_of(save(ada, nightly, sent))
    nightly.refresh_from_db()
    assert not nightly.cron_enabled


# Lengths of time


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (45, "45 s"), (3600, "1 h"), (5400, "1 h 30 min"), (90_061, "1 d 1 h 1 min 1 s")],
)
def test_a_length_is_shown_as_it_may_be_typed(seconds: int, words: str) -> None:
    field = ScheduleForm.base_fields["cron_catchup_window_seconds"]
    assert length_words(seconds) == words
    assert field.clean(words) == seconds
    assert field.clean(str(seconds)) == seconds


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("soon", "Write a length with d, h, min or s"),
        ("-5", "Write a length with d, h, min or s"),
        ("1 h 30", "Write a length with d, h, min or s"),
        ("8 d", "This is too long; write at most 7 d."),
        ("999999999 d", "This is too long; write at most 7 d."),
        ("0", "greater than or equal to 1"),
        ("", "This field is required."),
    ],
)
def test_a_bad_length_is_said_under_its_field(
    ada: Client, nightly: Agent, typed: str, sentence: str
) -> None:
    before = row(nightly)
    response = save(ada, nightly, cron_run_timeout_seconds=typed)
    assert sentence in text_of(response)
    assert list(editor_of(response).errors) == ["cron_run_timeout_seconds"]
    assert "<details open>" in text_of(response)
    assert row(nightly) == before


# What is refused


@pytest.mark.parametrize(("expression", "timezone"), invalid_pairs()[::3])
def test_a_bad_pair_is_refused_under_its_field(
    ada: Client, nightly: Agent, expression: str, timezone: str
) -> None:
    before = row(nightly)
    response = save(ada, nightly, cron_schedule=expression, cron_timezone=timezone)
    form, sentence = editor_of(response), sentence_of(expression, timezone)
    field = "cron_timezone" if sentence.startswith("invalid cron_timezone") else "cron_schedule"
    assert form.errors == {field: [sentence]}
    assert text_of(response).count(sentence) == 1
    assert form["cron_schedule"].value() == expression
    assert form["cron_timezone"].value() == timezone
    assert row(nightly) == before


def test_without_javascript_what_was_typed_stays_too(ada: Client, nightly: Agent) -> None:
    sent = {**opened(ada, nightly), "cron_schedule": "61 * * * *", "cron_prompt": "Kept."}
    page = text_of(ada.post(url(nightly), sent))
    assert "<h1>Nightly report</h1>" in page
    assert 'value="61 * * * *"' in page
    assert "Kept." in page
    assert "invalid cron_schedule" in page


def test_an_invalid_schedule_is_mended_here(ada: Client, nightly: Agent) -> None:
    spoil(nightly)
    sent = opened(ada, nightly)
    assert "invalid cron_schedule" in text_of(save(ada, nightly, sent, cron_enabled="on"))
    mended = save(ada, nightly, sent, cron_enabled="on", cron_schedule="0 9 * * *")
    assert "Saved. The next run is" in text_of(mended)
    nightly.refresh_from_db()
    assert nightly.cron_disabled_reason == ""
    assert nightly.cron_next_fire_at is not None
    assert nightly.cron_next_fire_at > clock.now()


# Two editors


def test_the_second_is_told_who_changed_what(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, nightly)
    theirs = {"cron_schedule": "0 10 * * 1-5", "cron_run_timeout_seconds": 60}
    edit_agent(nightly.id, theirs, "bob")
    before = row(nightly)
    response = save(ada, nightly, sent, cron_schedule="0 11 * * *")
    page = text_of(response)
    assert "bob changed this schedule" in page
    assert "Weekdays at 10:00 (America/New_York)" in page
    assert "Run time limit" in page
    assert "1 min" in page
    assert editor_of(response)["cron_schedule"].value() == "0 11 * * *"
    assert "What this edit changes" in page
    assert "Save mine anyway" in page
    assert row(nightly) == before


def test_the_second_may_save_anyway(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, nightly)
    edit_agent(nightly.id, {"cron_schedule": "0 10 * * *"}, "bob")
    refused = save(ada, nightly, sent, cron_schedule="0 11 * * *")
    again = {**sent, "cron_schedule": "0 11 * * *", "seen": refused.context["seen"]}
    assert "Saved." in text_of(save(ada, nightly, again))
    nightly.refresh_from_db()
    assert nightly.cron_schedule == "0 11 * * *"


def test_whoever_comes_third_is_told_too(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, nightly)
    edit_agent(nightly.id, {"cron_schedule": "0 10 * * *"}, "bob")
    refused = save(ada, nightly, sent, cron_schedule="0 11 * * *")
    edit_agent(nightly.id, {"cron_schedule": "0 12 * * *"}, "eve")
    again = {**sent, "cron_schedule": "0 11 * * *", "seen": refused.context["seen"]}
    assert "eve changed this schedule" in text_of(save(ada, nightly, again))


def test_a_bad_pair_does_not_hide_an_edit_meanwhile(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, nightly)
    refused = save(ada, nightly, sent, cron_schedule="bad")
    edit_agent(nightly.id, {"cron_schedule": "0 10 * * *"}, "bob")
    again = {**sent, "seen": refused.context["seen"], "cron_schedule": "0 11 * * *"}
    assert "bob changed this schedule" in text_of(save(ada, nightly, again))


def test_an_edit_of_something_else_is_no_conflict(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, nightly)
    edit_agent(nightly.id, {"name": "Renamed", "env_vars": {}}, "bob")
    assert "Saved." in text_of(save(ada, nightly, sent, cron_schedule="0 11 * * *"))


def test_a_worker_that_switched_it_off_is_named(ada: Client, nightly: Agent) -> None:
    sent = opened(ada, nightly)
    spoil(nightly)
    page = text_of(save(ada, nightly, sent, cron_schedule="0 11 * * *"))
    assert "worker changed this schedule" in page
    assert 'Enabled: <span class="stored">no</span>' in page


@pytest.mark.parametrize("seen", ["", "none", "[]", "{}"])
def test_an_editor_that_does_not_tell_what_it_showed_saves_nothing(
    ada: Client, make_agent: MakeAgent, seen: str
) -> None:
    agent = make_agent()
    before = row(agent)
    page = text_of(save(ada, agent, cron_schedule="0 11 * * *", seen=seen))
    assert "somebody else changed this schedule" in page
    assert row(agent) == before


@pytest.mark.django_db(transaction=True)
def test_an_edit_that_waited_for_another_sees_what_it_left(ada: Client, nightly: Agent) -> None:
    sent = {**opened(ada, nightly), "cron_schedule": "0 11 * * *"}
    answers: list[Any] = []
    with transaction.atomic():
        edit_agent(nightly.pk, {"cron_schedule": "0 10 * * *"}, "bob")
        browser = threading.Thread(target=post_in_thread, args=(ada, nightly, sent, answers))
        browser.start()
        wait_for_a_waiting_lock()
    browser.join(timeout=20)
    assert "bob changed this schedule" in answers[0].content.decode()
    nightly.refresh_from_db()
    assert nightly.cron_schedule == "0 10 * * *"


def post_in_thread(client: Client, agent: Agent, sent: dict[str, str], answers: list[Any]) -> None:
    try:
        answers.append(save(client, agent, sent))
    finally:
        connections.close_all()


def test_it_asks_the_database_little(
    ada: Client, nightly: Agent, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(4):  # session, user, agent, clock
        ada.get(url(nightly), headers=HTMX)
