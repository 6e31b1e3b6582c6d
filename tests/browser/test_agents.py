"""The list of agents and its forms, as people use them."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from agents.editing import edit_agent
from agents.models import Agent
from tests.browser.conftest import OpenPage
from tests.conftest import MakeAgent

DAILY = {"cron_schedule": "0 9 * * *", "cron_timezone": "Asia/Tokyo"}


def test_the_rows_follow_what_is_typed(page: Page, make_agent: MakeAgent) -> None:
    make_agent(name="alpha")
    make_agent(name="beta")
    page.goto("/agents/?sort=-name")
    names = page.locator("tbody .name")
    expect(names).to_have_text(["beta", "alpha"])
    page.get_by_role("searchbox").press_sequentially("alp")
    expect(names).to_have_text(["alpha"])
    expect(page).to_have_url(re.compile("search=alp"))
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No agent is found for “nothing like it”")).to_be_visible()
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("nothing like it")
    page.go_back()
    expect(page).to_have_url("about:blank")


def test_a_schedule_is_switched_in_place_by_keyboard(page: Page, make_agent: MakeAgent) -> None:
    agent = make_agent(name="report", **DAILY)
    page.goto("/agents/")
    switch = page.get_by_role("switch", name="Schedule of report")
    switch.focus()
    for is_enabled in (False, True):
        page.keyboard.press("Space")
        expect(switch).to_be_checked(checked=is_enabled)
        expect(switch).to_be_focused()
        expect(page.locator(".next .pill")).to_have_count(0 if is_enabled else 1)
        agent.refresh_from_db()
        assert agent.cron_enabled is is_enabled


def test_a_refusal_stands_in_the_row(page: Page, make_agent: MakeAgent) -> None:
    agent = make_agent(name="report", cron_enabled=False, **DAILY)
    Agent.objects.filter(id=agent.id).update(cron_schedule="@daily")
    page.goto("/agents/")  # from here on the browser tells its zone
    page.goto("/agents/")
    page.get_by_role("switch").click()
    expect(page.locator("tr [role=alert]")).to_contain_text('invalid cron_schedule "@daily"')
    expect(page.get_by_role("switch")).not_to_be_checked()
    with page.expect_response(lambda answer: "token=" in answer.url) as looked:
        page.evaluate("htmx.trigger(document.body, 'look')")
    assert looked.value.status == 204
    expect(page.locator("tr [role=alert]")).to_contain_text('invalid cron_schedule "@daily"')


def test_rows_are_looked_at_again(page: Page, make_agent: MakeAgent) -> None:
    agent = make_agent(name="report", **DAILY)
    for number, selector in enumerate(("tbody [role=switch]", "tbody .name a")):
        page.goto("/agents/")
        focused = page.locator(selector)
        focused.focus()
        edit_agent(agent.id, {"name": f"renamed {number}"}, "bob")
        page.evaluate("htmx.trigger(document.body, 'look')")
        expect(page.locator("tbody .name")).to_have_text([f"renamed {number}"])
        expect(focused).to_be_focused()


def test_without_javascript_search_and_switch_are_forms(
    open_page: OpenPage, make_agent: MakeAgent
) -> None:
    make_agent(name="alpha", **DAILY)
    make_agent(name="beta", **DAILY)
    page = open_page(java_script_enabled=False)
    page.goto("/agents/")
    page.get_by_role("searchbox").fill("beta")
    page.keyboard.press("Enter")
    expect(page.locator("tbody .name")).to_have_text(["beta"])
    page.get_by_role("switch").click()
    expect(page.get_by_role("switch", name="beta")).not_to_be_checked()
    expect(page.get_by_role("switch", name="alpha")).to_be_checked()


def test_an_agent_is_created_with_a_preview_of_its_schedule(page: Page) -> None:
    page.goto("/agents/")  # from here on the browser tells its zone
    page.get_by_role("link", name="New agent").first.click()
    page.get_by_label("Name", exact=True).fill("report")
    page.get_by_label("Model").fill("none")
    expect(page.get_by_role("combobox", name="Time zone")).to_have_value("Europe/Berlin")
    page.get_by_label("Schedule", exact=True).press_sequentially("0 9 * * 1-5")
    expect(page.locator("#preview")).to_contain_text("Weekdays at 09:00")
    page.get_by_label("Schedule", exact=True).fill("61 * * * *")
    expect(page.locator("#preview")).to_contain_text("invalid cron_schedule")
    page.get_by_role("button", name="Create agent").click()
    expect(page.get_by_role("alert").locator("a")).to_have_text("Schedule")
    page.get_by_role("alert").locator("a").click()
    expect(page.get_by_label("Schedule", exact=True)).to_be_focused()
    page.get_by_label("Schedule", exact=True).fill("0 9 * * 1-5")
    page.get_by_role("button", name="Create agent").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("report")
    assert Agent.objects.get().cron_schedule == "0 9 * * 1-5"


def test_variables_are_added_and_removed_in_rows(page: Page, make_agent: MakeAgent) -> None:
    agent = make_agent(env_vars={"KEPT": "1", "GONE": "2"})
    page.goto(f"/agents/{agent.id}/edit/")
    page.get_by_role("button", name="Remove GONE").click()
    expect(page.get_by_role("button", name="Add variable")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#env_vars .row:visible")).to_have_count(3)
    expect(page.locator("#env_vars input").last).to_be_focused()
    page.keyboard.type("ADDED")
    page.keyboard.press("Tab")
    page.keyboard.type("one\ntwo")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved “")).to_be_visible()
    agent.refresh_from_db()
    assert agent.env_vars == {"KEPT": "1", "ADDED": "one\ntwo"}


def test_who_comes_second_is_told_and_may_still_save(page: Page, make_agent: MakeAgent) -> None:
    agent = make_agent(name="report")
    page.goto(f"/agents/{agent.id}/edit/")
    edit_agent(agent.id, {"name": "theirs"}, "bob")
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_role("button", name="Save").click()
    told = page.get_by_role("alert")
    expect(told).to_be_focused()
    expect(told.locator("dd")).to_have_text("theirs")
    expect(page.get_by_label("Name", exact=True)).to_have_value("mine")
    page.get_by_role("button", name="Save mine anyway").click()
    expect(page.get_by_text("Saved “mine”.")).to_be_visible()


def test_deleting_is_confirmed(page: Page, make_agent: MakeAgent) -> None:
    agent = make_agent(name="report")
    page.goto(f"/agents/{agent.id}/delete/")
    page.get_by_role("button", name="Delete agent").click()
    expect(page.get_by_text("Deleted “report”.")).to_be_visible()
    expect(page.get_by_text("There are no agents yet")).to_be_visible()


def test_a_new_agents_schedule_is_set_by_preset_and_zone_search(page: Page) -> None:
    page.goto("/agents/new/")
    page.get_by_role("button", name="Weekdays 9:00").click()
    page.get_by_role("combobox", name="Time zone").fill("calcutta")
    expect(page.get_by_role("option", name="Kolkata")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="Time zone")).to_have_value("Asia/Kolkata")
    expect(page.locator("#preview")).to_contain_text("Weekdays at 09:00 (Asia/Kolkata)")
