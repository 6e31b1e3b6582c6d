"""Sessions and workers in Django's admin: to look at, and sessions to stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from agents.editing import create_agent, delete_agent
from agents.models import Agent
from lap.core import clock
from sessions.models import Session, Worker

LIST = "/admin/agent_sessions/session/"
WORKERS = "/admin/agent_sessions/worker/"
NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def ada(db: None, client: Client) -> Client:
    """A browser in which a superuser is logged in."""
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def agent(db: None) -> Agent:
    return create_agent(
        {"name": "Nightly", "model": "none", "env_vars": {"A": "agent s3cret"}}, "test"
    )


def run(agent: Agent, **fields: Any) -> Session:
    """A scheduled run that has ended, and everything about it that must stay secret."""
    defaults = {
        "trigger": "cron",
        "scheduled_for": NINE,
        "created_at": NINE + timedelta(milliseconds=420),
        "started_at": NINE + timedelta(seconds=1),
        "stopped_at": NINE + timedelta(seconds=66),
        "status": "completed",
        "phase": "ready",
        "initial_prompt": "df -h\nuptime",
        "response": "all <b>well</b>",
        "env_vars": {"TOKEN": "env s3cret"},
        "attachments": [{"base64": "attached s3cret"}],
        "harness_token": "harness s3cret",
        "callback_token_hash": "callback s3cret",
    }
    return Session.objects.create(agent=agent, **{**defaults, **fields})


def detail(client: Client, session: Session) -> str:
    url = reverse("admin:agent_sessions_session_change", args=[session.pk])
    return str(client.get(url).content.decode())


def listed(client: Client, query: str) -> set[Any]:
    return {row.pk for row in client.get(query).context["cl"].result_list}


def test_the_list_tells_a_scheduled_run_from_a_conversation(ada: Client, agent: Agent) -> None:
    run(agent)
    run(agent, trigger="manual", scheduled_for=None)
    run(agent, trigger="api", scheduled_for=None)
    page = ada.get(LIST).content.decode()
    status = '<span class="lap-badge lap-good">completed</span>'
    assert f'{status} <span class="lap-badge lap-plain">cron</span>' in page
    assert f'{status} <span class="lap-badge lap-plain">manual</span>' in page
    assert page.count(status) == 3
    assert '<span class="lap-badge lap-plain">api</span>' not in page


def test_the_list_shows_instant_lateness_and_duration(ada: Client, agent: Agent) -> None:
    run(agent)
    page = ada.get(LIST).content.decode()
    assert '<td class="field-scheduled">2026-03-02 09:00 UTC</td>' in page
    assert '<td class="field-lateness">0.42 s</td>' in page
    assert '<td class="field-duration">1 min 5 s</td>' in page


def test_filters_and_search(ada: Client, agent: Agent) -> None:
    done, failed = run(agent), run(agent, status="failed", trigger="manual", scheduled_for=None)
    other = run(create_agent({"name": "Other", "model": "none"}, "test"))
    assert listed(ada, f"{LIST}?status__exact=failed") == {failed.pk}
    assert listed(ada, f"{LIST}?trigger__exact=cron") == {done.pk, other.pk}
    assert listed(ada, f"{LIST}?agent__id__exact={agent.pk}") == {done.pk, failed.pk}
    assert listed(ada, f"{LIST}?q=other") == {other.pk}
    assert listed(ada, f"{LIST}?q={done.pk}") == {done.pk}
    assert ada.get(f"{LIST}?agent__id__exact=nonsense", follow=True).status_code == 200


def test_the_page_shows_the_run_and_none_of_its_secrets(ada: Client, agent: Agent) -> None:
    session = run(agent, failure_reason="<script>alert(1)</script>", phase_detail="cloned")
    page = detail(ada, session)
    assert "all &lt;b&gt;well&lt;/b&gt;" in page
    assert "df -h\nuptime" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "cloned" in page
    assert "s3cret" not in page


def message(role: str, part: dict[str, str]) -> dict[str, Any]:
    return {"info": {"role": role}, "parts": [part]}


@pytest.mark.parametrize(
    ("thread", "shown"),
    [
        ([], "—"),
        ([message("user", {"type": "text", "text": "<i>"})], "user:\n&lt;i&gt;"),
        ([message("assistant", {"type": "tool"})], "&quot;tool&quot;"),
        ([{"info": None, "parts": "x"}, 7, None], '<pre class="lap-text">7</pre>'),
        ({"not": "a list"}, "&quot;not&quot;"),
        ("just text", "just text"),
    ],
)
def test_a_thread_of_any_shape_is_text(ada: Client, agent: Agent, thread: Any, shown: str) -> None:
    assert shown in detail(ada, run(agent, thread=thread))


def test_nothing_can_be_added_changed_or_deleted(ada: Client, agent: Agent) -> None:
    session = run(agent)
    url = reverse("admin:agent_sessions_session_change", args=[session.pk])
    assert ada.get(f"{LIST}add/").status_code == 403
    assert ada.post(url, {"status": "dead"}).status_code == 403
    assert ada.post(f"{LIST}{session.pk}/delete/", {"post": "yes"}).status_code == 403
    ada.post(LIST, {"action": "delete_selected", "_selected_action": [session.pk], "post": "yes"})
    session.refresh_from_db()
    assert session.status == "completed"


def test_a_deleted_agent_is_named_and_not_linked(ada: Client, agent: Agent) -> None:
    run(agent)
    assert f"/admin/agents/agent/{agent.pk}/change/" in ada.get(LIST).content.decode()
    delete_agent(agent.pk, "test")
    page = ada.get(LIST).content.decode()
    assert "Nightly (deleted)" in page
    assert f"/admin/agents/agent/{agent.pk}/change/" not in page


def test_fifty_sessions_cost_the_queries_of_one(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(50):
        run(create_agent({"name": f"a{n}", "model": "none"}, "test"))
    with django_assert_num_queries(4) as captured:  # cookie, user, count, rows
        page = ada.get(LIST).content.decode()
    assert page.count('class="field-lateness"') == 50
    rows = captured.captured_queries[-1]["sql"]
    for secret in ("env_vars", "harness_token", "attachments", "callback_token_hash", "thread"):
        assert f'"{secret}"' not in rows


def worker(ends_in: timedelta, **fields: Any) -> Worker:
    expires_at = clock.now() + ends_in
    return Worker.objects.create(
        host="pod-1", pid=7, version="0.1.0", expires_at=expires_at, **fields
    )


def test_workers_are_live_expired_or_ended(ada: Client) -> None:
    minute = timedelta(minutes=1)
    live = worker(minute, counters={"cron_fired": 12, "cron_considered": 15})
    expired = worker(-minute)
    ended = worker(minute, ended_at=clock.now())
    page = ada.get(WORKERS).content.decode()
    for shown in ('lap-good">live', 'lap-bad">expired', 'lap-plain">ended'):
        assert page.count(shown) == 1
    assert "cron_considered 15, cron_fired 12" in page
    assert listed(ada, f"{WORKERS}?state=live") == {live.pk}
    assert listed(ada, f"{WORKERS}?state=gone") == {expired.pk, ended.pk}


def test_a_worker_can_only_be_looked_at(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(50):
        live = worker(timedelta(minutes=1))
    with django_assert_num_queries(4):  # cookie, user, count, rows
        ada.get(WORKERS)
    url = f"{WORKERS}{live.pk}/change/"
    assert ada.get(url).status_code == 200
    assert ada.post(url, {"host": "x"}).status_code == 403
    assert ada.get(f"{WORKERS}add/").status_code == 403


# Stopping


def stop(client: Client, *sessions: Session) -> Any:
    sent = {"action": "stop", "_selected_action": [str(session.pk) for session in sessions]}
    return client.post(LIST, sent, follow=True)


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def chat(agent: Agent, **fields: Any) -> Session:
    return Session.objects.create(agent=agent, status="ready", **fields)


def test_selected_sessions_are_asked_to_stop_and_told_by_whom(ada: Client, agent: Agent) -> None:
    first, second, other = chat(agent), chat(agent), chat(agent)
    assert messages_of(stop(ada, first, second)) == ["Asked 2 sessions to stop."]
    for session in (first, second):
        session.refresh_from_db()
        assert (session.status, session.stop_as) == ("stopping", "dead")
        assert session.failure_reason == "stopped by ada"
    other.refresh_from_db()
    assert other.status == "ready"
    assert LogEntry.objects.filter(object_id=str(first.pk)).count() == 1


def test_what_has_ended_stays_as_it_ended(ada: Client, agent: Agent) -> None:
    done, open_ = run(agent), chat(agent)
    asked, ended = messages_of(stop(ada, done, open_))
    assert asked == "Asked 1 session to stop."
    assert ended == "1 of the selected sessions had already ended."
    done.refresh_from_db()
    assert (done.status, done.failure_reason) == ("completed", None)


@pytest.mark.parametrize(
    ("permissions", "status"),
    [(["view_session"], "ready"), (["view_session", "change_session"], "stopping")],
)
def test_stopping_needs_the_permission_to_change(
    client: Client, agent: Agent, permissions: list[str], status: str
) -> None:
    session = chat(agent)
    bob = User.objects.create(username="bob", is_staff=True)
    bob.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(bob)
    offered = "Stop selected sessions" in client.get(LIST).content.decode()
    stop(client, session)
    session.refresh_from_db()
    assert (offered, session.status) == (status == "stopping", status)


def test_the_list_tells_why_a_session_failed(ada: Client, agent: Agent) -> None:
    run(agent, status="failed", failure_reason=f"<b>exit status 3</b>: {'x' * 200}")
    page = ada.get(LIST).content.decode()
    assert "&lt;b&gt;exit status 3&lt;/b&gt;" in page
    assert "x" * 100 not in page
    assert page.count('<td class="field-failure">') == 1


def test_a_session_is_found_by_the_beginning_of_its_id(ada: Client, agent: Agent) -> None:
    session, _ = chat(agent), chat(agent)
    for text in (str(session.pk), str(session.pk)[:8], session.pk.hex[:12].upper()):
        assert listed(ada, f"{LIST}?q={text}") == {session.pk}


def test_it_leads_to_the_sessions_own_page(ada: Client, agent: Agent) -> None:
    session = chat(agent)
    assert f'href="{reverse("session", args=[session.pk])}"' in detail(ada, session)
