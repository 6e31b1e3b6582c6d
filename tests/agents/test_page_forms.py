"""The forms that create and edit an agent on the pages: the rules of every other door."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents import harnesses
from agents.editing import edit_agent
from agents.models import Agent
from agents.page_forms import HARNESSES, LOCAL_HARNESS
from lap.core.secrets import MASK, Undecryptable
from sessions.sandboxes.local import HARNESS_ID
from tests.agents.browser import messages_of, row
from tests.agents.html import Sent, attr, find, has, parsed, sent_by_browser, text
from tests.api import sentence_of
from tests.conftest import MakeAgent

NEW = "/agents/new/"
FILE = {"path": "bin/run", "content": "#!/bin/sh\nexit 0\n"}


def edit_url(agent: Agent) -> str:
    return reverse("edit-agent", args=[agent.id])


def create(client: Client, **typed: str | list[str]) -> Any:
    """Type into the form of a new agent and press the button."""
    return client.post(NEW, {**sent_by_browser(client.get(NEW)), "model": "none", **typed})


def save(client: Client, agent: Agent, **typed: str | list[str]) -> Any:
    """Type into the agent's form and press Save."""
    return client.post(edit_url(agent), {**opened(client, agent), **typed})


def opened(client: Client, agent: Agent) -> Sent:
    return sent_by_browser(client.get(edit_url(agent)))


def variables(*rows: tuple[str, str]) -> dict[str, list[str]]:
    """What rows of variables send."""
    return {"env_vars.key": [k for k, _ in rows], "env_vars.value": [v for _, v in rows]}


