"""Secrets go into sandboxes and nowhere else: not into rows, logs, answers, pages, arguments."""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from pytest_django import Settings

from lap.postgres import binaries
from sessions.environment import callback_token
from sessions.models import Session
from tests.contract.client import Answer, Client, path_of
from tests.contract.world import new_key
from tests.live import Web
from tests.processes import Sink, Workers, database_url, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

AGENTS = "/managed_agents/agents"
SAMPLE_SECONDS = 0.02
USES = 'test "${#AGENT_SECRET}" = 40 && test "${#SESSION_SECRET}" = 40 && echo both were there'
USES_ONE = 'test "${#AGENT_SECRET}" = 40 && echo it was there'


def marker() -> str:
    """Forty characters that occur nowhere by chance, and look the same in JSON, HTML and URLs."""
    return secrets.token_hex(20)


class Places:
    """Everything that was said, written or shown while a test ran, by where."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, name: str, text: str, *, holds: str) -> None:
        """Keep a text; ``holds`` stands in it for certain, or nothing was looked at."""
        assert holds in text, f"{name} does not show what it should:\n{text[-3000:]}"
        self.texts[name] = text

    def revealing(self, hidden: dict[str, str]) -> list[tuple[str, str]]:
        """Which secret stands where."""
        return [
            (secret, place)
            for place, text in self.texts.items()
            for secret, value in hidden.items()
            if value in text
        ]


class Recorder(Client):
    """A client that keeps every answer as it came, headers included."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.answers: list[str] = []

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        answer = super().__call__(method, path, body, **headers)
        self.answers.append(json.dumps(answer))
        return answer


@pytest.fixture
def hidden(settings: Settings) -> dict[str, str]:
    """Fresh secrets of the platform; both processes are started with them."""
    found = {name: marker() for name in ("LAP_MASTER_KEY", "LAP_SECRET_KEY", "LITELLM_API_KEY")}
    found["LAP_ENCRYPTION_KEYS"] = Fernet.generate_key().decode()
    settings.LAP_MASTER_KEY, settings.SECRET_KEY = found["LAP_MASTER_KEY"], found["LAP_SECRET_KEY"]
    settings.LAP_ENCRYPTION_KEYS = [found["LAP_ENCRYPTION_KEYS"]]
    return found


