"""Agents whose secrets cannot be read, and processes with the wrong keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from agents.keys import WrongKeys, require_keys
from agents.models import Agent
from lap.core.secrets import MASK
from tests.api import AGENTS, Api
from tests.conftest import MakeAgent
from tests.live import Web

OTHER = Fernet.generate_key().decode()


@pytest.fixture
def lost(make_agent: MakeAgent, settings: Settings) -> Agent:
    """An agent that was stored with a key that is gone."""
    agent = make_agent(env_vars={"A": "1"})
    settings.LAP_ENCRYPTION_KEYS = [OTHER]
    return agent


def test_no_agent_needs_no_key(db: None) -> None:
    require_keys()


def test_wrong_keys_are_noticed(lost: Agent) -> None:
    with pytest.raises(WrongKeys, match="LAP_ENCRYPTION_KEYS"):
        require_keys()


def test_one_lost_key_stops_nobody(lost: Agent, make_agent: MakeAgent) -> None:
    make_agent(env_vars={"B": "2"})
    require_keys()


def test_an_agent_with_a_lost_key_can_be_seen_and_mended(lost: Agent, api: Api) -> None:
    path = f"{AGENTS}/{lost.id}"
    assert api.get(AGENTS).status == 200
    assert api.get(path).body["env_vars"] == {}
    assert api.patch(path, {"name": "still editable"}).status == 200
    refused = api.patch(path, {"env_vars": {"A": MASK}})
    assert refused.status == 400
    assert refused.error[0]["message"] == "the stored values cannot be read; send new ones"
    assert api.patch(path, {"env_vars": {"A": "2"}}).body["env_vars"] == {"A": MASK}


def test_the_admin_shows_such_an_agent(lost: Agent, admin_client: Client) -> None:
    assert admin_client.get(f"/admin/agents/agent/{lost.id}/change/").status_code == 200


def test_one_key_is_nothing_to_change_over_to(lost: Agent) -> None:
    with pytest.raises(CommandError, match="only one encryption key"):
        call_command("reencrypt_secrets")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_web_process_with_the_wrong_keys_does_not_start(
    make_agent: MakeAgent, tmp_path: Path
) -> None:
    make_agent(env_vars={"A": "1"})
    with pytest.raises(AssertionError, match="encrypted with a key that is not in LAP_ENCRYPTION"):
        Web(tmp_path, LAP_ENCRYPTION_KEYS=OTHER).end()