def errors_of(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    return {name: list(errors) for name, errors in response.context["form"].errors.items()}


# Creating


def test_it_creates_an_agent_of_all_that_was_typed(ada: Client) -> None:
    typed = {
        "name": "New", "model": "m/x", "harness_id": "codex", "prompt": "Be\r\nkind.",
        "repo_url": "https://example.com/r", "branch": "dev", "requirements": "jq\r\nmake",
        "tools": '["bash"]', "mcp_servers": '[{"name": "docs"}]', "attached_skill_ids": '["s"]',
        "allow_out": "a.example\r\n\r\n b.example ", "deny_out": "c.example",
        "harness_image": "img", "container_port": "8080", "pfp_url": "https://example.com/p",
        "preload_memory_limit": "3", "cron_schedule": "*/5 * * * *", "cron_timezone": "Asia/Tokyo",
        "cron_enabled": "on", "cron_prompt": "Go.\r\n", "env_vars": "rows", "sandbox_files": "rows",
        "sandbox_files.key": ["bin/run", ""],
        "sandbox_files.value": [FILE["content"].replace("\n", "\r\n"), ""],
        **variables(("A", "1\r\n2"), ("", ""), ("B", "")),
    }  # fmt: skip
    response = ada.post(NEW, typed, follow=True)
    agent = Agent.objects.get()
    assert response.redirect_chain == [(reverse("agent", args=[agent.id]), 302)]
    assert messages_of(response) == ["Created “New”."]
    assert row(agent) | {
        "name": "New", "model": "m/x", "harness_id": "codex", "prompt": "Be\nkind.",
        "repo_url": "https://example.com/r", "branch": "dev", "requirements": "jq\nmake",
        "tools": ["bash"], "mcp_servers": [{"name": "docs"}], "attached_skill_ids": ["s"],
        "allow_out": ["a.example", "b.example"], "deny_out": ["c.example"],
        "harness_image": "img", "container_port": 8080, "pfp_url": "https://example.com/p",
        "preload_memory_limit": 3, "cron_schedule": "*/5 * * * *", "cron_timezone": "Asia/Tokyo",
        "cron_enabled": True, "cron_prompt": "Go.\n", "env_vars": {"A": "1\n2", "B": ""},
        "sandbox_files": [FILE], "created_by": "ada",
    } == row(agent)  # fmt: skip
    assert agent.cron_next_fire_at is not None


def test_an_untouched_form_creates_an_agent_without_a_schedule(ada: Client) -> None:
    assert create(ada).status_code == 302
    agent = Agent.objects.get()
    assert (agent.cron_schedule, agent.cron_enabled, agent.cron_prompt) == (None, True, None)
    assert (agent.env_vars, agent.sandbox_files, agent.allow_out) == ({}, [], [])


def test_the_form_suggests_the_viewers_zone_and_what_runs_here(ada: Client) -> None:
    ada.cookies["lap_zone"] = "Asia/Tokyo"
    sent = sent_by_browser(ada.get(NEW))
    assert (sent["cron_timezone"], sent["harness_id"]) == (["Asia/Tokyo"], ["shell"])


@pytest.mark.parametrize(
    ("expression", "timezone"), [("@daily", "UTC"), ("0 9 * * *", "Mars/Base"), ("x" * 200, "UTC")]
)
def test_a_bad_pair_is_refused_with_its_sentence(
    ada: Client, expression: str, timezone: str
) -> None:
    response = create(ada, name="Mine", cron_schedule=expression, cron_timezone=timezone)
    sentence = sentence_of(expression, timezone)
    assert [sentence] in errors_of(response).values()
    assert unescape(response.content.decode()).count(sentence) == 2
    sent = sent_by_browser(response)
    assert (sent["cron_schedule"], sent["cron_timezone"]) == ([expression], [timezone])
    assert sent["name"] == ["Mine"]
    assert not Agent.objects.exists()


def test_an_unknown_harness_is_refused_with_the_list_of_the_valid_ones(ada: Client) -> None:
    response = create(ada, harness_id="perl")
    valid = ", ".join(harnesses.KNOWN)
    assert errors_of(response) == {"harness_id": [f"unknown harness 'perl'; use one of {valid}"]}


def test_every_harness_is_explained() -> None:
    assert sorted(HARNESSES) == sorted(harnesses.KNOWN)
    assert LOCAL_HARNESS == HARNESS_ID


def test_a_form_sent_twice_creates_one_agent(ada: Client) -> None:
    sent = {
        **sent_by_browser(ada.get(NEW)),
        "name": "New",
        "model": "none",
        **variables(("A", "1")),
    }
    first, second = ada.post(NEW, sent), ada.post(NEW, sent)
    agent = Agent.objects.get()
    assert first.headers["Location"] == reverse("agent", args=[agent.id])
    assert second.headers["Location"] == first.headers["Location"]


def test_a_form_that_was_edited_since_creates_another_when_it_is_sent_again(ada: Client) -> None:
    sent = {**sent_by_browser(ada.get(NEW)), "name": "One", "model": "none"}
    ada.post(NEW, sent)
    response = ada.post(NEW, {**sent, "name": "Two"})
    sentence = "This form has created an agent already. Send it again for another."
    assert errors_of(response) == {"__all__": [sentence]}
    assert Agent.objects.count() == 1
    assert ada.post(NEW, sent_by_browser(response)).status_code == 302
    assert {agent.name for agent in Agent.objects.all()} == {"One", "Two"}


def test_nobody_elses_agent_is_told_by_its_id(ada: Client, nightly: Agent) -> None:
    stored = {name: str(row(nightly)[name]) for name in ("name", "model", "harness_id")}
    response = ada.post(NEW, {"key": str(nightly.id), "cron_timezone": "UTC", **stored})
    assert list(errors_of(response)) == ["__all__"]
    assert Agent.objects.count() == 1


# Editing


def test_an_untouched_form_changes_nothing(ada: Client, make_agent: MakeAgent) -> None:
    agent = make_agent(
        prompt="\nwith\r\nodd\n\nends \n", requirements=" jq ", cron_schedule="0 9 * * *",
        env_vars={"B": "x\r\ny", "A": ""}, tools=[{"name": "ä", "n": [1, None]}],
        allow_out=[" a", "b\nc", 1], deny_out=["[1]"], preload_memory_limit=0,
        sandbox_files=[{"path": "a b", "content": "\n\nx\r\ny"}, {"path": "a b", "content": ""}],
    )  # fmt: skip
    before = row(agent)
    assert save(ada, agent).status_code == 302
    assert row(agent) == before


def test_what_is_typed_is_saved(ada: Client, nightly: Agent) -> None:
    response = ada.post(edit_url(nightly), {**opened(ada, nightly), "name": "Mine"}, follow=True)
    assert response.redirect_chain == [(reverse("agent", args=[nightly.id]), 302)]
    assert messages_of(response) == ["Saved “Mine”."]
    nightly.refresh_from_db()
    assert (nightly.name, nightly.version) == ("Mine", 2)


def test_the_schedule_is_not_edited_here(ada: Client, nightly: Agent) -> None:
    save(ada, nightly, cron_schedule="* * * * *", cron_enabled="", cron_prompt="x", version="9")
    before = row(nightly)
    assert (before["cron_schedule"], before["cron_enabled"]) == ("0 9 * * *", True)
    assert before["version"] == 1


def test_it_is_judged_and_written_under_the_agents_lock(ada: Client, nightly: Agent) -> None:
    sent = {**opened(ada, nightly), "name": "Mine"}
    with CaptureQueriesContext(connection) as captured:
        ada.post(edit_url(nightly), sent)
    told = [query["sql"] for query in captured if 'FROM "agents_agent"' in query["sql"]]
    assert "FOR NO KEY UPDATE" in told[0]


def test_a_stored_schedule_that_no_longer_parses_is_told(ada: Client, nightly: Agent) -> None:
    Agent.objects.filter(id=nightly.id).update(cron_schedule="@daily")
    response = save(ada, nightly, name="Mine")
    sentence = sentence_of("@daily", "America/New_York")
    assert errors_of(response) == {"__all__": [sentence]}
    assert sentence in text(find(parsed(response), "form [role=alert]")[0])


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("model", ""),
        ("name", "x" * 201),
        ("prompt", "a\0b"),
        ("tools", "{"),
        ("tools", '{"a": 1}'),
        ("mcp_servers", "[NaN]"),
        ("allow_out", '["\\u0000"]'),
        ("deny_out", "\n".join(map(str, range(101)))),
        ("container_port", "0"),
        ("preload_memory_limit", "x"),
    ],
)
def test_a_bad_value_is_told_at_its_field_and_kept(
    ada: Client, nightly: Agent, field: str, typed: str
) -> None:
    before = row(nightly)
    response = save(ada, nightly, **{field: typed})
    assert list(errors_of(response)) == [field]
    page = parsed(response)
    [alert] = find(page, "form [role=alert]")
    assert [attr(link, "href") for link in find(alert, "a")] == [f"#id_{field}"]
    assert has(alert, "autofocus")
    [control] = find(page, f"#id_{field}")
    assert attr(control, "aria-invalid") == "true"
    assert find(page, f"#id_{field}_error")
    if "\0" not in typed:
        assert sent_by_browser(response)[field] == [typed.replace("\n", "\r\n")]
    assert row(nightly) == before


