"""Accessibility, judged by axe-core in the browser."""

from __future__ import annotations

from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


SETTLE = "document.getAnimations().forEach(one => one instanceof CSSTransition && one.finish())"
"""Between two themes colours change gradually; only the last ones count."""


def audit(page: Page) -> list[str]:
    """What axe finds on the page in light and in dark, a line for each element; leaves it light."""
    page.evaluate(AXE_SCRIPT)  # through the debugger's door, where the page's policy has no say
    found = []
    for scheme in reversed(SCHEMES):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(SETTLE)
        results = page.evaluate("axe.run({resultTypes: ['violations'], preload: false})")
        found += [f"{scheme}: {line}" for line in _lines(results["violations"])]
    return found


def _lines(violations: list[dict[str, Any]]) -> list[str]:
    return [
        f"{violation['id']}: {node['html']} — {' '.join(node['failureSummary'].split())}"
        for violation in violations
        for node in violation["nodes"]
    ]
