"""Takes the screenshots of the documentation.

    python -m tests.screens [name …]

Starts a LAP of its own with a history, opens its pages in Debian's Chromium, in light and in dark,
and writes docs/screens/. Everything ends with the command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

from playwright.sync_api import Browser, Page, ViewportSize

from tests.installation import installation

FOLDER: Final = Path(__file__).parents[1] / "docs" / "screens"
SIZE: Final[ViewportSize] = {"width": 1200, "height": 760}
ZONE: Final = "Europe/Berlin"

Scheme = Literal["light", "dark"]
Visit = Callable[[Page, UUID], None]


def agent(page: Page, agent_id: UUID) -> None:
    page.goto(f"/agents/{agent_id}/")
    page.wait_for_selector(".strip")


def editor(page: Page, agent_id: UUID) -> None:
    agent(page, agent_id)
    page.get_by_role("link", name="Edit schedule").click()
    page.get_by_label("Cron schedule").fill("30 8 * * 1-4")
    page.wait_for_selector("text=What this edit changes")


def sessions(page: Page, agent_id: UUID) -> None:
    page.goto("/sessions/")


def session(page: Page, agent_id: UUID) -> None:
    page.goto(f"/sessions/?agent={agent_id}&status=completed")
    page.locator("tbody a[href^='/sessions/']").first.click()
    page.wait_for_selector("text=Two commits since yesterday")


def fleet(page: Page, agent_id: UUID) -> None:
    page.goto("/fleet/")


def admin(page: Page, agent_id: UUID) -> None:
    page.goto(f"/admin/agents/agent/{agent_id}/change/")
    page.wait_for_selector("text=Next 5 runs")
    page.locator("fieldset:has(#id_cron_schedule)").evaluate("set => set.scrollIntoView()")


SCREENS: Final[Mapping[str, Visit]] = {
    "agent": agent,
    "schedule": editor,
    "sessions": sessions,
    "session": session,
    "fleet": fleet,
    "admin": admin,
}


def take(browser: Browser, url: str, key: str, agent_id: UUID, scheme: Scheme, name: str) -> None:
    """Write one picture; what moves has come to rest in it."""
    context = browser.new_context(
        base_url=url, viewport=SIZE, color_scheme=scheme, timezone_id=ZONE, locale="en-GB"
    )
    context.add_cookies(
        [
            {"name": "sessionid", "value": key, "url": url},
            {"name": "lap_zone", "value": ZONE, "url": url},
        ]
    )
    page = context.new_page()
    SCREENS[name](page, agent_id)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}-{scheme}.png")
    context.close()


def main(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with installation() as web:
        from django.contrib.auth.models import User

        from tests.browser.chromium import launched
        from tests.browser.conftest import session_key
        from tests.demo import make_demo

        key = session_key(User.objects.create_superuser("ada", password=None))
        shown = make_demo().id
        with launched() as browser:
            for name in names or SCREENS:
                for scheme in ("light", "dark"):
                    take(browser, web.url, key, shown, scheme, name)


if __name__ == "__main__":
    main(sys.argv[1:])