def test_a_folded_field_with_something_in_it_is_shown(ada: Client, make_agent: MakeAgent) -> None:
    for fields, is_open in (({}, False), ({"deny_out": ["x"]}, True)):
        [details] = find(parsed(ada.get(edit_url(make_agent(**fields)))), "details")
        assert has(details, "open") is is_open


# Rows of variables and files


@pytest.mark.parametrize(
    ("rows", "stored"),
    [
        ([("TOKEN", MASK), ("REGION", MASK)], {"TOKEN": "s3cret-value", "REGION": "eu"}),
        ([("TOKEN", "new"), ("REGION", MASK)], {"TOKEN": "new", "REGION": "eu"}),
        ([("TOKEN", MASK), ("", MASK)], {"TOKEN": "s3cret-value"}),
        ([("TOKEN", MASK), ("", "")], {"TOKEN": "s3cret-value"}),
        ([(" ADDED ", " x "), ("TOKEN", "")], {"ADDED": " x ", "TOKEN": ""}),
        ([], {}),
    ],
)
def test_rows_say_what_becomes_of_the_variables(
    ada: Client, nightly: Agent, rows: list[tuple[str, str]], stored: dict[str, str]
) -> None:
    assert save(ada, nightly, **variables(*rows)).status_code == 302
    nightly.refresh_from_db()
    assert nightly.env_vars == stored


