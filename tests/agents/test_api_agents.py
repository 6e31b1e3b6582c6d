"""Agents over the API: what is stored, what is answered, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from agents.editing import EDITABLE
from agents.models import Agent
from agents.serializers import AgentFields
from lap.core import secrets
from sessions.models import Session
from tests.api import AGENTS, NOBODY, Api
from tests.conftest import MakeAgent

WIRE = {
    "id", "name", "model", "prompt", "harness_id", "supports_tui", "repo_url", "branch",
    "pfp_url", "mcp_servers", "env_vars", "attached_skill_ids", "allow_out", "deny_out",
    "sandbox_files", "preload_memory_limit", "cron_schedule", "cron_timezone", "cron_enabled",
    "cron_overlap_policy", "cron_last_fired_at", "cron_next_fire_at", "created_at",
    "cron_prompt", "cron_catchup_policy", "cron_catchup_window_seconds",
    "cron_run_timeout_seconds", "cron_disabled_reason",
}  # fmt: skip
FULL = {
    "name": "Nightly",
    "model": "openai/gpt-5",
    "prompt": "Be brief.\n",
    "harness_id": "codex",
    "harness_image": "ghcr.io/x/y:1",
    "container_port": 4096,
    "repo_url": "https://example.org/r.git",
    "branch": "dev",
    "requirements": "httpx\n",
    "tools": [{"name": "shell", "limit": 0.5}],
    "mcp_servers": ["a"],
    "attached_skill_ids": ["s1"],
    "allow_out": ["example.org"],
    "deny_out": ["*"],
    "sandbox_files": [{"path": "a/b.txt", "content": "ü\n"}],
    "preload_memory_limit": 20,
    "pfp_url": "https://example.org/p.png",
    "cron_schedule": "0 9 * * 1-5",
    "cron_timezone": "America/Los_Angeles",
    "cron_enabled": False,
    "cron_overlap_policy": "skip",
    "cron_prompt": "report",
    "cron_catchup_policy": "skip",
    "cron_catchup_window_seconds": 60,
    "cron_run_timeout_seconds": 90,
}


def test_it_takes_every_editable_column() -> None:
    assert set(AgentFields().fields) == EDITABLE == {*FULL, "env_vars"}


def test_it_creates_an_agent_with_defaults(api: Api) -> None:
    answer = api.post(AGENTS, {"model": "m"})
    assert answer.status == 200
    assert answer.body.keys() >= WIRE
    assert answer.body["harness_id"] == "opencode"
    assert answer.body["branch"] == "main"
    assert answer.body["cron_timezone"] == "UTC"
    assert answer.body["cron_schedule"] is None
    assert answer.body["cron_next_fire_at"] is None
    assert answer.body["cron_disabled_reason"] is None
    assert answer.body["created_at"].endswith("Z")
    assert answer.headers["ETag"] == '"1"'
    assert Agent.objects.get().created_by == "master key"


def test_it_stores_and_returns_every_column(api: Api) -> None:
    created = api.post(AGENTS, FULL)
    assert created.body | FULL == created.body
    assert created.body["supports_tui"] is True
    assert created.body["cron_next_fire_at"].endswith(":00:00Z")
    assert api.get(f"{AGENTS}/{created.body['id']}").body == created.body


def test_it_takes_back_what_it_gave_but_for_the_server_managed_instants(api: Api) -> None:
    given = api.post(AGENTS, {**FULL, "env_vars": {"TOKEN": "secret"}})
    path = f"{AGENTS}/{given.body['id']}"
    assert api.patch(path, given.body).error == [
        {"path": "cron_last_fired_at", "message": "is read-only: the server manages it"},
        {"path": "cron_next_fire_at", "message": "is read-only: the server manages it"},
    ]
    sent_back = {k: v for k, v in given.body.items() if not k.endswith(("fired_at", "fire_at"))}
    again = api.patch(path, sent_back)
    assert (again.status, again.body) == (200, given.body)
    assert again.headers["ETag"] == '"1"'


@pytest.mark.parametrize("field", ["cron_last_fired_at", "cron_next_fire_at"])
@pytest.mark.parametrize("value", [None, "2026-01-01T00:00:00Z", 5])
def test_server_managed_instants_are_refused(api: Api, field: str, value: Any) -> None:
    assert api.post(AGENTS, {"model": "m", field: value}).status == 400
    assert not Agent.objects.exists()


def test_null_means_the_default(api: Api) -> None:
    nulls = ("name", "prompt", "repo_url", "branch", "tools", "env_vars", "container_port")
    answer = api.post(AGENTS, {"model": "m", "harness_id": None, **dict.fromkeys(nulls)})
    assert answer.status == 200
    plain = api.post(AGENTS, {"model": "m"}).body
    assert [answer.body[name] for name in nulls] == [plain[name] for name in nulls]


def test_unknown_names_are_ignored(api: Api) -> None:
    answer = api.post(AGENTS, {"model": "m", "id": NOBODY, "version": 9, "vault_keys": []})
    assert answer.status == 200
    assert answer.body["id"] != NOBODY
    assert answer.body["version"] == 1


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": " \n"}, "model"),
        ({"model": 5}, "model"),
        ({"model": True}, "model"),
        ({"model": ["m"]}, "model"),
        ({"model": {"id": "m"}}, "model"),
        ({"model": "m" * 201}, "model"),
        ({"model": "a\0b"}, "model"),
        ({"model": "a\ud800"}, "model"),
        ({"name": 1.5}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"prompt": "p" * 100_001}, "prompt"),
        ({"prompt": "\0"}, "prompt"),
        ({"requirements": "r" * 20_001}, "requirements"),
        ({"harness_id": "emacs"}, "harness_id"),
        ({"harness_id": ["shell"]}, "harness_id"),
        ({"harness_id": ""}, "harness_id"),
        ({"container_port": "80"}, "container_port"),
        ({"container_port": 80.0}, "container_port"),
        ({"container_port": True}, "container_port"),
        ({"container_port": 0}, "container_port"),
        ({"container_port": 65_536}, "container_port"),
        ({"preload_memory_limit": -1}, "preload_memory_limit"),
        ({"preload_memory_limit": 10**400}, "preload_memory_limit"),
        ({"tools": "shell"}, "tools"),
        ({"tools": {"a": 1}}, "tools"),
        ({"tools": ["a\0"]}, "tools"),
        ({"tools": [{"\udfff": 1}]}, "tools"),
        ({"tools": [0] * 101}, "tools"),
        ({"mcp_servers": ["x" * 132_000]}, "mcp_servers"),
        ({"allow_out": 5}, "allow_out"),
        ({"sandbox_files": [{"path": "../x", "content": ""}]}, "sandbox_files"),
        ({"sandbox_files": [{"path": "/x", "content": ""}]}, "sandbox_files"),
        ({"sandbox_files": ["x"]}, "sandbox_files"),
        ({"env_vars": []}, "env_vars"),
        ({"env_vars": "A=1"}, "env_vars"),
        ({"env_vars": {"A": 1}}, "env_vars"),
        ({"env_vars": {"A": None}}, "env_vars"),
        ({"env_vars": {"A": "\0"}}, "env_vars"),
        ({"env_vars": {"A": "\ud800"}}, "env_vars"),
        ({"env_vars": {"1A": ""}}, "env_vars"),
        ({"env_vars": {"Ä": ""}}, "env_vars"),
        ({"env_vars": {"A\n": ""}}, "env_vars"),
        ({"env_vars": {"PORT": "1"}}, "env_vars"),
        ({"env_vars": {f"A{n}": "" for n in range(51)}}, "env_vars"),
        ({"env_vars": {"A": "x" * 16_384}}, "env_vars"),
        ({"env_vars": {"A": secrets.MASK}}, "env_vars"),
        ({"cron_enabled": "yes"}, "cron_enabled"),
        ({"cron_enabled": 1}, "cron_enabled"),
        ({"cron_enabled": None}, "cron_enabled"),
        ({"cron_overlap_policy": "queue"}, "cron_overlap_policy"),
        ({"cron_overlap_policy": None}, "cron_overlap_policy"),
        ({"cron_catchup_policy": "all"}, "cron_catchup_policy"),
        ({"cron_prompt": 7}, "cron_prompt"),
        ({"cron_catchup_window_seconds": -1}, "cron_catchup_window_seconds"),
        ({"cron_catchup_window_seconds": 2**63}, "cron_catchup_window_seconds"),
        ({"cron_run_timeout_seconds": 0}, "cron_run_timeout_seconds"),
        ({"cron_run_timeout_seconds": "3600"}, "cron_run_timeout_seconds"),
    ],
)
def test_bad_values_are_refused_and_change_nothing(
    api: Api, make_agent: MakeAgent, fields: dict[str, Any], path: str
) -> None:
    agent = make_agent(name="before")
    for answer in (
        api.post(AGENTS, {"model": "m", **fields}),
        api.patch(f"{AGENTS}/{agent.id}", {"branch": "new", **fields}),
    ):
        assert answer.status == 400, answer
        assert [error["path"] for error in answer.error] == [path]
        assert all(error["message"] for error in answer.error)
    stored = Agent.objects.get()
    assert (stored.name, stored.branch, stored.version) == ("before", "main", 1)


def test_a_model_is_required(api: Api) -> None:
    for body in ({}, {"name": "n"}):
        assert api.post(AGENTS, body).error == [
            {"path": "model", "message": "This field is required."}
        ]


def test_an_unknown_harness_is_told_the_valid_ones(api: Api) -> None:
    message = api.post(AGENTS, {"model": "m", "harness_id": "vim"}).error[0]["message"]
    assert "'vim'" in message
    assert all(name in message for name in ("claude-code", "opencode", "shell"))


def test_variables_are_masked_merged_and_never_returned(api: Api) -> None:
    created = api.post(AGENTS, {"model": "m", "env_vars": {"A": "first", "B": "second"}})
    path = f"{AGENTS}/{created.body['id']}"
    assert created.body["env_vars"] == {"A": secrets.MASK, "B": secrets.MASK}
    edited = api.patch(path, {"env_vars": {"A": secrets.MASK, "C": "third"}})
    assert edited.body["env_vars"] == {"A": secrets.MASK, "C": secrets.MASK}
    assert Agent.objects.get().env_vars == {"A": "first", "C": "third"}
    refused = api.patch(path, {"env_vars": {"B": secrets.MASK}})
    assert refused.status == 400
    assert "B has the mask" in refused.error[0]["message"]
    assert Agent.objects.get().env_vars == {"A": "first", "C": "third"}


def test_an_edit_raises_the_version_and_an_empty_one_does_not(
    api: Api, make_agent: MakeAgent
) -> None:
    path = f"{AGENTS}/{make_agent(name='n').id}"
    before = api.get(path)
    for body in (None, {}, {"name": "n"}, {"unknown": 1}):
        same = api.patch(path, body)
        assert (same.status, same.body) == (200, before.body)
    edited = api.patch(path, {"name": "m"})
    assert edited.headers["ETag"] == '"2"'
    assert edited.body["updated_at"] > before.body["updated_at"]
    assert api.get(path).body == edited.body


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ('"1"', 200), ("*", 200), ('"7", "1"', 200), ('W/"1"', 200),
        ('"2"', 412), ('"7","8"', 412), ("1", 412), ("", 412),
    ],
)  # fmt: skip
def test_if_match(api: Api, make_agent: MakeAgent, tag: str, status: int) -> None:
    path = f"{AGENTS}/{make_agent(name='n').id}"
    answer = api.patch(path, {"name": "m"}, If_Match=tag)
    assert answer.status == status
    assert Agent.objects.get().name == ("m" if status == 200 else "n")
    if status == 412:
        assert "current version is 1" in answer.error
        assert api.delete(path, If_Match=tag).status == 412


def test_if_match_of_an_unknown_agent_is_a_404(api: Api) -> None:
    assert api.patch(f"{AGENTS}/{NOBODY}", {}, If_Match="*").status == 404


def test_the_tag_stays_when_the_tick_moves_the_schedule(api: Api, make_agent: MakeAgent) -> None:
    agent = make_agent(cron_schedule="* * * * *")
    Agent.objects.update(cron_last_fired_at="2026-01-01T00:00Z")
    answer = api.get(f"{AGENTS}/{agent.id}")
    assert answer.body["cron_last_fired_at"] == "2026-01-01T00:00:00Z"
    assert answer.headers["ETag"] == '"1"'


def test_a_deleted_agent_is_gone_and_its_history_stays(api: Api, make_agent: MakeAgent) -> None:
    agent = make_agent(cron_schedule="* * * * *")
    Session.objects.create(agent=agent)
    path = f"{AGENTS}/{agent.id}"
    answer = api.delete(path)
    assert (answer.status, answer.body) == (204, None)
    for again in (api.get(path), api.patch(path, {"name": "x"}), api.delete(path)):
        assert (again.status, again.error) == (404, f"agent '{agent.id}' not found")
    assert api.get(AGENTS).body["total"] == 0
    stored = Agent.objects.get()
    assert (stored.cron_schedule, stored.cron_next_fire_at) == (None, None)
    assert stored.sessions.count() == 1


@pytest.mark.parametrize(
    "agent_id",
    [NOBODY, "1", "nobody", NOBODY.replace("-", ""), f"{{{NOBODY}}}", "%00", "%F0%9F%98%80", "%ff"],
)
def test_unknown_ids(api: Api, agent_id: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        answer = api(method, f"{AGENTS}/{agent_id}", {} if method == "PATCH" else None)
        assert answer.status == 404
        assert answer.error.startswith("agent '")
        assert answer.error.endswith("' not found")


# The list


def _names(api: Api, query: str = "") -> list[str]:
    answer = api.get(f"{AGENTS}?{query}")
    assert answer.status == 200, answer
    return [agent["name"] for agent in answer.body["data"]]


@pytest.fixture
def three(make_agent: MakeAgent) -> list[Agent]:
    """u (codex, one ended session), V (shell, three, one active), w (shell, none), in order."""
    u, v, w = (
        make_agent(name=name, harness_id=harness)
        for name, harness in (("u", "codex"), ("V", "shell"), ("w", "shell"))
    )
    ended = {"status": "dead", "stopped_at": "2026-01-01T00:00Z"}
    for agent, fields in ((u, ended), (v, ended), (v, ended), (v, {})):
        Session.objects.create(agent=agent, **fields)
    return [u, v, w]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "wVu"),
        ("order=asc", "uVw"),
        ("order=ASC", "uVw"),
        ("sort=name", "wVu"),
        ("sort=name&order=asc", "uVw"),
        ("sort=harness_id&order=asc&limit=1", "u"),
        ("sort=sessions", "Vuw"),
        ("sort=sessions&order=asc", "wuV"),
        ("limit=2", "wV"),
        ("limit=2&offset=2", "u"),
        ("offset=3", ""),
        ("search=v", "V"),
        ("search=SHELL&order=asc", "Vw"),
        ("search=%25", ""),
        ("search=_", ""),
        ("search=nothing", ""),
        # Bad values fall back to the defaults.
        ("search=%00", "wVu"),
        ("sort=password", "wVu"),
        ("sort=env_vars&order=up", "wVu"),
        ("limit=0", "wVu"),
        ("limit=201", "wVu"),
        ("limit=-1", "wVu"),
        ("limit=1.5", "wVu"),
        ("limit=%D9%A1", "wVu"),
        ("limit=99999999999999999999999", "wVu"),
        ("offset=-1", "wVu"),
        ("offset=x", "wVu"),
        ("offset=99999999999999999999999", "wVu"),
    ],
)
def test_the_list(api: Api, three: list[Agent], query: str, names: str) -> None:
    assert "".join(_names(api, query)) == names


def test_the_list_tells_its_page_and_counts_sessions(api: Api, three: list[Agent]) -> None:
    answer = api.get(f"{AGENTS}?sort=name&order=asc&limit=2&search=")
    assert {k: answer.body[k] for k in ("total", "limit", "offset")} == {
        "total": 3, "limit": 2, "offset": 0,
    }  # fmt: skip
    counted = [
        (agent["session_count"], agent["has_active_session"]) for agent in answer.body["data"]
    ]
    assert counted == [(1, False), (3, True)]
    assert answer.body["data"][0].keys() >= WIRE


def test_the_list_is_searched_by_id(api: Api, three: list[Agent]) -> None:
    assert _names(api, f"search={str(three[1].id)[:13].upper()}") == ["V"]


def test_the_list_costs_three_queries_whatever_its_length(
    api: Api, three: list[Agent], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for query in ("", "sort=sessions&search=u"):
        with django_assert_num_queries(3):
            api.get(f"{AGENTS}?{query}")


def test_equal_keys_are_ordered_by_id_so_that_pages_do_not_overlap(
    api: Api, make_agent: MakeAgent
) -> None:
    for _ in range(6):
        make_agent(name="same")
    pages = [
        api.get(f"{AGENTS}?sort=name&limit=2&offset={offset}").body["data"] for offset in (0, 2, 4)
    ]
    assert len({agent["id"] for page in pages for agent in page}) == 6
