"""Running an agent by hand, its history, and the fleet, as people see them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from agents.models import Agent
from lap.core import clock
from scheduler.models import CronFire
from sessions.models import Session
from tests.browser.axe import audit
from tests.browser.conftest import OpenPage
from tests.browser.world import make_world
from tests.conftest import MakeAgent
from tests.processes import Workers

SESSION = "**/sessions/*/"
PHONE = {"width": 375, "height": 700}


@pytest.fixture
def agent(transactional_db: None, make_agent: MakeAgent) -> Agent:
    return make_agent(name="Nightly", cron_schedule="0 9 * * *", cron_prompt="echo hello from it")


def fire(agent: Agent, hours_ago: int, outcome: str = "missed") -> None:
    at = clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)
    CronFire.objects.create(agent=agent, scheduled_for=at, outcome=outcome, decided_at=at)


def test_run_now_starts_a_run_that_completes(page: Page, agent: Agent, workers: Workers) -> None:
    workers.start()
    page.goto(f"/agents/{agent.id}/")
    page.get_by_role("button", name="Run now").click()
    page.wait_for_url(SESSION)
    assert str(Session.objects.get().id) in page.url
    page.goto(f"/agents/{agent.id}/runs/")
    row = page.locator("table.runs tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator(".badge")).to_have_text("manual")
    expect(row).to_contain_text("completed", timeout=30_000)
    page.get_by_label("manual run completed").click()
    page.wait_for_url(SESSION)


def test_a_second_run_is_asked_for_twice(page: Page, agent: Agent) -> None:
    page.goto(f"/agents/{agent.id}/runs/")
    page.get_by_role("button", name="Run now").click()
    page.wait_for_url(SESSION)
    page.goto(f"/agents/{agent.id}/runs/")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("A run of this agent is active already.")).to_be_visible()
    assert audit(page) == []
    page.get_by_role("button", name="Run anyway").click()
    page.wait_for_url(SESSION)
    assert Session.objects.filter(trigger="manual").count() == 2


def test_the_history_follows_what_happens(page: Page, agent: Agent) -> None:
    """On the agent's page too, and without taking the focus away."""
    fire(agent, hours_ago=2)
    for address in (f"/agents/{agent.id}/", f"/agents/{agent.id}/runs/"):
        page.goto(address)
        rows = page.locator("table.runs tbody tr")
        before = CronFire.objects.count()
        expect(rows).to_have_count(before)
        page.locator("#runs a").first.focus()
        focused = page.evaluate("document.activeElement.id")
        fire(agent, hours_ago=before + 2, outcome="paused")
        expect(rows).to_have_count(before + 1, timeout=15_000)
        assert page.evaluate("document.activeElement.id") == focused


def test_filters_and_older_pages(page: Page, agent: Agent) -> None:
    for hour in range(55):
        fire(agent, hours_ago=hour, outcome="paused" if hour % 11 == 0 else "missed")
    page.goto(f"/agents/{agent.id}/runs/")
    rows = page.locator("table.runs tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(5)
    page.get_by_role("link", name="Newest").click()
    expect(rows).to_have_count(50)
    filters = page.get_by_role("navigation", name="Filter by outcome")
    filters.get_by_role("link", name="Paused").click()
    expect(rows).to_have_count(5)
    expect(filters.locator("[aria-current]")).to_have_text("Paused")
    filters.get_by_role("link", name="Invalid").click()
    expect(page.get_by_text("No run of this kind.")).to_be_visible()
    assert audit(page) == []


def test_the_fleet_on_a_phone(open_page: OpenPage, make_agent: MakeAgent) -> None:
    make_world()
    for _ in range(12):
        make_agent(cron_schedule="0 9 * * *")
    page = open_page(viewport=PHONE)
    page.goto("/fleet/")
    expect(page.get_by_text("12 agents at")).to_be_visible()
    for picture in page.get_by_role("img").all():
        box = picture.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert audit(page) == []


def test_the_fleet_shows_news_by_itself(page: Page, agent: Agent) -> None:
    page.goto("/fleet/")
    expect(page.get_by_text("Nothing went wrong in the last 7 days.")).to_be_visible()
    fire(agent, hours_ago=1)
    problems = page.get_by_role("region", name="Latest problems")
    expect(problems.get_by_role("link", name="Nightly")).to_be_visible(timeout=25_000)


def test_news_of_the_fleet_take_no_focus_away(page: Page, agent: Agent) -> None:
    fire(agent, hours_ago=2)
    page.goto("/fleet/")
    problems = page.get_by_role("region", name="Latest problems")
    agents = problems.get_by_role("link", name="Nightly")
    for count, focused in enumerate((page.get_by_label("Problems", exact=True), agents), start=1):
        expect(agents).to_have_count(count)
        focused.first.focus()
        fire(agent, hours_ago=count + 2)
        expect(agents).to_have_count(count + 1, timeout=25_000)
        expect(page.locator("#fleet-problems :focus")).to_have_count(1)
