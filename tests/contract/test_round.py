"""What an existing client does, over real HTTP, with a real worker and real sandboxes."""

from __future__ import annotations

import base64
import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from tests.contract.client import (
    LISTED_AGENT,
    Answer,
    Client,
    check_timestamps,
    good_agent,
    good_session,
    path_of,
    texts_of,
)
from tests.live import Web
from tests.processes import Sink, Workers, stall, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

AGENTS = "/managed_agents/agents"
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.fixture(scope="module")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One web process for all rounds: none of them breaks it."""
    started = Web(tmp_path_factory.mktemp("web"))
    try:
        yield started
    finally:
        started.end()


@pytest.fixture
def client(web: Web) -> Client:
    return Client(web.url, web.key)


@pytest.fixture
def worker(web: Web, workers: Workers) -> Any:
    """One worker whose sandboxes know where the web process is."""
    return workers.start(LAP_PUBLIC_URL=web.url)


@pytest.fixture
def ready(client: Client, worker: Any) -> str:
    """The id of a conversation that is ready."""
    session_id: str = client.open_session(client.create_agent()["id"])["id"]
    client.wait_status(session_id, "ready")
    return session_id


def test_the_round(client: Client, worker: Any, sink: Sink) -> None:
    agent = client.create_agent(name="Round", env_vars={"COLOUR": "green"})
    assert agent["env_vars"] == {"COLOUR": "********"}
    opened = client.open_session(agent["id"], {"title": "Chat"})
    session_id, messages = opened["id"], path_of(opened["id"], "messages")
    assert (opened["agent_id"], opened["title"]) == (agent["id"], "Chat")
    session = client.wait_status(session_id, "ready")
    assert session["sandbox_url"]
    assert session["task_arn"]
    assert client.get(messages).body == []

    said = say(client, session_id, text="echo hi; pwd")
    assert said.startswith("hi\n/")
    assert say(client, session_id, parts=[{"type": "text", "text": "echo $COLOUR"}]) == "green\n"
    check_thread(client.get(messages), "echo hi; pwd", said, "echo $COLOUR", "green\n")
    abort_a_long_message(client, session_id, sink)
    restart(client, session_id, worker)

    assert say(client, session_id, text="echo after") == "after\n"
    thread = client.get(messages)
    check_thread(thread, "echo after", "after\n")
    stop(client, session_id)
    assert client.get(messages).body[-len(thread.body) :] == thread.body
    check_thread(client.get(messages), "echo hi; pwd", "echo after", "after\n")
    refused = client.post(path_of(session_id, "message"), {"text": "echo no"})
    assert refused.status == 404
    delete(client, agent["id"])
    assert client.session(session_id)["status"] == "dead"


def say(client: Client, session_id: str, **body: Any) -> str:
    """Send a message and return the text of its answer."""
    answer = client.post(path_of(session_id, "message"), body)
    assert answer.status == 200, answer
    assert answer.body["info"]["role"] == "assistant"
    return texts_of(answer.body)


def check_thread(answer: Answer, *texts: str) -> None:
    """The thread has the contract's shape and tells these texts in this order."""
    assert answer.status == 200
    for message in answer.body:
        assert {"id", "sessionID", "role"} <= message["info"].keys()
        assert isinstance(message["parts"], list)
    told = "\0".join(texts_of(message) for message in answer.body)
    places = [told.find(text) for text in texts]
    assert -1 not in places, (texts, told)
    assert places == sorted(places), (texts, told)


def abort_a_long_message(client: Client, session_id: str, sink: Sink) -> None:
    abort = path_of(session_id, "abort")
    assert client.post(abort).body == {"ok": True}
    with in_thread(client, path_of(session_id, "message"), {"text": sink.script}) as sent:
        wait_for(lambda: sink.count == 1)
        began = time.monotonic()
        answer = client.post(abort)
        assert (answer.status, answer.body) == (200, {"ok": True})
        ended = sent.result(timeout=30)
    assert time.monotonic() - began < 20
    assert ended.status == 200
    assert "the sink let me go" not in json.dumps(ended.body["parts"])
    assert say(client, session_id, text="echo still here") == "still here\n"


