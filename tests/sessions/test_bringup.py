"""Bringing a session up: what its sandbox is told, and one that dies while it is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from lap.core import secrets
from lap.core.threads import DatabaseThreads
from sessions.bringup import bring_up
from sessions.carried import Carried, RunFailed, Tools
from sessions.carrying import Carrier
from sessions.environment import configuration, environment
from sessions.harness_client import http_client
from sessions.holding import claim
from sessions.lease import register, sign_off
from sessions.models import Session
from sessions.sandboxes.base import Report, Sandbox, SandboxBackend, SandboxError
from sessions.sandboxes.kubernetes.backend import KubernetesBackend
from sessions.sandboxes.kubernetes.manifests import pool_name
from tests.conftest import MakeAgent
from tests.kubernetes.backends import options_for
from tests.kubernetes.standin import StandIn
from tests.processes import reload
from tests.sessions.fake_harness import FakeHarness, Reply, answer
from tests.sessions.memory import MemoryBackend, api_down

pytestmark = pytest.mark.django_db(transaction=True)

WHOSE = "echo $SESSION_ID $HARNESS_PROGRESS_TOKEN"
OPENED = answer({"id": "ses_1"})


@pytest.fixture(autouse=True)
def _impatient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LAP_BRINGUP_MAX_ATTEMPTS = 1
    monkeypatch.setattr("sessions.bringup.LOOK_AGAIN_SECONDS", 0.05)


@pytest.fixture
def cluster() -> Iterator[StandIn]:
    with StandIn() as started:
        yield started


@pytest.fixture
def listener() -> Iterator[FakeHarness]:
    started = FakeHarness()
    yield started
    started.close()


class Reachable(MemoryBackend):
    """Its sandboxes' harness is the one at ``url``."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    async def wait_ready(self, sandbox: Sandbox, report: Report) -> Sandbox:
        return replace(sandbox, url=self.url)


@asynccontextmanager
async def carrying(backend: SandboxBackend) -> AsyncIterator[Carried]:
    """The one session with work, in the hands of a worker that dies when the block ends."""
    database = DatabaseThreads("test", 1)
    try:
        async with http_client() as http:
            worker = await database(register, "")
            [session] = await database(claim, worker, 1)
            yield Carried(session, worker.id, Tools(backend, database, http))
            await database(sign_off, worker)
    finally:
        database.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def is_warm(backend: KubernetesBackend, pool: str) -> bool:
    """Whether the backend knows of a member that waits."""
    found = backend._cluster.pools.get(pool) or {}
    return bool(found.get("status", {}).get("readyReplicas"))


async def wait_until_up(backend: SandboxBackend) -> None:
    async with carrying(backend) as carried, asyncio.timeout(10):
        await bring_up(carried)


async def told(backend: SandboxBackend) -> str:
    """What a script in the session's sandbox knows, brought up by a worker of its own."""
    async with carrying(backend) as carried:
        await bring_up(carried)
        opened = carried.session.harness_session_id
        parts = [{"type": "text", "text": WHOSE}]
        message_id = f"msg_{secrets.new_token()}"
        reply = await carried.harness.send_message(opened, message_id, "none", parts)
        text: str = reply["parts"][0]["text"]
        return text