def test_without_rows_the_variables_are_left_alone(ada: Client, nightly: Agent) -> None:
    sent = {name: values for name, values in opened(ada, nightly).items() if "env_vars" not in name}
    ada.post(edit_url(nightly), {**sent, "name": "Mine"})
    nightly.refresh_from_db()
    assert (nightly.name, nightly.env_vars["TOKEN"]) == ("Mine", "s3cret-value")


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        (("", "x"), "Give this value a name, or empty it."),
        (("TOKEN", "x"), "TOKEN is given twice."),
        (("A", f"{MASK}x"), "Replace the mask ******** as a whole, or leave it to keep the stored"),
        (("A-B", "x"), "'A-B' is not a name: use letters, digits and _ only"),
        (("100%s", "x"), "'100%s' is not a name: use letters, digits and _ only"),
        (("PORT", "x"), "PORT is set by the platform; choose another name"),
        (("A", "a\0b"), "the value of A holds a NUL character"),
    ],
)
def test_a_bad_row_says_so_itself_and_is_kept(
    ada: Client, nightly: Agent, typed: tuple[str, str], problem: str
) -> None:
    before = row(nightly)
    response = save(ada, nightly, **variables(("TOKEN", MASK), typed))
    page = parsed(response)
    [bad] = find(page, ".row.invalid")
    [name] = find(bad, "input")
    [told] = find(page, f"#{attr(name, 'aria-describedby')}")
    assert problem in text(told)
    assert attr(name, "value") == typed[0]
    [link] = find(page, "form [role=alert] a")
    assert find(page, attr(link, "href"))
    assert row(nightly) == before


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("OTHER", MASK)], f"OTHER has the mask {MASK} as its value, but no value is stored"),
        ([(f"V{n}", "x") for n in range(51)], "holds 51 variables; at most 50"),
    ],
)
def test_what_is_wrong_with_all_rows_is_said_below_them(
    ada: Client, nightly: Agent, rows: list[tuple[str, str]], problem: str
) -> None:
    response = save(ada, nightly, **variables(*rows))
    assert errors_of(response) == {"env_vars": [problem]}
    assert [text(p) for p in find(parsed(response), "#id_env_vars > .error")] == [problem]
    assert len(sent_by_browser(response)["env_vars.key"]) == len(rows) + 2


def test_stored_secrets_never_reach_a_form(ada: Client, nightly: Agent) -> None:
    for response in (ada.get(edit_url(nightly)), save(ada, nightly, model="")):
        assert "s3cret-value" not in response.content.decode()
        assert sent_by_browser(response)["env_vars.key"] == ["TOKEN", "REGION", "", ""]
        assert sent_by_browser(response)["env_vars.value"] == [MASK, MASK, "", ""]


@pytest.mark.parametrize(
    ("path", "content", "problem"),
    [
        ("../x", "", "must be a path below the sandbox"),
        ("", "x", "Give this file a path, or empty it."),
        ("a", "\0", "holds a NUL character"),
    ],
)
def test_a_bad_file_says_so_itself(
    ada: Client, nightly: Agent, path: str, content: str, problem: str
) -> None:
    typed = {"sandbox_files.key": ["ok", path], "sandbox_files.value": ["", content]}
    [told] = find(parsed(save(ada, nightly, **typed)), "#sandbox_files_2_error")
    assert problem in text(told)


def test_files_that_are_not_edited_keep_their_line_ends(ada: Client, make_agent: MakeAgent) -> None:
    contents = ["@echo\r\nrem", "one\rtwo", "one\ntwo", "mixed\r\n\r\n\n\rends"]
    files = [{"path": f"f{n}", "content": content} for n, content in enumerate(contents)]
    agent = make_agent(sandbox_files=files)
    sent = opened(ada, agent)
    sent["sandbox_files.value"][2] = "edited\r\n"
    assert ada.post(edit_url(agent), sent).status_code == 302
    agent.refresh_from_db()
    assert agent.sandbox_files == [*files[:2], {"path": "f2", "content": "edited\n"}, files[3]]


@pytest.mark.parametrize(
    ("query", "name"), [("", "env_vars.key"), ("?of=sandbox_files", "sandbox_files.key")]
)
def test_a_blank_row_is_a_fragment(ada: Client, query: str, name: str) -> None:
    page = parsed(ada.get(reverse("variable-row") + query))
    [field] = find(page, "input")
    assert (attr(field, "name"), attr(field, "value")) == (name, "")
    assert has(field, "autofocus")
    assert find(page, "h1") == []