@contextmanager
def in_thread(client: Client, path: str, body: Any) -> Iterator[Future[Answer]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(client.post, path, body)


def restart(client: Client, session_id: str, worker: Any) -> None:
    """Restart while the worker stands still, so that ``creating`` can be seen."""
    before = client.session(session_id)
    stall(worker)
    try:
        restarted = good_session(client.post(path_of(session_id, "restart")))
        again = client.post(path_of(session_id, "restart"))
    finally:
        worker.send_signal(signal.SIGCONT)
    assert (restarted["id"], restarted["status"]) == (session_id, "creating")
    assert again.status == 409
    assert isinstance(again.error, str)
    after = client.wait_status(session_id, "ready")
    assert after["task_arn"] != before["task_arn"]


def stop(client: Client, session_id: str) -> None:
    for method, path in (("POST", path_of(session_id, "stop")), ("DELETE", path_of(session_id))):
        answer = client(method, path)
        assert answer.status == 200
        assert answer.body["id"] == session_id
        assert answer.body["status"] in {"deleted", "dead"}
    stopped = client.wait_status(session_id, "dead")
    assert stopped["stopped_at"]
    assert client.delete(path_of(session_id)).body == {"id": session_id, "status": "dead"}


def delete(client: Client, agent_id: str) -> None:
    path = f"{AGENTS}/{agent_id}"
    assert client.get(path).status == 200
    assert client.delete(path)[:2] == (204, None)
    for answer in (client.get(path), client.delete(path), client.post(f"{path}/session")):
        assert (answer.status, answer.error) == (404, f"agent '{agent_id}' not found")


def test_an_ended_session_is_restarted(client: Client, ready: str) -> None:
    say(client, ready, text="echo before")
    stop(client, ready)
    assert good_session(client.post(path_of(ready, "restart")))["status"] == "creating"
    session = client.wait_status(ready, "ready")
    assert (session["stopped_at"], session["failure_reason"]) == (None, None)
    assert say(client, ready, text="echo again") == "again\n"


def test_a_session_is_opened_with_prompt_attachments_and_variables(
    client: Client, worker: Any
) -> None:
    body: dict[str, Any] = {
        "initial_prompt": 'echo "hello $COLOUR"',
        "title": "With everything",
        "env_vars": {"COLOUR": "blue"},
        "initial_attachments": [{"name": "a.png", "mime_type": "image/png", "base64": PIXEL}],
    }
    agent = client.create_agent(env_vars={"COLOUR": "green"})
    opened = client.open_session(agent["id"], body)
    answered = client.wait(opened["id"], lambda session: session["response"] is not None)
    assert (answered["status"], answered["response"]) == ("ready", "hello blue\n")
    check_thread(
        client.get(path_of(opened["id"], "messages")), body["initial_prompt"], "hello blue\n"
    )


def test_lists_have_the_contracts_shape(client: Client) -> None:
    agent = client.create_agent(
        name="Listed", cron_schedule="0 9 * * *", cron_timezone="Asia/Tokyo"
    )
    session = client.open_session(agent["id"])
    page = client.get(f"{AGENTS}?search=listed").body
    assert {name: page[name] for name in ("total", "limit", "offset")} == {
        "total": 1, "limit": 50, "offset": 0,
    }  # fmt: skip
    (listed,) = page["data"]
    assert listed.keys() >= LISTED_AGENT
    assert (listed["session_count"], listed["has_active_session"]) == (1, True)
    check_timestamps(listed)
    assert listed["cron_next_fire_at"]
    assert client.get(f"/managed_agents/sessions?agent_id={agent['id']}").body == [session]
    edited = good_agent(client.patch(f"{AGENTS}/{agent['id']}", {"cron_schedule": None}))
    assert (edited["cron_schedule"], edited["cron_next_fire_at"]) == (None, None)


# Runs on demand


def test_a_run_on_demand(client: Client, worker: Any, sink: Sink) -> None:
    agent = client.create_agent(cron_prompt=sink.script)
    path = f"{AGENTS}/{agent['id']}/cron/run"
    first = run_now(client, path)
    wait_for(lambda: sink.count == 1, 60)
    for body in (None, {}, {"force": False}):
        assert client.post(path, body).status == 409
    second = run_now(client, path, {"force": True})
    assert second["id"] != first["id"]
    wait_for(lambda: sink.count == 2, 60)
    refused = client.post(path_of(first["id"], "message"), {"text": "echo no"})
    assert refused.status == 409
    assert isinstance(refused.error, str)
    sink.release()
    for run in (first, second):
        ended = client.wait_status(run["id"], "completed")
        assert ended["response"] == "the sink let me go\n"
        assert client.get(path_of(run["id"], "messages")).body
    assert client.post(path_of(first["id"], "message"), {"text": "echo no"}).status == 404


def run_now(client: Client, path: str, body: Any = None) -> dict[str, Any]:
    run = good_session(client.post(path, body))
    assert (run["trigger"], run["status"]) == ("manual", "creating")
    assert run["scheduled_for"] is None
    return run


# Harnesses that are gone


def test_a_message_to_a_killed_sandbox(client: Client, ready: str, workers: Workers) -> None:
    assert say(client, ready, text="echo here") == "here\n"
    kill_sandbox(workers, client.session(ready)["task_arn"])
    answer = client.post(path_of(ready, "message"), {"text": "echo hi"})
    assert (answer.status, answer.body) == (502, {"error": "harness request failed"})
    dead = client.wait_status(ready, "dead")
    assert dead["failure_reason"] == "sandbox unreachable"
    check_thread(client.get(path_of(ready, "messages")), "echo here", "here\n")


def kill_sandbox(workers: Workers, name: str) -> None:
    """Kill the sandbox's supervisor, with which its harness dies; its directory stays."""
    (recorded,) = workers.sandboxes.rglob(f"{name}/record.json")
    record = json.loads(recorded.read_text())
    supervisor = psutil.Process(record["pid"])
    family = [supervisor, *supervisor.children(recursive=True)]
    supervisor.kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


# The sandbox's own token


def test_the_sandbox_reports_its_phase_with_its_own_token(
    client: Client, ready: str, web: Web
) -> None:
    token = say(client, ready, text='printf %s "$HARNESS_PROGRESS_TOKEN"')
    other = client.open_session(client.session(ready)["agent_id"])["id"]
    inside, good = Client(web.url, token), {"phase": "cloning_repo"}
    for path in (path_of(other, "phase"), path_of(ready, "stop"), path_of(ready, "message")):
        assert inside.post(path, good)[:2] == (401, {"error": "unauthorized"})
    for path in (path_of(ready), "/managed_agents/sessions", AGENTS):
        assert inside.get(path)[:2] == (401, {"error": "unauthorized"})
    for body in ({"phase": "ready"}, {"phase": 1}, {}, {**good, "detail": "x" * 501}):
        assert inside.post(path_of(ready, "phase"), body).status == 400, body
    for phase in ("cloning_repo", "installing_deps", "harness_listening"):
        body = {"phase": phase, "detail": "x" * 500}
        assert inside.post(path_of(ready, "phase"), body)[:2] == (200, {"ok": True})
    assert client.session(ready)["status"] == "ready"


REPORT = """python3 - <<'END'
import json, os, urllib.request
url = f"{os.environ['PLATFORM_URL']}/api/v1/managed_agents/sessions/{os.environ['SESSION_ID']}"
headers = {"Authorization": f"Bearer {os.environ['HARNESS_PROGRESS_TOKEN']}",
           "Content-Type": "application/json"}
body = json.dumps({"phase": "installing_deps"}).encode()
request = urllib.request.Request(f"{url}/phase", body, headers)
print(urllib.request.urlopen(request, timeout=20).read().decode())
END"""


def test_a_script_can_reach_the_platform(client: Client, ready: str) -> None:
    assert json.loads(say(client, ready, text=REPORT)) == {"ok": True}
