"""The watchdog of all browser tests bites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.axe import audit
from tests.browser.guard import Guard
from tests.live import Web

LOGIN = "/login/"


@pytest.fixture
def watched(browser: Browser, site: Web, transactional_db: None) -> Iterator[tuple[Page, Guard]]:
    """A login page and its guard, which fails nothing here."""
    guard = Guard(site.url)
    context = browser.new_context(base_url=site.url)
    guard.watch(context)
    page = context.new_page()
    page.goto(LOGIN)
    yield page, guard
    context.close()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("console.error('oops')", "console error: oops"),
        ("console.warn('hm')", "console warning: hm"),
        ("setTimeout(() => { throw new Error('uncaught one') })", "uncaught one"),
        ("document.body.setAttribute('style', 'color: red')", "Content Security Policy"),
        ("document.body.append(Object.assign(new Image(), {src: 'http://example.org/x.png'}))",
         "left the host: http://example.org/x.png"),
        ("fetch('/nowhere/')", "404: GET"),
    ],
    ids=["error", "warning", "exception", "policy", "other host", "not found"],
)  # fmt: skip
def test_a_page_that_misbehaves_is_told(
    script: str, problem: str, watched: tuple[Page, Guard]
) -> None:
    page, guard = watched
    assert guard.problems == []
    page.evaluate(script)
    page.wait_for_timeout(0)
    for _ in range(500):
        if guard.problems:
            break
        page.wait_for_timeout(10)
    assert problem in "\n".join(guard.problems)


def test_an_expected_status_is_no_problem(watched: tuple[Page, Guard]) -> None:
    page, guard = watched
    guard.expect(404)
    page.goto("/nowhere/")
    assert guard.problems == []


def test_axe_sees_what_is_wrong(watched: tuple[Page, Guard]) -> None:
    page, _ = watched
    assert audit(page) == []
    page.evaluate("document.querySelector('main').append(document.createElement('input'))")
    found = audit(page)
    assert {line.split(": ")[0] for line in found} == {"light", "dark"}
    assert all("label" in line for line in found)
