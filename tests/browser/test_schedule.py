"""The schedule editor, as people use it."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from playwright.sync_api import Locator, Page, Route, expect

from agents.editing import edit_agent
from agents.models import Agent
from tests.browser.axe import audit
from tests.browser.conftest import OpenPage
from tests.conftest import MakeAgent

PACIFIC = {"cron_schedule": "0 9 * * 1-5", "cron_timezone": "America/Los_Angeles"}
TABS = 40


@pytest.fixture
def agent(operator: object, make_agent: MakeAgent) -> Agent:
    return make_agent(name="weekday report", **PACIFIC)


@pytest.fixture
def bare(operator: object, make_agent: MakeAgent) -> Agent:
    return make_agent(name="on demand")


def show(page: Page, agent: Agent) -> Locator:
    """Open the agent's page; the row of its schedule."""
    page.goto(reverse("agent", args=[agent.id]))
    return page.locator("#schedule")


def edit(page: Page, agent: Agent) -> Locator:
    """Open the agent's page and its schedule's editor."""
    schedule = show(page, agent)
    schedule.get_by_role("link", name="schedule").click()
    expect(cron(page)).to_be_focused()
    return schedule


def cron(page: Page) -> Locator:
    """The field of an editor that htmx has brought to life."""
    return page.locator("#schedule:not(.htmx-added)").get_by_label("Cron schedule")


