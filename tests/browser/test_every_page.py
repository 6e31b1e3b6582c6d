"""What holds for every page: accessible, valid, quiet, within reach of keyboard and phone."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page, Response, ViewportSize, expect

from tests.browser.axe import audit
from tests.browser.conftest import OpenPage
from tests.browser.guard import Guard
from tests.browser.markup import check_html
from tests.browser.pages import API_DOCS, OURS, THEIRS, WITH_EMPTY_STATES, Place
from tests.browser.traffic import Traffic
from tests.browser.world import World, make_world

AGENT_PAGE_BYTES = 200_000
PHONE: ViewportSize = {"width": 375, "height": 700}

every_page = pytest.mark.parametrize("place", [*OURS, *THEIRS], ids=lambda place: place.name)


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world()


def visit(page: Page, place: Place, world: World, guard: Guard) -> Response:
    """Open the page and make sure that it is the one that was meant."""
    guard.expect(place.status)
    response = page.goto(place.url(world))
    assert response is not None
    assert (response.status, place.shows in page.inner_text("body")) == (place.status, True)
    return response


@every_page
def test_axe_finds_nothing_and_a_phone_need_not_scroll_sideways(
    place: Place, open_page: OpenPage, world: World, guard: Guard
) -> None:
    """In light and in dark."""
    page = open_page(anonymous=place.is_public)
    visit(page, place, world, guard)
    found = audit(page)
    assert not found, "\n".join(found)
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@every_page
def test_without_javascript_it_is_named_and_the_keyboard_comes_to_the_content(
    place: Place, open_page: OpenPage, world: World, guard: Guard
) -> None:
    page = open_page(anonymous=place.is_public, java_script_enabled=False)
    visit(page, place, world, guard)
    assert page.title() not in ("", "LAP")
    expect(page.locator("h1").last).to_be_visible()
    if place.is_ours:
        expect(page.locator("h1")).to_have_count(1)
        here = page.get_by_role("navigation", name="Main").locator("[aria-current=page]")
        assert here.all_inner_texts() == ([place.section] if place.section else [])
    skip = page.locator("a, button, input, select, textarea").first
    skip.focus()
    expect(skip).to_be_in_viewport()
    expect(skip).to_contain_text("Skip to")
    skip.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("!document.activeElement.closest('header, nav')")


@every_page
def test_its_html_is_valid(place: Place, world: World, operator: User) -> None:
    """The document itself; what scripts make of it, axe sees."""
    client = Client()
    if not place.is_public:
        client.force_login(operator)
    response = client.get(place.url(world))
    assert response.status_code == place.status
    wrong = check_html(response.text)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", WITH_EMPTY_STATES)
def test_axe_finds_nothing_where_there_is_nothing_yet(name: str, page: Page) -> None:
    page.goto(reverse(name))
    expect(page.get_by_text("No worker is running")).to_be_visible()
    found = audit(page)
    assert not found, "\n".join(found)


def test_the_agent_page_is_light(page: Page, world: World, guard: Guard) -> None:
    """With nothing in the browser's cache."""
    traffic = Traffic(page)
    agent = next(place for place in OURS if place.name == "agent")
    visit(page, agent, world, guard)
    page.wait_for_load_state("networkidle")
    assert 0 < traffic.total() < AGENT_PAGE_BYTES, dict(traffic.received)


def test_the_api_page_shows_the_operations(page: Page, world: World, guard: Guard) -> None:
    """Swagger UI is not our markup; but it stays on this host, and quiet."""
    page.goto(API_DOCS.url(world))
    expect(page.get_by_role("link", name="/api/v1/managed_agents/agents").first).to_be_visible()