@pytest.mark.parametrize(
    ("codename", "status"), [("add_agent", 200), ("change_agent", 200), ("view_agent", 403)]
)
def test_a_blank_row_is_for_who_may_open_a_form(
    db: None, client: Client, codename: str, status: int
) -> None:
    bob = User.objects.create(username="bob")
    bob.user_permissions.set(Permission.objects.filter(codename=codename))
    client.force_login(bob)
    assert client.get(reverse("variable-row")).status_code == status


# Two editors


def test_somebody_elses_edit_meanwhile_is_shown_and_not_overwritten(
    ada: Client, nightly: Agent
) -> None:
    sent = {**opened(ada, nightly), "name": "Mine", "prompt": "My prompt."}
    theirs = {
        "name": "Theirs",
        "env_vars": {"TOKEN": "hidden-value", "REGION": "eu"},
        "requirements": "x" * 9000,
    }
    edit_agent(nightly.id, theirs, "bob")
    before = row(nightly)
    response = ada.post(edit_url(nightly), sent)
    [alert] = find(parsed(response), "form [role=alert]")
    texts = [text(one) for one in find(alert, "dl > *")]
    shown = dict(zip(texts[::2], texts[1::2], strict=True))
    assert shown == {
        "Environment variables": "TOKEN, REGION",
        "Name": "Theirs",
        "Requirements": f"{'x' * 299}…",
    }
    assert "hidden-value" not in response.content.decode()
    kept = sent_by_browser(response)
    assert (kept["name"], kept["prompt"]) == (["Mine"], ["My prompt."])
    assert row(nightly) == before


def test_saving_mine_anyway_is_a_second_look(ada: Client, nightly: Agent) -> None:
    sent = {**opened(ada, nightly), "name": "Mine"}
    edit_agent(nightly.id, {"name": "Theirs", "prompt": "Theirs."}, "bob")
    response = ada.post(edit_url(nightly), sent)
    page = parsed(response)
    assert [text(button) for button in find(page, ".buttons button")] == ["Save mine anyway"]
    [discard] = find(page, ".buttons a")
    assert (text(discard), attr(discard, "href")) == ("Discard mine", edit_url(nightly))
    assert ada.post(edit_url(nightly), sent_by_browser(response)).status_code == 302
    nightly.refresh_from_db()
    assert (nightly.name, nightly.prompt) == ("Mine", "")


def test_a_new_schedule_meanwhile_is_nothing_to_this_form(ada: Client, nightly: Agent) -> None:
    sent = {**opened(ada, nightly), "name": "Mine"}
    edit_agent(nightly.id, {"cron_schedule": "5 5 * * *"}, "bob")
    assert ada.post(edit_url(nightly), sent).status_code == 302
    nightly.refresh_from_db()
    assert (nightly.name, nightly.cron_schedule) == ("Mine", "5 5 * * *")


# Who may do what


@pytest.mark.parametrize(
    ("codename", "allowed"),
    [("view_agent", set()), ("add_agent", {"new"}), ("change_agent", {"edit"})],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_each_form_needs_its_permission(
    client: Client, nightly: Agent, codename: str, allowed: set[str], method: str
) -> None:
    bob = User.objects.create(username="bob")
    bob.user_permissions.set(Permission.objects.filter(codename=codename))
    client.force_login(bob)
    urls = {"new": NEW, "edit": edit_url(nightly)}
    answers = {name: getattr(client, method)(url).status_code for name, url in urls.items()}
    assert answers == {name: 200 if name in allowed else 403 for name in urls}


def test_variables_that_no_key_opens_are_kept(ada: Client, nightly: Agent) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE agents_agent SET env_vars = 'of another key'")
    assert "cannot be read" in ada.get(edit_url(nightly)).content.decode()
    assert save(ada, nightly, name="Mine").status_code == 302
    nightly.refresh_from_db()
    assert nightly.name == "Mine"
    assert isinstance(nightly.env_vars, Undecryptable)
