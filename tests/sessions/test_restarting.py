"""Sessions that begin anew, and what is kept for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from agents.editing import delete_agent, edit_agent
from agents.models import Agent
from lap.core import clock
from sessions.models import Session
from sessions.querysets import FINAL
from sessions.restarting import restart_session
from sessions.stopping import stop_session
from sessions.sweeps import wipe_secrets
from tests.api import SESSIONS, Api
from tests.conftest import MakeAgent
from tests.processes import (
    Sink,
    Workers,
    held_backends,
    held_writes,
    reload,
    sandboxes_of,
    wait_for,
)

ENDED = {"status": "dead", "failure_reason": "stopped", "stopped_at": "2026-03-01T09:00:00Z"}
THREAD = [
    {"info": {"role": "user"}, "parts": [{"type": "text", "text": "a\nb"}, {"type": "image"}]},
    {"info": {"role": "assistant"}, "parts": [{"type": "text", "text": "c"}]},
]


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent()


def restart(session: Session) -> Any:
    return Api().post(f"{SESSIONS}/{session.id}/restart")


@pytest.mark.parametrize("status", FINAL)
def test_an_ended_session_is_created_anew(agent: Agent, status: str) -> None:
    session = Session.objects.create(
        agent=agent, thread=THREAD, response="c", tries=2, **{**ENDED, "status": status}
    )
    answer = restart(session)
    assert answer.status == 200
    assert (answer.body["id"], answer.body["status"]) == (str(session.id), "creating")
    assert (answer.body["response"], answer.body["failure_reason"]) == (None, None)
    assert (answer.body["started_at"], answer.body["stopped_at"]) == (None, None)
    session.refresh_from_db()
    assert (session.attempt, session.tries, session.thread) == (2, 0, THREAD)
    assert session.replays_thread


@pytest.mark.parametrize("status", ["creating", "stopping"])
def test_a_session_on_its_way_is_a_conflict(agent: Agent, status: str) -> None:
    session = Session.objects.create(agent=agent, status=status, stop_as="dead")
    answer = restart(session)
    assert answer.status == 409
    assert answer.error == f"the session is {status}; wait until that is over"


def test_a_run_is_not_restarted_beside_another(agent: Agent) -> None:
    ended = Session.objects.create(agent=agent, trigger="manual", **ENDED)
    Session.objects.create(agent=agent, trigger="manual")
    answer = restart(ended)
    assert (answer.status, "another run" in answer.error) == (409, True)


def test_a_conversation_is_restarted_beside_a_run(agent: Agent) -> None:
    ended = Session.objects.create(agent=agent, **ENDED)
    Session.objects.create(agent=agent, trigger="manual")
    assert restart(ended).status == 200


def test_a_deleted_agent_s_session_stays_ended(agent: Agent) -> None:
    ended = Session.objects.create(agent=agent, **ENDED)
    delete_agent(agent.id, "test")
    answer = restart(ended)
    assert (answer.status, answer.error) == (409, "its agent was deleted")


def test_variables_are_kept_for_a_while_and_then_forgotten(agent: Agent, settings: Any) -> None:
    settings.LAP_SESSION_SECRETS_SECONDS = 3600
    now = clock.now()
    secrets: Any = {"env_vars": {"A": "1"}, "attachments": []}
    young, old = (
        Session.objects.create(
            agent=agent, **{**secrets, **ENDED, "stopped_at": now - timedelta(seconds=seconds)}
        )
        for seconds in (3500, 3700)
    )
    running = Session.objects.create(agent=agent, **secrets, status="ready")
    assert wipe_secrets() == 1
    assert wipe_secrets() == 0
    kept = Session.objects.filter(env_vars__isnull=False)
    assert set(kept.values_list("id", flat=True)) == {young.id, running.id}
    assert restart(young).status == 200
    answer = restart(old)
    assert answer.status == 409
    assert "no longer kept" in answer.error


# With real workers and sandboxes


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_conversation_goes_on_in_a_new_sandbox(
    workers: Workers, make_agent: MakeAgent, sink: Sink
) -> None:
    sink.release()
    colour: Any = {"COLOUR": "green"}
    session = Session.objects.create(
        agent=make_agent(), initial_prompt=sink.script, env_vars=colour
    )
    workers.start()
    wait_for(lambda: reload(session).prompt_answered_at, 60)
    first_thread = session.thread
    assert talk(session, "echo $COLOUR") == "green\n"

    assert restart(session).body["status"] == "creating"
    wait_for(lambda: reload(session).prompt_answered_at and session.status == "ready", 60)
    wait_for(lambda: sandboxes_of(workers) == [f"s-{session.id}-2"])
    assert sink.count == 1, "the replayed thread was run again"
    replayed = session.thread[0]["parts"][0]["text"]
    assert all(line.startswith("# ") for line in replayed.splitlines())
    assert sink.script in replayed
    assert "assistant: green" in replayed
    assert first_thread[0]["info"]["id"] != session.thread[0]["info"]["id"]
    assert talk(session, "echo still $COLOUR") == "still green\n"

    Session.objects.update(thread=[])  # as if no message had been kept: the end reads it again
    assert Api().post(f"{SESSIONS}/{session.id}/stop").body["status"] == "deleted"
    wait_for(lambda: reload(session).status == "dead", 60)
    told = Api().get(f"{SESSIONS}/{session.id}/messages").body
    assert [message["info"]["role"] for message in told] == ["user", "assistant"] * 2
    assert told[-1]["parts"][0]["text"] == "still green\n"

    assert restart(session).status == 200
    wait_for(lambda: reload(session).prompt_answered_at and session.status == "ready", 60)
    assert talk(session, "echo again $COLOUR") == "again green\n"


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_run_does_its_work_again(workers: Workers, make_agent: MakeAgent, sink: Sink) -> None:
    sink.release()
    session = Session.objects.create(
        agent=make_agent(), trigger="manual", initial_prompt=f"{sink.script}; exit 3"
    )
    workers.start()
    wait_for(lambda: reload(session).status == "failed", 60)
    assert restart(session).status == 200
    wait_for(lambda: sink.count == 2 and reload(session).status == "failed", 60)
    assert (session.attempt, session.failure_reason) == (2, "exit status 3")
    assert session.thread[0]["parts"][1]["text"] == session.initial_prompt


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_run_restarted_in_its_middle_ends_once(
    workers: Workers, make_agent: MakeAgent, sink: Sink
) -> None:
    session = Session.objects.create(
        agent=make_agent(), trigger="manual", initial_prompt=sink.script
    )
    workers.start()
    wait_for(lambda: sink.count == 1, 60)
    assert restart(session).status == 200
    wait_for(lambda: sink.count == 2, 60)
    wait_for(lambda: sandboxes_of(workers) == [f"s-{session.id}-2"])
    sink.release()
    wait_for(lambda: reload(session).status == "completed", 60)
    assert (session.attempt, session.response) == (2, "the sink let me go\n")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_restart_that_is_stopped_at_once_leaves_no_sandbox(
    workers: Workers, make_agent: MakeAgent, sink: Sink
) -> None:
    session = Session.objects.create(
        agent=make_agent(), trigger="manual", initial_prompt=sink.script
    )
    workers.start()
    wait_for(lambda: sink.count == 1, 60)
    with transaction.atomic():
        restart_session(session.id)
        stop_session(session.id, "stopped by the test")
    wait_for(lambda: reload(session).status == "dead", 60)
    assert sandboxes_of(workers) == []


@pytest.fixture
def told_again(workers: Workers, make_agent: MakeAgent, sink: Sink) -> Session:
    """A conversation whose script has run."""
    sink.release()
    session = Session.objects.create(agent=make_agent(), initial_prompt=sink.script)
    workers.start()
    wait_for(lambda: reload(session).prompt_answered_at, 60)
    return session


BEFORE_THE_REPLAY = "OLD.attempt = 2 AND OLD.prompt_sent_at IS NULL AND NEW.prompt_sent_at NOTNULL"


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_thread_that_was_not_told_yet_is_kept(told_again: Session) -> None:
    with held_writes(BEFORE_THE_REPLAY) as release:
        restart_session(told_again.id)
        wait_for(held_backends, 60)
        stop = threading.Thread(target=in_thread(lambda: stop_session(told_again.id, "stopped")))
        stop.start()
        release()
        stop.join()
    wait_for(lambda: reload(told_again).status == "dead", 60)
    assert [message["info"]["role"] for message in told_again.thread] == ["user", "assistant"]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_an_edited_agent_s_sandbox_is_told_what_it_understands(
    told_again: Session, sink: Sink
) -> None:
    with held_writes(BEFORE_THE_REPLAY) as release:
        restart_session(told_again.id)
        wait_for(held_backends, 60)
        edit_agent(told_again.agent_id, {"harness_id": "opencode"}, "test")
        release()
    wait_for(lambda: reload(told_again).prompt_answered_at, 60)
    assert sink.count == 1
    assert told_again.thread[0]["parts"][0]["text"].startswith("# ")


def in_thread(action: Callable[[], object]) -> Callable[[], None]:
    """The action on a connection that ends with its thread."""

    def run() -> None:
        try:
            action()
        finally:
            connection.close()

    return run


def talk(session: Session, script: str) -> str:
    answer = Api().post(f"{SESSIONS}/{session.id}/message", {"text": script})
    assert answer.status == 200, answer
    text: str = answer.body["parts"][0]["text"]
    return text
