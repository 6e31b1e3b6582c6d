"""Values that are empty, but of the wrong kind: found by the fuzzer."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Agent
from tests.api import AGENTS, Api
from tests.conftest import MakeAgent

LISTS = ["tools", "mcp_servers", "attached_skill_ids", "allow_out", "deny_out", "sandbox_files"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", [{}, "", 0, False])
def test_they_are_no_lists(api: Api, make_agent: MakeAgent, name: str, value: Any) -> None:
    agent = make_agent()
    for answer in (
        api.post(AGENTS, {"model": "m", name: value}),
        api.patch(f"{AGENTS}/{agent.id}", {name: value}),
    ):
        assert (answer.status, answer.error) == (400, [{"path": name, "message": "must be a list"}])
    assert Agent.objects.count() == 1


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", [None, []])
def test_an_empty_list_is_one(api: Api, name: str, value: Any) -> None:
    answer = api.post(AGENTS, {"model": "m", name: value})
    assert (answer.status, answer.body[name]) == (200, [])


def test_no_attachments_may_be_said_as_null(api: Api, make_agent: MakeAgent) -> None:
    agent = make_agent()
    answer = api.post(f"{AGENTS}/{agent.id}/session", {"initial_attachments": None})
    assert (answer.status, answer.body["status"]) == (200, "creating")
