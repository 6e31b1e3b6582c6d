"""Debian's Chromium, driven by Playwright. No browser is ever downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser")
MISSING = "no Chromium: install Debian's chromium"
ARGUMENTS = [
    "--no-sandbox",  # Chromium's own sandbox refuses to run as root
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@contextmanager
def launched() -> Iterator[Browser]:
    """A headless browser that knows no host but this one.

    Without Chromium the test is skipped; it fails where ``CI`` is set.
    """
    with _orm_beside_a_loop(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_path(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def _path() -> str:
    for name in NAMES:
        if path := shutil.which(name):
            return path
    if os.environ.get("CI"):
        pytest.fail(MISSING, pytrace=False)
    pytest.skip(MISSING)


@contextmanager
def _orm_beside_a_loop() -> Iterator[None]:
    """Playwright's synchronous API leaves an event loop in this thread; Django would refuse."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield
