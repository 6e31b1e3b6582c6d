"""What was said until the end is kept, whatever ends it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from sessions.conversing import save_last_words
from sessions.models import Session
from sessions.sandboxes.local import LocalBackend
from tests.api import SESSIONS, Answer, Api
from tests.conftest import MakeAgent
from tests.processes import Sink, Workers, reload, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


class Asking:
    """A message on its way, in a thread of its own."""

    def __init__(self, session: Session, text: str) -> None:
        self._path = f"{SESSIONS}/{session.id}/message"
        self._text = text
        self._answers: list[Answer] = []
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def answer(self) -> Answer:
        self._thread.join(60)
        return self._answers[0]

    def _ask(self) -> None:
        try:
            self._answers.append(Api().post(self._path, {"text": self._text}))
        finally:
            connection.close()


@pytest.fixture
def ready(workers: Workers, make_agent: MakeAgent) -> Session:
    session = Session.objects.create(agent=make_agent())
    workers.start()
    wait_for(lambda: reload(session).status == "ready", 60)
    return session


@pytest.mark.parametrize("action", ["stop", "restart"])
def test_a_turn_that_is_cut_off_tells_what_it_has(ready: Session, sink: Sink, action: str) -> None:
    asking = Asking(ready, f"echo begun; {sink.script}")
    wait_for(lambda: sink.count == 1)
    assert Api().post(f"{SESSIONS}/{ready.id}/{action}").status == 200
    answer = asking.answer()
    assert answer.status in (200, 409), answer
    wait_for(lambda: reload(ready).status in ("dead", "ready") and ready.thread, 60)
    assert "begun" in str(ready.thread)
    assert "aborted" in str(ready.thread).lower() or action == "restart"


def test_a_run_past_its_limit_tells_what_it_has(
    workers: Workers, make_agent: MakeAgent, sink: Sink
) -> None:
    session = Session.objects.create(
        agent=make_agent(),
        trigger="manual",
        initial_prompt=f"echo begun; {sink.script}",
        run_timeout_seconds=4,
    )
    workers.start()
    wait_for(lambda: reload(session).status == "failed", 60)
    assert session.failure_kind == "timeout"
    assert texts(session) == [session.initial_prompt, "begun\n"]


def test_the_platform_s_end_keeps_what_was_said(
    ready: Session, sink: Sink, workers: Workers
) -> None:
    asking = Asking(ready, f"echo begun; {sink.script}")
    wait_for(lambda: sink.count == 1)
    save_last_words(LocalBackend(workers.sandboxes).host)
    assert asking.answer().status == 200
    assert texts(reload(ready))[-1] == "begun\n"


def texts(session: Session) -> list[Any]:
    return [part["text"] for message in session.thread for part in message["parts"]]
