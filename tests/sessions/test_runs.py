"""Runs from claim to end, by a real worker with real sandboxes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil
import pytest

from agents.editing import delete_agent
from agents.models import Agent
from lap.core import clock
from lap.core.notify import notify_workers
from sessions.models import Session, Worker
from sessions.querysets import FINAL
from sessions.sandboxes.local import LocalBackend
from tests.conftest import MakeAgent
from tests.processes import Sink, Workers, reload, sandboxes_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

MEBIBYTE = 1024 * 1024
LEFT_BEHIND = "86401.5"
"""Seconds that a forked ``sleep`` is told, to find it among all processes."""


@dataclass(frozen=True)
class Case:
    name: str
    script: str
    status: str
    reason: str | None
    response: Callable[[str], bool] = lambda response: True
    run_timeout_seconds: int = 60


CASES = [
    Case("succeeds", "echo hi; echo there >&2", "completed", None, lambda r: r == "hi\nthere\n"),
    Case("says nothing", "true", "completed", None, lambda r: r == ""),
    Case("fails", "echo before; exit 3", "failed", "exit status 3", lambda r: r == "before\n"),
    Case("dies", "kill -9 $$", "failed", "killed by SIGKILL"),
    Case("is no script", "[cron] scheduled run", "failed", "exit status 127"),
    Case("hangs", "sleep 1000", "failed", "timed out: the run's limit is 2 s",
         run_timeout_seconds=2),
    Case("hangs deaf", "trap '' TERM INT HUP; sleep 1000 & wait; sleep 1000", "failed",
         "timed out: the run's limit is 2 s", run_timeout_seconds=2),
    Case("floods", "yes | head -c 50000000", "completed", None,
         lambda r: MEBIBYTE <= len(r) < MEBIBYTE + 200 and "truncated" in r),
    Case("forks", f"sleep {LEFT_BEHIND} & echo forked", "completed", None,
         lambda r: r == "forked\n"),
    Case("forks far", f"setsid sh -c 'sleep {LEFT_BEHIND} & sleep {LEFT_BEHIND}' & echo far",
         "completed", None, lambda r: r == "far\n"),
    Case("bytes", r"printf 'a\000b\377c'", "completed", None,
         lambda r: "\0" not in r and r[0] == "a"),
    Case("knows its variables", 'echo "$COLOUR $SESSION_ID ${DATABASE_URL:-none}"', "completed",
         None, lambda r: r.startswith("green ") and r.endswith(" none\n")),
]  # fmt: skip


def test_every_run_ends_and_says_how(workers: Workers, make_agent: MakeAgent) -> None:
    sessions = {
        case.name: run_of(
            make_agent(name=case.name, env_vars={"COLOUR": "green"}),
            case.script,
            run_timeout_seconds=case.run_timeout_seconds,
        )
        for case in CASES
    }
    workers.start()
    wait_for_end(sessions.values())
    for case in CASES:
        session = sessions[case.name]
        session.refresh_from_db()
        assert (session.status, session.failure_reason) == (case.status, case.reason), case.name
        assert case.response(session.response or ""), (case.name, session.response)
        assert (session.worker, session.env_vars, session.harness_token) == (None, None, None)
    assert sandboxes_of(workers) == []
    assert left_behind() == []


def test_a_harness_that_is_not_installed_fails_at_once(
    workers: Workers, make_agent: MakeAgent
) -> None:
    session = run_of(make_agent(harness_id="opencode"), "echo hi")
    workers.start()
    wait_for_end([session])
    assert (session.status, session.failure_kind) == ("failed", "harness_not_installed")
    assert '"opencode"' in (session.failure_reason or "")
    assert '"shell"' in (session.failure_reason or "")
    assert session.tries == 0


def test_a_conversation_stays_ready_until_it_is_stopped(
    workers: Workers, make_agent: MakeAgent
) -> None:
    agent = make_agent()
    asked = Session.objects.create(agent=agent, initial_prompt="echo hello")
    silent = Session.objects.create(agent=agent)
    workers.start()
    wait_for(lambda: reload(asked).prompt_answered_at and reload(silent).status == "ready", 60)
    assert (asked.status, asked.response) == ("ready", "hello\n")
    assert [message["info"]["role"] for message in asked.thread] == ["user", "assistant"]
    wait_for(lambda: reload(asked).worker_id is None and reload(silent).worker_id is None)
    assert len(sandboxes_of(workers)) == 2

    stop(asked)
    wait_for_end([asked])
    assert (asked.status, asked.failure_reason) == ("dead", "stopped by the test")
    assert sandboxes_of(workers) == [silent.sandbox_name]

    delete_agent(agent.id, "test")
    wait_for_end([silent])
    assert (silent.status, silent.failure_reason) == ("dead", "its agent was deleted")
    assert sandboxes_of(workers) == []


def test_a_run_is_stopped_in_the_middle(
    workers: Workers, make_agent: MakeAgent, sink: Sink
) -> None:
    session = run_of(make_agent(), sink.script)
    workers.start()
    wait_for(lambda: sink.count == 1, 60)
    stop(session)
    wait_for_end([session])
    assert (session.status, session.response) == ("dead", None)
    assert sandboxes_of(workers) == []


def test_a_stop_is_heeded_while_draining_and_with_once(
    workers: Workers, make_agent: MakeAgent, sink: Sink
) -> None:
    session = run_of(make_agent(), sink.script)
    worker = workers.start("--once", LAP_DRAIN_SECONDS="600")
    wait_for(lambda: sink.count == 1, 60)
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: "draining" in workers.logs())
    stop(session)
    assert worker.wait(timeout=30) == 0
    assert reload(session).status == "dead"


def test_a_sandbox_that_dies_during_the_run_fails_it(
    workers: Workers, make_agent: MakeAgent, sink: Sink
) -> None:
    session = run_of(make_agent(), sink.script)
    workers.start()
    wait_for(lambda: sink.count == 1, 60)
    asyncio.run(backend_of(workers).stop(reload(session).sandbox_name))
    wait_for_end([session])
    assert (session.status, session.failure_kind) == ("failed", "sandbox_lost")
    assert sink.count == 1


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"status": "ready", "prompt_sent_at": True}, "host_lost"),
        ({"status": "creating"}, ""),
    ],
    ids=["told its prompt: failed", "not yet: begins again here"],
)
def test_sessions_of_a_lost_machine(
    workers: Workers, make_agent: MakeAgent, columns: dict[str, object], kind: str
) -> None:
    session = run_of(make_agent(), "echo hi")
    gone = {**columns, "prompt_sent_at": clock.now()} if "prompt_sent_at" in columns else columns
    Session.objects.filter(id=session.id).update(
        sandbox_name=session.sandbox_of(1), sandbox_host="a-lost-machine:/data", **gone
    )
    workers.start()
    wait_for_end([session])
    assert session.failure_kind == kind
    assert session.status == ("failed" if kind else "completed")
    assert session.attempt == (1 if kind else 2)


def test_another_hosts_sessions_are_left_to_its_workers(
    workers: Workers, make_agent: MakeAgent
) -> None:
    theirs = run_of(make_agent(), "echo hi")
    ours = run_of(make_agent(), "echo hi")
    other = "another-machine:/data"
    Session.objects.filter(id=theirs.id).update(
        sandbox_name=theirs.sandbox_of(1), sandbox_host=other
    )
    Worker.objects.create(host=other, pid=1, version="", expires_at=clock.now())
    workers.start()
    wait_for_end([ours])
    assert reload(theirs).status == "creating"


def test_orphans_and_idle_conversations_are_reconciled(
    workers: Workers, make_agent: MakeAgent
) -> None:
    idle = Session.objects.create(agent=make_agent())
    orphan = Session.objects.create(agent=make_agent())
    worker = workers.start(LAP_RECONCILE_SECONDS="0.5", LAP_SESSION_IDLE_SECONDS="6")
    wait_for(lambda: len(sandboxes_of(workers)) == 2, 60)
    wait_for(lambda: reload(orphan).status == "ready" and not reload(orphan).worker_id)
    Session.objects.filter(id=orphan.id).update(status="dead", stopped_at=clock.now())
    wait_for(lambda: orphan.sandbox_name not in sandboxes_of(workers))
    wait_for_end([idle])
    assert (idle.status, idle.failure_reason) == ("dead", "idle timeout")
    worker.terminate()
    worker.wait(timeout=30)
    counters = Worker.objects.get().counters
    assert (counters["stopped"], counters["idle_killed"]) == (1, 1)
    assert counters["inspected"] >= 3


def run_of(agent: Agent, script: str, run_timeout_seconds: int = 60) -> Session:
    instant = clock.now().replace(second=0, microsecond=0)
    return Session.objects.create(
        agent=agent, trigger="cron", scheduled_for=instant, initial_prompt=script,
        run_timeout_seconds=run_timeout_seconds,
    )  # fmt: skip


def stop(session: Session) -> None:
    Session.objects.filter(id=session.id).request_stop("stopped by the test")
    notify_workers()


def wait_for_end(sessions: Iterable[Session]) -> None:
    waiting = list(sessions)
    wait_for(lambda: all(reload(session).status in FINAL for session in waiting), seconds=90)


def backend_of(workers: Workers) -> LocalBackend:
    return LocalBackend(workers.sandboxes)


def left_behind() -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if LEFT_BEHIND in (p.info["cmdline"] or ())]