def zone(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Time zone")


def preview(page: Page) -> Locator:
    return page.locator("#schedule-preview")


def save(page: Page) -> None:
    page.get_by_role("button", name="Save").click()


def stored(agent: Agent) -> tuple[str | None, str, bool]:
    agent.refresh_from_db()
    return agent.cron_schedule, agent.cron_timezone, agent.cron_enabled


def test_a_schedule_is_set_edited_broken_mended_and_cleared(page: Page, bare: Agent) -> None:
    schedule = show(page, bare)
    expect(schedule).to_contain_text("No schedule")
    schedule.get_by_role("link", name="Set schedule").click()
    cron(page).fill("0 9 * * *")
    save(page)
    expect(schedule).to_contain_text("Daily at 09:00 (UTC)")
    expect(schedule).to_contain_text("Saved. The next run is")
    expect(page.locator("#schedule-edit")).to_be_focused()

    schedule.get_by_role("link", name="Edit schedule").click()
    cron(page).fill("0 9 L * *")
    expect(preview(page)).to_contain_text("L (last) is not supported")
    save(page)
    expect(schedule.locator(".field .error")).to_contain_text("L (last) is not supported")
    expect(cron(page)).to_have_value("0 9 L * *")
    assert stored(bare)[0] == "0 9 * * *"

    cron(page).fill("0 9 28-31 * *")
    expect(schedule.locator(".field .error")).to_have_count(0)
    save(page)
    expect(schedule).to_contain_text("between day 28 and 31")

    schedule.get_by_role("link", name="Edit schedule").click()
    cron(page).fill("")
    expect(preview(page)).to_contain_text("Saving clears the schedule")
    save(page)
    expect(schedule).to_contain_text("Saved. The agent has no schedule now.")
    assert stored(bare)[0] is None


def test_cancel_brings_the_row_back(page: Page, agent: Agent) -> None:
    schedule = edit(page, agent)
    cron(page).fill("* * * * *")
    page.get_by_role("link", name="Cancel").click()
    expect(schedule).to_contain_text("Weekdays at 09:00 (America/Los_Angeles)")
    expect(page.locator("#schedule-edit")).to_be_focused()
    assert stored(agent)[0] == PACIFIC["cron_schedule"]


def test_a_preset_fills_the_field_and_keeps_the_rest(page: Page, bare: Agent) -> None:
    edit(page, bare)
    page.get_by_text("More: prompt").click()
    page.get_by_label("Prompt of scheduled runs").fill("Say hello.")
    page.get_by_role("button", name="Mondays 9:00").click()
    expect(cron(page)).to_have_value("0 9 * * 1")
    expect(preview(page)).to_contain_text("Mondays at 09:00 (UTC)")
    expect(page.get_by_label("Prompt of scheduled runs")).to_have_value("Say hello.")


def test_the_preview_follows_what_is_typed(page: Page, agent: Agent) -> None:
    edit(page, agent)
    expect(preview(page)).to_contain_text("Your time (Europe/Berlin)")
    expect(preview(page).locator("tbody tr")).to_have_count(5)
    cron(page).press("End")
    cron(page).press_sequentially("/2", delay=20)
    expect(preview(page)).to_contain_text("Mondays, Wednesdays and Fridays at 09:00")
    page.get_by_label("Enabled").uncheck()
    expect(preview(page)).to_contain_text("Saving pauses the schedule")


def test_an_older_answer_never_replaces_a_newer_one(page: Page, agent: Agent) -> None:
    held: list[Route] = []
    older = re.compile("/schedules/preview/.*cron_schedule=30")
    page.route(older, lambda route: held.append(route))
    edit(page, agent)
    with page.expect_request(older):
        cron(page).fill("30 9 * * *")
    cron(page).fill("45 9 * * *")
    held[0].continue_()
    expect(preview(page)).to_contain_text("Daily at 09:45")
    page.wait_for_load_state("networkidle")
    expect(preview(page)).to_contain_text("Daily at 09:45")


def test_the_preview_tells_what_the_edit_changes(page: Page, agent: Agent) -> None:
    edit(page, agent)
    cron(page).fill("0 9,17 * * 1-5")
    expect(preview(page)).to_contain_text("What this edit changes")
    expect(preview(page).locator("ins")).to_have_count(5)
    expect(preview(page).locator("del")).to_have_count(0)
    cron(page).fill("0 9 * * 1-5")
    expect(preview(page)).not_to_contain_text("What this edit changes")


def test_a_zone_is_found_by_an_alias(page: Page, agent: Agent) -> None:
    edit(page, agent)
    zone(page).fill("calcutta")
    option = page.get_by_role("option", name="Kolkata")
    expect(option).to_contain_text("UTC+05:30")
    expect(zone(page)).to_have_attribute("aria-expanded", "true")
    active = zone(page).get_attribute("aria-activedescendant")
    assert active == option.get_attribute("id")
    page.keyboard.press("Enter")
    expect(zone(page)).to_have_value("Asia/Kolkata")
    expect(zone(page)).to_have_attribute("aria-expanded", "false")
    expect(preview(page)).to_contain_text("(Asia/Kolkata)")


def test_zones_are_browsed_with_arrow_keys(page: Page, agent: Agent) -> None:
    edit(page, agent)
    zone(page).focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option").first).to_contain_text("Berlin")
    selected = page.get_by_role("option", selected=True)
    expect(selected).to_contain_text("Los Angeles")
    page.keyboard.press("ArrowUp")
    expect(selected).to_contain_text("Coordinated Universal Time")
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(zone(page)).to_have_value("America/Los_Angeles")
    zone(page).click()
    page.get_by_role("option", name="Abidjan").click()
    expect(zone(page)).to_have_value("Africa/Abidjan")
    expect(zone(page)).to_be_focused()


def test_the_switch_pauses_and_enables(page: Page, agent: Agent) -> None:
    schedule = show(page, agent)
    switch = schedule.get_by_role("switch", name="Schedule enabled")
    expect(switch).to_be_checked()
    switch.click()
    expect(schedule).to_contain_text("none while paused")
    expect(switch).not_to_be_checked()
    expect(switch).to_be_focused()
    assert stored(agent)[2] is False
    page.keyboard.press("Space")
    expect(switch).to_be_checked()
    assert stored(agent)[2] is True


def test_the_row_follows_what_others_do_and_the_editor_does_not(page: Page, agent: Agent) -> None:
    schedule = show(page, agent)
    edit_agent(agent.id, {"cron_schedule": "0 10 * * *"}, "bob")
    expect(schedule).to_contain_text("Daily at 10:00", timeout=10_000)
    schedule.get_by_role("link", name="Edit schedule").click()
    cron(page).fill("0 11 * * *")
    with page.expect_request("**/runs/**"):  # the beat that the row would follow too
        page.evaluate("htmx.trigger(document.body, 'look')")
    expect(cron(page)).to_have_value("0 11 * * *")


def test_somebody_elses_edit_is_told_and_not_overwritten(page: Page, agent: Agent) -> None:
    schedule = edit(page, agent)
    edit_agent(agent.id, {"cron_schedule": "0 10 * * *"}, "bob")
    cron(page).fill("0 11 * * *")
    save(page)
    expect(schedule.get_by_role("alert")).to_contain_text("bob changed this schedule")
    expect(schedule.get_by_role("alert")).to_contain_text("Daily at 10:00")
    expect(cron(page)).to_have_value("0 11 * * *")
    assert stored(agent)[0] == "0 10 * * *"
    page.get_by_role("button", name="Save mine anyway").click()
    expect(schedule).to_contain_text("Saved.")
    assert stored(agent)[0] == "0 11 * * *"


def test_the_keyboard_is_enough(page: Page, bare: Agent) -> None:
    show(page, bare)
    tab_to(page, "schedule-edit")
    page.keyboard.press("Enter")
    expect(cron(page)).to_be_focused()
    page.keyboard.type("0 9 * * 1-5")
    tab_to(page, "id_cron_timezone")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("us/pac")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(preview(page)).to_contain_text("Weekdays at 09:00 (America/Los_Angeles)")
    page.keyboard.press("Enter")
    expect(page.locator("#schedule-told")).to_contain_text("Saved.")
    expect(page.locator("#schedule-edit")).to_be_focused()
    assert stored(bare) == ("0 9 * * 1-5", "America/Los_Angeles", True)


def tab_to(page: Page, id_: str) -> None:
    for _ in range(TABS):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == id_:
            return
    raise AssertionError(f"no {TABS} tabs lead to #{id_}")


def test_it_fits_a_phone(open_page: OpenPage, agent: Agent) -> None:
    page = open_page(viewport={"width": 375, "height": 700})
    schedule = edit(page, agent)
    cron(page).fill("*/20 * * * *")
    expect(preview(page)).to_contain_text("What this edit changes")
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    save(page)
    expect(schedule).to_contain_text("Every 20 minutes")
    assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_it_works_without_javascript(open_page: OpenPage, agent: Agent) -> None:
    page = open_page(java_script_enabled=False)
    schedule = show(page, agent)
    schedule.get_by_role("link", name="Edit schedule").click()
    cron(page).fill("@daily")
    save(page)
    expect(schedule.locator(".field .error")).to_contain_text("write 0 0 * * * instead")
    cron(page).fill("0 0 * * *")
    save(page)
    expect(page.get_by_role("status")).to_have_text("Schedule saved.")
    expect(schedule).to_contain_text("Daily at 00:00")
    schedule.get_by_role("switch").click()
    expect(schedule).to_contain_text("none while paused")
    assert stored(agent) == ("0 0 * * *", "America/Los_Angeles", False)


def test_axe_finds_nothing_in_the_editor(page: Page, agent: Agent) -> None:
    schedule = edit(page, agent)
    edit_agent(agent.id, {"cron_schedule": "0 10 * * *"}, "bob")
    cron(page).fill("30 2 * * *")
    save(page)
    expect(schedule.get_by_role("alert")).to_be_visible()
    expect(preview(page)).to_contain_text("What this edit changes")
    page.get_by_text("More: prompt").click()
    zone(page).click()
    expect(page.get_by_role("option").first).to_be_visible()
    assert audit(page) == []
