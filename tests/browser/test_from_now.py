"""Times from now say the same in the browser as on the server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from lap.web.tags import from_now
from tests.browser.conftest import OpenPage

ADD = """at => {
    const time = document.createElement("time");
    time.className = "from-now";
    time.dateTime = at;
    document.querySelector("main").append(time);
}"""


@pytest.mark.parametrize("hours", [-800.5, -30.5, -1.51, -0.11, 0, 0.11, 1.51, 23.61, 43.5, 800.5])
def test_both_say_the_same(open_page: OpenPage, hours: float) -> None:
    page = open_page(anonymous=True)
    page.goto("/login/")
    now = datetime.now(UTC)
    at = now + timedelta(hours=hours)
    page.evaluate(ADD, at.isoformat())
    expect(page.locator("time.from-now")).to_have_text(from_now(at, now))