def test_a_script_in_a_warm_sandbox_knows_its_session(
    cluster: StandIn, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent()
    session = Session.objects.create(agent=agent)

    async def serve() -> str:
        options = options_for(cluster, tmp_path, warm_pool_size=1)
        async with KubernetesBackend(options) as backend:
            wanted = configuration(agent, "shell")
            await backend.keep_warm([wanted])
            await until(lambda: is_warm(backend, pool_name(wanted, options)))
            return await told(backend)

    def assert_known(said: str) -> None:
        session_id, token = said.split()
        assert session_id == str(session.id)
        assert secrets.hash_token(token) == reload(session).callback_token_hash

    first = asyncio.run(serve())
    assert_known(first)
    Session.objects.filter(id=session.id).update(status="creating")  # the last write never came
    second = asyncio.run(serve())
    assert_known(second)
    assert second != first
    assert len(cluster.objects("sandboxclaims")) == 1


def test_a_pools_token_is_never_a_sandboxs_own(
    cluster: StandIn, make_agent: MakeAgent, tmp_path: Path
) -> None:
    """The warm sandbox was lost before another worker took the session over."""
    agent = make_agent()
    session = Session.objects.create(agent=agent)

    options = options_for(cluster, tmp_path, warm_pool_size=1)

    async def start_and_lose() -> None:
        async with KubernetesBackend(options) as backend:
            wanted = configuration(agent, "shell")
            await backend.keep_warm([wanted])
            await until(lambda: is_warm(backend, pool_name(wanted, options)))
            await wait_until_up(backend)
            await backend.keep_warm([])
            await backend.stop(session.sandbox_of(1))
            await until(lambda: not cluster.objects("sandboxwarmpools"))

    async def take_over() -> None:
        async with KubernetesBackend(options) as backend:
            await wait_until_up(backend)

    asyncio.run(start_and_lose())
    Session.objects.filter(id=session.id).update(status="creating")
    with pytest.raises(RunFailed, match="the warm sandbox was lost"):
        asyncio.run(take_over())


def test_a_harness_that_does_not_answer(
    cluster: StandIn, make_agent: MakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions.bringup.HARNESS_START_SECONDS", 0.5)
    Session.objects.create(agent=make_agent(harness_image="example/never-listens:1"))

    async def wait() -> None:
        async with KubernetesBackend(options_for(cluster, tmp_path)) as backend:
            await wait_until_up(backend)

    with pytest.raises(RunFailed, match=r"did not answer within 0\.5 s") as caught:
        asyncio.run(wait())
    assert caught.value.kind == "harness"


def test_what_lap_may_not_end_keeps_no_session_from_its_end(make_agent: MakeAgent) -> None:
    """Nor its agent from the next run: reconcile goes on trying."""
    session = Session.objects.create(agent=make_agent(), status="stopping", stop_as="failed")
    name = session.sandbox_of(1)
    Session.objects.filter(id=session.id).update(sandbox_name=name)
    backend = MemoryBackend()
    backend.troubles[name] = SandboxError("not allowed", kind="forbidden", permanent=True)

    async def end() -> None:
        async with carrying(backend) as carried, asyncio.timeout(5):
            await Carrier(carried).run()

    asyncio.run(end())
    assert reload(session).status == "failed"


def test_a_bring_up_that_takes_too_long_says_what_it_waited_for(
    cluster: StandIn, make_agent: MakeAgent, tmp_path: Path, settings: Settings
) -> None:
    settings.LAP_BRINGUP_TIMEOUT_SECONDS = 0.7
    Session.objects.create(agent=make_agent(harness_image="example/unschedulable:1"))

    async def wait() -> None:
        options = options_for(cluster, tmp_path, schedule_timeout_seconds=60)
        async with KubernetesBackend(options) as backend:
            await wait_until_up(backend)

    with pytest.raises(RunFailed, match=r"not ready within 0\.7 s: 0/3 nodes are available"):
        asyncio.run(wait())


def test_a_sandbox_is_told_the_address_at_which_it_reaches_lap(
    listener: FakeHarness, make_agent: MakeAgent, settings: Settings
) -> None:
    settings.LAP_SANDBOX_URL = "http://lap-web.lap.svc"
    session = Session.objects.create(agent=make_agent())
    listener.routes = {"GET /session": lambda _: answer([]), "POST /session": lambda _: OPENED}
    asyncio.run(wait_until_up(Reachable(listener.url)))
    [callback] = [body["callback"] for _, body in listener.asked if body]
    url = f"http://lap-web.lap.svc/api/v1/managed_agents/sessions/{session.id}/phase"
    assert callback["url"] == url
    assert environment(reload(session))["PLATFORM_URL"] == settings.LAP_SANDBOX_URL


def test_why_a_sandbox_died_while_its_harness_was_waited_for(
    cluster: StandIn, make_agent: MakeAgent, tmp_path: Path
) -> None:
    Session.objects.create(agent=make_agent(harness_image="example/never-listens:1"))

    async def die() -> None:
        async with (
            KubernetesBackend(options_for(cluster, tmp_path)) as backend,
            carrying(backend) as carried,
            asyncio.timeout(10),
        ):
            coming_up = asyncio.create_task(bring_up(carried))
            await until(lambda: carried.session.phase == "waiting_harness")
            await asyncio.to_thread(cluster.oom, carried.session.sandbox_name)
            await coming_up

    with pytest.raises(RunFailed, match=r"out of memory: .* limit of 4Gi") as caught:
        asyncio.run(die())
    assert caught.value.kind == "out_of_memory"


def test_a_sandbox_that_is_gone_is_not_waited_for(
    listener: FakeHarness, make_agent: MakeAgent
) -> None:
    backend = Reachable(listener.url)
    Session.objects.create(agent=make_agent())

    async def vanish() -> None:
        async with carrying(backend) as carried, asyncio.timeout(10):
            coming_up = asyncio.create_task(bring_up(carried))
            await until(lambda: listener.asked)
            backend.sandboxes.clear()
            await coming_up

    with pytest.raises(RunFailed, match="the sandbox disappeared") as caught:
        asyncio.run(vanish())
    assert caught.value.kind == "sandbox_lost"


def test_a_failure_to_ask_after_the_sandbox_says_nothing_about_it(
    listener: FakeHarness, make_agent: MakeAgent
) -> None:
    backend = Reachable(listener.url)
    backend.troubles["list"] = api_down()
    session = Session.objects.create(agent=make_agent())

    def probe(_: object) -> Reply:
        return answer([], 200 if backend.listings > 2 else 503)

    listener.routes = {"GET /session": probe, "POST /session": lambda _: OPENED}
    asyncio.run(wait_until_up(backend))
    assert reload(session).status == "ready"