@pytest.fixture
def logged(hidden: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    """A web process that logs all it can."""
    started = Web(tmp_path, LAP_LOG_LEVEL="DEBUG", **hidden)
    yield started
    started.end()


@pytest.fixture
def arguments() -> Iterator[set[str]]:
    """The command lines of every process that was seen while the test ran."""
    seen: set[str] = set()
    ended = threading.Event()
    watching = threading.Thread(target=_watch, args=(seen, ended))
    watching.start()
    yield seen
    ended.set()
    watching.join()


def _watch(seen: set[str], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_SECONDS):
        seen.update(
            " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
        )


def test_secrets_are_used_and_never_shown(
    hidden: dict[str, str], logged: Web, workers: Workers, arguments: set[str], sink: Sink
) -> None:
    environment = {**hidden, "LAP_LOG_LEVEL": "DEBUG", "LAP_PUBLIC_URL": logged.url}
    workers.start(**environment)
    hidden |= {name: marker() for name in ("agent", "session", "edited", "refused", "password")}
    hidden |= {"read key": new_key("read"), "write key": new_key("write")}
    client, places = Recorder(logged.url, hidden["write key"]), Places()
    agent_id = client.create_agent(
        name="Keeps secrets",
        env_vars={"AGENT_SECRET": hidden["agent"]},
        cron_prompt=f"{USES_ONE} && {sink.script}",
    )["id"]
    conversation = converse(client, agent_id, hidden)
    run = begin_run(client, agent_id, sink)
    hidden |= tokens_of(conversation) | tokens_of(run)
    places.add("dump during a run", dump(), holds=run)
    places.add("arguments during a run", "\n".join(list(arguments)), holds=f"s-{run}")
    end_run(client, run, sink)
    end_badly(client, agent_id, hidden)
    refuse(client, agent_id, hidden)
    read_everything(client, agent_id, conversation)
    look_at_pages(places, logged.url, agent_id, conversation, hidden["password"])
    end_everything(client, agent_id, conversation)
    places.add("answers", "\n".join(client.answers), holds="Keeps secrets")
    places.add("arguments", "\n".join(list(arguments)), holds="uvicorn")
    places.add("dump", dump(), holds=conversation)
    places.add("log of the worker", workers.logs(), holds=conversation[:8])
    places.add("log of the web process", logged.log(), holds=conversation)
    assert places.revealing(hidden) == []


def converse(client: Client, agent_id: str, hidden: dict[str, str]) -> str:
    """A conversation whose scripts have the variables of agent and session."""
    body = {"initial_prompt": USES, "env_vars": {"SESSION_SECRET": hidden["session"]}}
    session_id: str = client.open_session(agent_id, body)["id"]
    answered = client.wait(session_id, lambda session: session["response"] is not None)
    assert answered["response"] == "both were there\n"
    answer = client.post(path_of(session_id, "message"), {"text": USES})
    assert "both were there" in json.dumps(answer.body)
    return session_id


def begin_run(client: Client, agent_id: str, sink: Sink) -> str:
    """A run on demand that is in the middle of its script."""
    answer = client.post(f"{AGENTS}/{agent_id}/cron/run")
    assert answer.status == 200
    wait_for(lambda: sink.count == 1, 60)
    return str(answer.body["id"])


def end_run(client: Client, session_id: str, sink: Sink) -> None:
    sink.release()
    ended = client.wait_status(session_id, "completed")
    assert ended["response"] == "it was there\nthe sink let me go\n"


def tokens_of(session_id: str) -> dict[str, str]:
    """What this session's sandbox was given to prove itself."""
    token = Session.objects.get(id=session_id).harness_token
    assert token
    return {
        f"harness token {session_id}": token,
        f"callback token {session_id}": callback_token(token),
    }


def end_badly(client: Client, agent_id: str, hidden: dict[str, str]) -> None:
    """An edit, and runs that fail: of their script, and for want of their harness."""
    edited = {"env_vars": {"AGENT_SECRET": hidden["edited"]}, "cron_prompt": f"{USES_ONE}; exit 3"}
    assert client.patch(f"{AGENTS}/{agent_id}", edited).status == 200
    missing = client.create_agent(harness_id="opencode", env_vars=edited["env_vars"])["id"]
    for agent in (agent_id, missing):
        run = client.post(f"{AGENTS}/{agent}/cron/run").body["id"]
        assert client.wait_status(run, "failed")["failure_reason"]


def refuse(client: Client, agent_id: str, hidden: dict[str, str]) -> None:
    """Bad requests that carry a secret."""
    secret = hidden["refused"]
    unusable: list[Any] = [
        {"A B": secret}, {"PORT": secret}, {"A": secret * 500}, {"A": [secret]},
        {"A": {"B": secret}}, {"A": f"{secret}\0"}, [secret], secret,
        {f"A{n}": secret for n in range(51)},
    ]  # fmt: skip
    agent, opening = f"{AGENTS}/{agent_id}", f"{AGENTS}/{agent_id}/session"
    for env_vars in unusable:
        for method, path in (("POST", AGENTS), ("PATCH", agent), ("POST", opening)):
            body = {"model": "m", "env_vars": env_vars}
            assert client(method, path, body).status == 400, env_vars
    cut = f'{{"env_vars": {{"A": "{secret}"'.encode()
    assert client("POST", opening, cut).status == 400
    assert client("POST", opening, cut, Content_Type="text/plain").status == 415
    for header in (f"Bearer {secret}", f"Basic {secret}", f"Bearer {hidden['LAP_MASTER_KEY']}x"):
        assert client("GET", AGENTS, Authorization=header).status == 401
    read = f"Bearer {hidden['read key']}"
    assert client("DELETE", agent, Authorization=read).status == 403


def read_everything(client: Client, agent_id: str, session_id: str) -> None:
    paths = [
        AGENTS, f"{AGENTS}?search=secrets", f"{AGENTS}/{agent_id}",
        f"{AGENTS}/{agent_id}/cron/fires", "/managed_agents/sessions",
        path_of(session_id), path_of(session_id, "messages"), "/admin/stats", "/health/k8s",
    ]  # fmt: skip
    for path in paths:
        assert client.get(path).status == 200, path


def look_at_pages(places: Places, url: str, agent_id: str, session_id: str, password: str) -> None:
    """Log in as a browser does and look at every page that shows agents, sessions or keys."""
    User.objects.create_superuser("ada", password=password)
    pages = {
        "/admin/agents/agent/": "Keeps secrets",
        f"/admin/agents/agent/{agent_id}/change/": "AGENT_SECRET",
        f"/admin/agents/agent/{agent_id}/history/": "Keeps secrets",
        f"/admin/agents/agent/{agent_id}/delete/": "Keeps secrets",
        "/admin/agent_sessions/session/": "Keeps secrets",
        f"/admin/agent_sessions/session/{session_id}/change/": "both were there",
        "/admin/agent_sessions/worker/": "pid",
        "/admin/agents/schedulechange/": "schedule",
        "/admin/access/apikey/": "read only",
        "/agents/": "Keeps secrets",
        f"/agents/{agent_id}/": "AGENT_SECRET",
        f"/agents/{agent_id}/edit/": "AGENT_SECRET",
        f"/agents/{agent_id}/runs/": "Keeps secrets",
        "/sessions/": "Keeps secrets",
        f"/sessions/{session_id}/": "both were there",
        "/fleet/": "pid",
    }
    with httpx.Client(base_url=url, follow_redirects=True) as browser:
        log_in(browser, password)
        for path, shown in pages.items():
            places.add(f"page {path}", browser.get(path).text, holds=shown)


def log_in(browser: httpx.Client, password: str) -> None:
    browser.get("/login/")
    typed = {"username": "ada", "password": password, "next": "/admin/"}
    token = browser.cookies["csrftoken"]
    answer = browser.post("/login/", data={**typed, "csrfmiddlewaretoken": token})
    assert "Log out" in answer.text


def end_everything(client: Client, agent_id: str, session_id: str) -> None:
    assert client.delete(f"{AGENTS}/{agent_id}").status == 204
    client.wait_status(session_id, "dead")


def dump() -> str:
    """The whole database, as a backup would hold it."""
    program = binaries.find() / "bin" / "pg_dump"
    dumped = subprocess.run(
        [program, "--dbname", database_url()], check=True, capture_output=True, text=True
    )
    return dumped.stdout


def test_a_leak_would_be_found() -> None:
    places = Places()
    places.add("log", "a line with s3cret in it", holds="line")
    assert places.revealing({"key": "s3cret", "other": "hidden"}) == [("key", "log")]
    with pytest.raises(AssertionError, match="log does not show"):
        places.add("log", "nothing", holds="line")
