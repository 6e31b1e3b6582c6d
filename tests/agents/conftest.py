"""Callers: one with the master key, one who is logged in to Django's admin."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.editing import create_agent
from agents.models import Agent
from tests.api import Api

PRINTS_SECRET = "echo $TOKEN\nexit 0\n"


@pytest.fixture
def api(db: None) -> Api:
    return Api()


@pytest.fixture
def ada(db: None, client: Client) -> Client:
    """A browser in which a superuser is logged in."""
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def nightly(db: None) -> Agent:
    """An agent with a schedule, a script and a secret."""
    fields = {
        "name": "Nightly report",
        "model": "none",
        "harness_id": "shell",
        "cron_schedule": "0 9 * * *",
        "cron_timezone": "America/New_York",
        "cron_prompt": PRINTS_SECRET,
        "env_vars": {"TOKEN": "s3cret-value", "REGION": "eu"},
        "tools": ["bash"],
    }
    return create_agent(fields, "test")
