"""The page of one session: what it shows, what can be done from it, how it stays current."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from agents.editing import delete_agent
from agents.models import Agent
from lap.core import clock
from sessions.models import Session, Worker
from tests.api import NOBODY
from tests.browser.markup import check_html
from tests.conftest import MakeAgent
from tests.sessions.fake_harness import FakeHarness, answer
from tests.sessions.pages import HTMX, fragment, person, session_of, text_of

NINE = datetime(2026, 3, 2, 17, tzinfo=UTC)
ASKED = {"info": {"id": "m1", "role": "user"}, "parts": [{"type": "text", "text": "How <full>?"}]}
ANSWERED = {
    "info": {"id": "m2", "role": "assistant", "time": {"created": 1, "completed": 2}},
    "parts": [{"type": "text", "text": "It is 40 % full."}],
}
PENDING = {"info": {"id": "m2", "role": "assistant", "time": {"created": 1}}, "parts": []}
TOOL = {
    "info": {"role": "assistant"},
    "parts": [
        {"type": "tool", "tool": "bash", "state": {"input": {"command": "ls"}, "output": "a"}},
        {"type": "text", "text": "a\n\n```\nb\n```\n" + "c " * 4000},
    ],
}
THREAD = [ASKED, ANSWERED]


@pytest.fixture
def ada(client: Client, db: None) -> Client:
    """A browser of somebody who may look at sessions and change them."""
    client.force_login(person("view_session", "change_session"))
    return client


@pytest.fixture
def guest(client: Client, db: None) -> Client:
    """A browser of somebody who may only look at sessions."""
    client.force_login(person("view_session"))
    return client


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent(
        name="Nightly", cron_schedule="0 9 * * *", cron_timezone="America/Los_Angeles"
    )


@pytest.fixture
def harness() -> Iterator[FakeHarness]:
    fake = FakeHarness()
    fake.routes["GET /session/h1/message"] = lambda _: answer(THREAD)
    fake.routes["POST /session/h1/message"] = lambda _: answer(ANSWERED)
    fake.routes["POST /session/h1/abort"] = lambda _: answer(True)
    yield fake
    fake.close()


@pytest.fixture
def talk(agent: Agent, harness: FakeHarness) -> Session:
    """A conversation that is ready, with nothing stored of what was said."""
    return session_of(
        agent, status="ready", phase="ready", started_at=clock.now(), sandbox_url=harness.url,
        harness_token="token", harness_session_id="h1",
    )  # fmt: skip


def run_of(agent: Agent, **columns: Any) -> Session:
    """A scheduled run that has ended."""
    return session_of(
        agent,
        **{
            "trigger": "cron",
            "scheduled_for": NINE,
            "created_at": NINE + timedelta(milliseconds=420),
            "started_at": NINE + timedelta(seconds=1),
            "status": "completed",
            "initial_prompt": "How <full>?",
            "thread": THREAD,
            **columns,
        },
    )


def url(session: Session, name: str = "session") -> str:
    return reverse(name, args=[session.id])


def show(client: Client, session: Session) -> str:
    return text_of(client.get(url(session)))


def address(page: str, id_: str) -> str:
    """Where a live part asks whether it has changed; empty when it does not ask."""
    element = re.search(rf'<div id="{id_}"[^>]*>', page)
    assert element, page
    found = re.search(r'hx-get="([^"]+)"', element[0])
    return unescape(found[1]) if found and "look from:body" in element[0] else ""


def test_a_run_tells_where_it_came_from(ada: Client, agent: Agent) -> None:
    session = run_of(agent, created_by="", run_timeout_seconds=90)
    Worker.objects.create(host="here", pid=7, version="1", expires_at=clock.now())
    ada.cookies["lap_zone"] = "Europe/Berlin"
    page = show(ada, session)
    assert "2026-03-02 09:00 PST" in page
    assert "2026-03-02 18:00 CET" in page
    assert "0.42 s" in page
    assert "1 min 30 s" in page
    assert str(session.id) in page


def test_a_zone_that_is_gone_is_left_out(ada: Client, agent: Agent) -> None:
    Agent.objects.filter(id=agent.id).update(cron_timezone="Nowhere/Else")
    assert "2026-03-02 17:00 UTC" in show(ada, run_of(agent))


def test_what_was_said_is_on_the_page_itself_once_it_has_ended(ada: Client, agent: Agent) -> None:
    page = show(ada, run_of(agent))
    assert "<pre><code>How &lt;full&gt;?</code></pre>" in page
    assert "It is 40 % full." in page
    assert not address(page, "thread")
    assert not address(page, "state")


def test_a_failure_is_told_with_what_to_do(ada: Client, agent: Agent) -> None:
    failed = run_of(agent, status="failed", failure_reason="exit status <3>", failure_kind="prompt")
    page = show(ada, failed)
    assert "Exit status &lt;3&gt;" in page
    assert "The thread shows how far it came." in page
    assert 'class="note error"' in page


def test_a_stop_is_no_trouble(ada: Client, agent: Agent) -> None:
    page = show(
        ada, run_of(agent, status="dead", failure_reason="stopped by ada", failure_kind="stopped")
    )
    assert "Stopped by ada" in page
    assert 'class="note error"><' not in page


def test_its_agent_may_be_gone(ada: Client, agent: Agent) -> None:
    session = run_of(agent)
    delete_agent(agent.id, "test")
    page = show(ada, session)
    assert "(deleted)" in page
    assert reverse("agent", args=[agent.id]) not in page
    assert reverse("restart-session", args=[session.id]) not in page


@pytest.mark.parametrize("name", ["session", "session-state", "session-thread", "thread-file"])
def test_a_session_that_never_was(ada: Client, name: str) -> None:
    assert ada.get(reverse(name, args=[NOBODY])).status_code == 404


@pytest.mark.parametrize("name", ["stop-session", "restart-session", "send-message", "abort-turn"])
def test_nothing_can_be_done_to_a_session_that_never_was(ada: Client, name: str) -> None:
    assert ada.post(reverse(name, args=[NOBODY]), {"text": "x"}).status_code == 404


@pytest.mark.parametrize("name", ["stop-session", "restart-session", "send-message", "abort-turn"])
def test_who_may_only_look_changes_nothing(guest: Client, talk: Session, name: str) -> None:
    page = show(guest, talk)
    assert url(talk, name) not in page
    assert "<textarea" not in page
    assert guest.post(url(talk, name), {"text": "x"}).status_code == 403
    talk.refresh_from_db()
    assert (talk.status, talk.attempt) == ("ready", 1)


def test_it_never_reads_what_is_secret(
    ada: Client, agent: Agent, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    session = run_of(agent, env_vars={"A": "s3cret"}, harness_token="s3cret")
    with django_assert_max_num_queries(9) as queries:
        page = show(ada, session)
    read = " ".join(query["sql"] for query in queries)
    assert not re.search(r'_session"\."(env_vars|attachments|harness_token)"', read)
    assert "s3cret" not in page


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"status": "creating", "phase": "retrying", "phase_detail": "<no>"}, id="new"),
        pytest.param({"status": "ready", "thread": [ASKED, PENDING]}, id="at work"),
        pytest.param({"status": "stopping", "stop_as": "dead", "failure_reason": "<x>"}, id="stop"),
        pytest.param({"status": "failed", "failure_kind": "timeout", "thread": [TOOL]}, id="end"),
    ],
)
def test_its_html_is_valid_in_every_state(ada: Client, agent: Agent, columns: Any) -> None:
    assert check_html(show(ada, session_of(agent, initial_prompt="hi", **columns))) == []


# Staying current


def test_the_state_is_sent_again_only_when_it_has_changed(
    ada: Client, agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    session = session_of(agent)
    live = address(show(ada, session), "state")
    with django_assert_num_queries(5):  # 4 of them: who asks, and whether they may
        assert fragment(ada, live).status_code == 204
    Session.objects.filter(id=session.id).update(
        phase="cloning_repo", phase_detail="<main>", started_at=NINE
    )
    changed = fragment(ada, live)
    assert "Cloning the repository" in text_of(changed)
    assert "&lt;main&gt;" in text_of(changed)
    assert changed["HX-Trigger"] == "moved"
    assert fragment(ada, address(text_of(changed), "state")).status_code == 204


def test_the_end_is_the_last_that_is_asked_for(ada: Client, agent: Agent) -> None:
    session = session_of(agent, status="stopping", stop_as="dead")
    live = address(show(ada, session), "state")
    Session.objects.filter(id=session.id).update(status="dead", stopped_at=clock.now())
    assert not address(text_of(fragment(ada, live)), "state")


def test_sending_becomes_possible_without_touching_what_is_typed(ada: Client, agent: Agent) -> None:
    session = session_of(agent)
    page = show(ada, session)
    assert '<button class="primary" disabled>Send</button>' in page
    Session.objects.filter(id=session.id).update(status="ready")
    changed = text_of(fragment(ada, address(page, "state")))
    assert '<div id="send" class="buttons" hx-swap-oob="true">' in changed
    assert '<button class="primary">Send</button>' in changed
    assert "<textarea" not in changed


def test_the_thread_of_a_ready_session_is_its_harness_s(
    ada: Client, talk: Session, harness: FakeHarness
) -> None:
    page = show(ada, talk)
    assert harness.asked == []
    shown = text_of(fragment(ada, address(page, "thread")))
    assert "It is 40 % full." in shown
    live = address(shown, "thread")
    assert fragment(ada, live).status_code == 204
    harness.routes["GET /session/h1/message"] = lambda _: answer([*THREAD, ASKED, PENDING])
    working = text_of(fragment(ada, live))
    assert "Working…" in working
    assert url(talk, "abort-turn") in working


def test_a_harness_that_cannot_be_asked_leaves_what_is_stored(
    ada: Client, talk: Session, harness: FakeHarness
) -> None:
    Session.objects.filter(id=talk.id).update(thread=THREAD)
    harness.routes["GET /session/h1/message"] = lambda _: answer({}, 500)
    shown = text_of(fragment(ada, url(talk, "session-thread")))
    assert "cannot be asked just now" in shown
    assert "It is 40 % full." in shown
    assert fragment(ada, address(shown, "thread")).status_code == 204


def test_before_anything_is_said_the_prompt_is_shown(ada: Client, agent: Agent) -> None:
    page = show(ada, session_of(agent, initial_prompt="echo <hi>"))
    assert "echo &lt;hi&gt;" in page
    assert "Nothing was said." in show(ada, run_of(agent, initial_prompt="", thread=[]))


def test_a_thread_of_junk_is_shown_all_the_same(ada: Client, agent: Agent) -> None:
    page = show(ada, run_of(agent, thread=["<junk>", {"info": 7, "parts": 7}]))
    assert "&lt;junk&gt;" in page


def test_what_is_too_long_can_be_had_as_json(ada: Client, agent: Agent) -> None:
    long = {"info": {"role": "assistant"}, "parts": [{"type": "text", "text": "x" * 50_000}]}
    session = run_of(agent, thread=[ASKED, long])
    assert url(session, "thread-file") in show(ada, session)
    assert json.loads(ada.get(url(session, "thread-file")).content) == [ASKED, long]


# Saying something


def say(client: Client, session: Session, text: str, **options: Any) -> Any:
    return client.post(url(session, "send-message"), {"text": text}, **options)


def test_a_message_is_sent_and_the_box_is_empty_again(
    ada: Client, talk: Session, harness: FakeHarness
) -> None:
    answered = say(ada, talk, "one\r\ntwo", headers=HTMX)
    assert "</textarea>" in text_of(answered)
    assert "one" not in re.findall(r"<textarea[^>]*>([^<]*)<", text_of(answered))[0]
    assert answered["HX-Trigger"] == "moved"
    assert harness.asked[0][1]["parts"] == [{"type": "text", "text": "one\ntwo"}]


def test_without_javascript_the_page_is_shown_again(ada: Client, talk: Session) -> None:
    assert say(ada, talk, "hi")["Location"] == url(talk)
    talk.refresh_from_db()
    assert talk.thread == THREAD


@pytest.mark.parametrize("headers", [HTMX, {}], ids=["htmx", "plain"])
def test_what_was_typed_is_kept_when_it_cannot_be_sent(
    ada: Client, talk: Session, harness: FakeHarness, headers: Any
) -> None:
    harness.routes["POST /session/h1/message"] = lambda _: answer({}, 500)
    page = text_of(say(ada, talk, "What about <sda2>?", headers=headers))
    assert "gave no usable answer" in page
    assert "What about &lt;sda2&gt;?</textarea>" in page
    assert ("<html" in page) == (not headers)


def test_a_blank_message_is_not_sent(ada: Client, talk: Session, harness: FakeHarness) -> None:
    assert "Write a message first." in text_of(say(ada, talk, " \r\n", headers=HTMX))
    assert harness.asked == []


def test_a_session_that_ended_meanwhile_says_so(ada: Client, talk: Session) -> None:
    Session.objects.filter(id=talk.id).update(status="dead", stopped_at=clock.now())
    page = text_of(say(ada, talk, "still there?", headers=HTMX))
    assert "Not sent: the session is dead, not ready." in page
    assert "still there?</textarea>" in page


def test_a_run_has_no_box_and_takes_no_messages(ada: Client, agent: Agent) -> None:
    run = run_of(agent, status="ready")
    page = show(ada, run)
    assert "A run takes no messages" in page
    assert "<textarea" not in page
    assert "a run takes no messages until it has ended" in text_of(
        say(ada, run, "hi", headers=HTMX)
    )


def test_a_turn_is_ended(ada: Client, talk: Session, harness: FakeHarness) -> None:
    assert "It is 40 % full." in text_of(ada.post(url(talk, "abort-turn"), headers=HTMX))
    assert ada.post(url(talk, "abort-turn"))["Location"] == url(talk)
    asked = [request for request, _ in harness.asked]
    assert asked.count("POST /session/h1/abort") == 2


def test_a_turn_that_cannot_be_ended_says_so(
    ada: Client, talk: Session, harness: FakeHarness
) -> None:
    harness.routes["POST /session/h1/abort"] = lambda _: answer({}, 500)
    assert ada.post(url(talk, "abort-turn"), headers=HTMX)["HX-Redirect"] == url(talk)
    assert "Not ended: the sandbox cannot be reached." in show(ada, talk)


# Ending and beginning anew


def test_a_stop_says_who_asked_for_it(ada: Client, agent: Agent) -> None:
    session = session_of(agent)
    assert ada.post(url(session, "stop-session"))["Location"] == url(session)
    session.refresh_from_db()
    assert (session.status, session.failure_reason) == ("stopping", "stopped by ada")
    assert url(session, "stop-session") not in show(ada, session)


def test_a_session_that_has_ended_is_not_stopped_again(ada: Client, agent: Agent) -> None:
    page = text_of(ada.post(url(run_of(agent), "stop-session"), follow=True))
    assert "The session had already ended: it is completed." in page


def test_a_session_is_begun_anew(ada: Client, talk: Session, harness: FakeHarness) -> None:
    assert ada.post(url(talk, "restart-session"))["Location"] == url(talk)
    talk.refresh_from_db()
    assert (talk.status, talk.attempt, talk.thread) == ("creating", 2, THREAD)


def test_a_restart_that_is_refused_says_why(ada: Client, agent: Agent) -> None:
    ended, _ = run_of(agent), run_of(agent, scheduled_for=NINE + timedelta(days=1), status="ready")
    page = text_of(ada.post(url(ended, "restart-session"), follow=True))
    assert "Not restarted: another run of this agent is active" in page
