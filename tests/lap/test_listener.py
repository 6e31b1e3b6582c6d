"""Notifications, and where none arrive."""

from __future__ import annotations

import asyncio

import pytest
from django.conf import settings as configured
from pytest_django import Settings

from lap.core import listener
from lap.core.listener import Listener
from tests.processes import wait_for


@pytest.mark.django_db(transaction=True)
def test_a_connection_on_which_nothing_arrives_is_told_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It leads to another database here; through a transaction-mode pooler it is as silent."""
    base, _, _ = configured.DATABASE_URL.rpartition("/")
    settings.LAP_LISTEN_DATABASE_URL = f"{base}/postgres"
    monkeypatch.setattr(listener, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(listener, "SILENT_SECONDS", 0.05)
    loop = asyncio.new_event_loop()
    deaf = Listener(loop, lambda: None)
    deaf.start()
    try:
        wait_for(lambda: "LAP_LISTEN_DATABASE_URL" in caplog.text)
    finally:
        deaf.stop()
        loop.close()
    assert len(caplog.records) == 1
    assert not deaf.is_connected
