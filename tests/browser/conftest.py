"""A real browser on the real web process, for tests of what people see and do.

``page`` is logged in as a superuser by its cookie; ``open_page`` opens others. ``guard`` fails a
test whose pages complain, are refused something or reach another host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import launched
from tests.browser.guard import Guard
from tests.live import Web

VIEWPORT = {"width": 1280, "height": 800}
LOCAL = {"viewport": VIEWPORT, "locale": "en-US", "timezone_id": "Europe/Berlin"}
OpenPage = Callable[..., Page]

expect.set_options(timeout=20_000)  # milliseconds: the other half of the suite may be busy


def pytest_itemcollected(item: pytest.Item) -> None:
    """All of these tests, and no others, have the marker ``browser``."""
    item.add_marker("browser")
    item.add_marker("slow")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These tests run last, after each other: so they share one browser and one web process."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="package")
def site(
    browser: Browser, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    """The web process of all browser tests, on the test database."""
    web = Web(tmp_path_factory.mktemp("site"))
    try:
        yield web
    finally:
        web.end()


@pytest.fixture
def operator(transactional_db: None) -> User:
    """The superuser that ``page`` is logged in as; has no password."""
    return User.objects.create_superuser("operator", password=None)


@pytest.fixture
def guard(site: Web) -> Iterator[Guard]:
    """Fails the test whose pages do what no page may."""
    guard = Guard(site.url)
    yield guard
    assert not guard.problems, "\n".join(guard.problems)


@pytest.fixture
def open_page(browser: Browser, site: Web, operator: User, guard: Guard) -> Iterator[OpenPage]:
    """Opens a page in a context of its own, with Playwright's options for contexts.

    It is the operator's; with ``anonymous=True`` it is nobody's.
    """
    pages: list[Page] = []

    def open_one(*, anonymous: bool = False, **options: Any) -> Page:
        context = browser.new_context(base_url=site.url, **{**LOCAL, **options})
        guard.watch(context)
        if not anonymous:
            key = session_key(operator)
            context.add_cookies([{"name": "sessionid", "value": key, "url": site.url}])
        pages.append(context.new_page())
        return pages[-1]

    yield open_one
    for page in pages:
        print(f"the page was {page.url}")  # noqa: T201 - pytest shows it on failure
        page.context.close()


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A page of the operator, 1280 by 800."""
    return open_page()


def session_key(user: User) -> str:
    """Log in without a form: the key of a session made in the database."""
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
