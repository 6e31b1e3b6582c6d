"""A pass over sandboxes and rows: what it ends, what it leaves alone, and who does it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from django.db import connection
from pytest_django import Settings

from agents.models import Agent
from lap.core import clock
from lap.core.threads import DatabaseThreads
from sessions import duties
from sessions import reconcile as reconcile_module
from sessions.lease import register, sign_off
from sessions.models import Duty, Session, Worker
from sessions.reconcile import STOPS_AT_ONCE, Reconciler, ReconcileResult, reconcile
from sessions.sandboxes.base import Pool, SandboxBackend, SandboxError, Warmth
from tests.conftest import MakeAgent
from tests.processes import wait_for
from tests.sessions.memory import MemoryBackend, api_down, box_of

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")

DAY = 86_400


@pytest.fixture
def agent(make_agent: MakeAgent) -> Agent:
    return make_agent()


@pytest.fixture
def worker(db: None) -> Worker:
    return register("here")


def open_session(agent: Agent, **columns: Any) -> Session:
    """A session; a number as an instant is that many seconds ago."""
    instants = {
        name: clock.now() - timedelta(seconds=value)
        for name, value in columns.items()
        if name.endswith("_at")
    }
    return Session.objects.create(agent=agent, **{**columns, **instants})


def with_threads(work: Any) -> Any:
    """What ``work(database)`` gives, on an event loop and with database threads of its own."""

    async def run() -> Any:
        database = DatabaseThreads("pass", 1)
        try:
            return await work(database)
        finally:
            await asyncio.to_thread(database.close)

    return asyncio.run(run())


def one_pass(backend: SandboxBackend, worker: Worker) -> ReconcileResult:
    result: ReconcileResult = with_threads(lambda database: reconcile(backend, database, worker.id))
    return result


def counted(result: ReconcileResult) -> dict[str, int]:
    return {name: count for name, count in asdict(result).items() if count}


@pytest.mark.parametrize(
    ("columns", "attempt", "age", "is_stopped"),
    [
        ({}, 1, DAY, False),
        ({"status": "ready", "last_seen_at": 0}, 1, DAY, False),
        ({"status": "stopping", "stop_as": "dead"}, 1, DAY, False),
        ({"status": "completed", "stopped_at": 0}, 1, 0, True),
        ({"status": "failed", "stopped_at": 0}, 1, 0, True),
        ({"status": "dead", "stopped_at": 0}, 1, 0, True),
        ({"attempt": 2}, 1, 0, True),
        ({"attempt": 2}, 2, 0, False),
        ({"attempt": 2}, 3, 0, True),
        (None, 1, 299, False),
        (None, 1, 301, True),
    ],
)
def test_sandboxes_that_no_row_owns_are_stopped(
    agent: Agent, worker: Worker, columns: Any, attempt: int, age: float, is_stopped: bool
) -> None:
    session = open_session(agent, **columns) if columns is not None else Session(id=uuid4())
    backend = MemoryBackend(box_of(session, attempt, age))
    assert counted(one_pass(backend, worker)) == {"inspected": 1} | (
        {"stopped": 1} if is_stopped else {}
    )
    assert bool(backend.sandboxes) is not is_stopped


def test_rows_are_read_after_the_listing(agent: Agent, worker: Worker) -> None:
    """A row that is committed while sandboxes are being listed owns its sandbox."""
    late = Session(id=uuid4(), agent=agent)
    backend = MemoryBackend(box_of(late, age_seconds=DAY))

    async def commit() -> None:
        database = DatabaseThreads("commit", 1)
        await database(late.save, force_insert=True)
        await asyncio.to_thread(database.close)

    backend.while_listing = commit
    assert counted(one_pass(backend, worker)) == {"inspected": 1}
    assert backend.sandboxes


def test_many_orphans_are_stopped_a_few_at_a_time(agent: Agent, worker: Worker) -> None:
    ended = [open_session(agent, status="dead", stopped_at=0) for _ in range(3 * STOPS_AT_ONCE)]
    backend = MemoryBackend(*map(box_of, ended))
    assert one_pass(backend, worker).stopped == len(ended)
    assert backend.most_stopping == STOPS_AT_ONCE


def test_sandboxes_that_rows_own_are_renewed(agent: Agent, worker: Worker) -> None:
    owned = open_session(agent)
    ended = open_session(agent, status="completed", stopped_at=0)
    gone = replace(box_of(open_session(agent)), is_running=False)
    backend = MemoryBackend(box_of(owned), box_of(ended), gone)
    one_pass(backend, worker)
    assert backend.renewed == [owned.sandbox_of(1)]


DISAPPEARED = ("sandbox disappeared", "sandbox_lost")
OUT_OF_MEMORY = ("out of memory: the sandbox used more than its limit of 4Gi", "out_of_memory")


@pytest.mark.parametrize(
    ("columns", "box", "end"),
    [
        ({}, None, DISAPPEARED),
        ({}, {"is_running": False}, DISAPPEARED),
        (
            {},
            {
                "is_running": False,
                "ended_because": OUT_OF_MEMORY[0],
                "ended_kind": OUT_OF_MEMORY[1],
            },
            OUT_OF_MEMORY,
        ),
        ({"attempt": 2}, {}, DISAPPEARED),
        ({"initial_prompt": "hi", "prompt_answered_at": 400}, None, DISAPPEARED),
        ({}, {}, None),
        ({"last_seen_at": 299}, None, None),
        ({"last_seen_at": 299}, {"is_running": False}, None),
        ({"initial_prompt": "hi"}, None, None),
        ({"status": "creating"}, None, None),
        ({"status": "completed", "stopped_at": 0}, None, None),
        ({"sandbox_host": "elsewhere"}, None, None),
    ],
)
def test_conversations_without_a_sandbox_end(
    agent: Agent, worker: Worker, columns: Any, box: Any, end: tuple[str, str] | None
) -> None:
    """``box``: the sandbox of the first attempt, None for none. Runs are their holder's matter."""
    session = open_session(agent, **{"status": "ready", "last_seen_at": 301, **columns})
    backend = MemoryBackend(*([] if box is None else [replace(box_of(session), **box)]))
    assert one_pass(backend, worker).ghost_killed == (1 if end else 0)
    before = session.status
    session.refresh_from_db()
    if end:
        assert (session.status, session.stop_as) == ("stopping", "dead")
        assert (session.failure_reason, session.failure_kind) == end
    else:
        assert session.status == before


LATE = {"run_timeout_seconds": 60, "started_at": 61}
STUCK = {"started_at": 601}


@pytest.mark.parametrize(
    ("columns", "what", "kind", "stop_as"),
    [
        ({"status": "ready", "last_seen_at": DAY + 1}, "idle_killed", "idle", "dead"),
        ({"status": "ready", "last_seen_at": DAY - 9}, "", "", ""),
        ({"status": "ready", "last_seen_at": DAY + 1, "initial_prompt": "hi"}, "", "", ""),
        (LATE, "timed_out", "timeout", "failed"),
        (LATE | {"status": "ready", "last_seen_at": 0}, "timed_out", "timeout", "failed"),
        (LATE | {"worker": "ended"}, "timed_out", "timeout", "failed"),
        (LATE | {"worker": "live"}, "", "", ""),
        (LATE | {"started_at": 51}, "", "", ""),
        (LATE | {"status": "stopping", "stop_as": "dead"}, "", "", "dead"),
        (STUCK, "failed_creating", "bringup_timeout", "failed"),
        (STUCK | {"worker": "ended"}, "failed_creating", "bringup_timeout", "failed"),
        (STUCK | {"worker": "live"}, "", "", ""),
        (STUCK | {"status": "ready", "last_seen_at": 0}, "", "", ""),
        ({"started_at": 591}, "", "", ""),
        ({"created_at": DAY}, "", "", ""),
    ],
)
def test_rows_that_nobody_uses_or_carries_end(
    agent: Agent, worker: Worker, columns: Any, what: str, kind: str, stop_as: str
) -> None:
    if holder := columns.get("worker"):
        held_by = register("there")
        if holder == "ended":
            sign_off(held_by)
        columns = {**columns, "worker": held_by}
    session = open_session(agent, **columns)
    before = session.status
    assert counted(one_pass(MemoryBackend(box_of(session)), worker)) == {"inspected": 1} | (
        {what: 1} if what else {}
    )
    session.refresh_from_db()
    assert session.status == ("stopping" if what else before)
    assert (session.failure_kind, session.stop_as) == (kind, stop_as)


def test_secrets_of_ended_sessions_are_wiped(agent: Agent, worker: Worker) -> None:
    ended = {"status": "completed", "env_vars": {"TOKEN": "t"}}
    old = open_session(agent, **ended, stopped_at=DAY + 1)
    young = open_session(agent, **ended, stopped_at=DAY - 9)
    assert one_pass(MemoryBackend(), worker).secrets_wiped == 1
    kept = {session.id: session.env_vars for session in Session.objects.all()}
    assert kept == {old.id: None, young.id: {"TOKEN": "t"}}


def one_for_every_sweep(agent: Agent) -> list[Session]:
    """Idle and a ghost, timed out, stuck, to be wiped, and one whose sandbox is an orphan."""
    return [
        open_session(agent, status="ready", last_seen_at=DAY + 1),
        open_session(agent, **LATE),
        open_session(agent, **STUCK),
        open_session(agent, status="dead", stopped_at=DAY + 1, env_vars={"TOKEN": "t"}),
    ]


def rows() -> list[object]:
    return [row for model in (Session, Worker) for row in model.objects.order_by("id").values()]


@pytest.mark.parametrize(
    "outage", [api_down(), None, RuntimeError("a bug")], ids=["down", "silent", "broken"]
)
def test_an_outage_changes_nothing(
    agent: Agent, worker: Worker, outage: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_module, "CALL_SECONDS", 0.1)
    sessions = one_for_every_sweep(agent)
    backend = MemoryBackend(box_of(sessions[-1]))
    before = rows()
    if outage:
        backend.troubles["list"] = outage
    else:
        backend.while_listing = asyncio.Event().wait  # type: ignore[assignment]
    if isinstance(outage, RuntimeError):
        with pytest.raises(RuntimeError, match="a bug"):
            one_pass(backend, worker)
    else:
        assert counted(one_pass(backend, worker)) == {"reconcile_errors": 1}
    assert rows() == before
    assert backend.sandboxes
    assert (backend.renewed, backend.wanted) == ([], None)


EVERYTHING = {
    "inspected": 1, "stopped": 1, "failed_creating": 1, "timed_out": 1, "ghost_killed": 1,
    "secrets_wiped": 1, "warm_provisioned": 4, "warm_recycled": 3, "warm_orphans_stopped": 2,
    "warm_stale_killed": 1,
}  # fmt: skip
WARM = {name for name in EVERYTHING if name.startswith("warm")}


@pytest.mark.parametrize(
    ("failing", "error", "missing"),
    [
        ("", None, set()),
        ("renew", api_down(), set()),
        ("renew", RuntimeError("a bug"), set()),
        ("keep_warm", api_down(), WARM),
        ("an orphan", api_down(), {"stopped"}),
        ("wiping", None, {"secrets_wiped"}),
    ],
)
def test_a_sweep_that_fails_keeps_no_other_from_its_work(
    agent: Agent, worker: Worker, failing: str, error: Exception | None, missing: set[str]
) -> None:
    sessions = one_for_every_sweep(agent)
    backend = MemoryBackend(box_of(sessions[-1]))
    backend.warmth = Warmth(provisioned=4, recycled=3, orphans_stopped=2, stale_killed=1)
    if error:
        name = sessions[-1].sandbox_of(1) if failing == "an orphan" else failing
        backend.troubles[name] = error
    elif failing:
        _refuse_wiping()
    try:
        result = one_pass(backend, worker)
    finally:
        _allow_wiping()
    expected = {name: count for name, count in EVERYTHING.items() if name not in missing}
    assert counted(result) == expected | ({"reconcile_errors": 1} if failing else {})


def _refuse_wiping() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE check_violation; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON agent_sessions_session"
            " FOR EACH ROW WHEN (NEW.wiped_at IS NOT NULL) EXECUTE FUNCTION refuse()"
        )


def _allow_wiping() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION IF EXISTS refuse CASCADE")


def test_what_is_warm_is_reported(agent: Agent, worker: Worker, settings: Settings) -> None:
    settings.K8S_WARM_POOL_SIZE = 1
    open_session(agent)
    at = clock.now()
    pool = Pool(agent.id, provisioning=1, warm=2, oldest_warm_at=at)
    backend = MemoryBackend()
    backend.warmth = Warmth([pool, Pool(uuid4())])
    one_pass(backend, worker)
    assert [one.agent_id for one in backend.wanted or ()] == [agent.id]
    worker.refresh_from_db()
    assert worker.warm_pools_at
    assert worker.warm_pools_at > at
    assert worker.warm_pools[0] == {
        "agent_id": str(agent.id), "provisioning": 1, "warm": 2, "claimed": 0, "dead": 0,
        "oldest_warm_at": at.isoformat(),
    }  # fmt: skip
    assert worker.warm_pools[1]["oldest_warm_at"] is None


def test_a_backend_without_warm_pools_is_not_asked(agent: Agent, worker: Worker) -> None:
    backend = MemoryBackend(has_warm_pool=False)
    assert counted(one_pass(backend, worker)) == {}
    worker.refresh_from_db()
    assert (backend.wanted, worker.warm_pools, worker.warm_pools_at) == (None, [], None)


# Whose turn it is


def take_turns(turns: int, *reconcilers: tuple[SandboxBackend, UUID]) -> list[ReconcileResult]:
    """All of them at once, and that as often; what each one's passes came to."""

    async def work(database: DatabaseThreads) -> list[ReconcileResult]:
        made = [Reconciler(worker_id, backend, database) for backend, worker_id in reconcilers]
        for _ in range(turns):
            seconds = await asyncio.gather(*(one.turn() for one in made))
            assert all(50 < left <= 60 for left in seconds)
        return [one.counts for one in made]

    result: list[ReconcileResult] = with_threads(work)
    return result


def test_many_workers_do_one_pass_in_an_interval(agent: Agent) -> None:
    orphan = open_session(agent, status="dead", stopped_at=0)
    backend = MemoryBackend(box_of(orphan))
    workers = [register(f"host {n}").id for n in range(4)]
    counts = take_turns(3, *[(backend, id_) for id_ in workers])
    assert backend.listings == 1
    assert sorted(count.stopped for count in counts) == [0, 0, 0, 1]
    assert 50 < duties.seconds_left("reconcile") <= 60
    Duty.objects.update(until=clock.now())
    take_turns(2, *[(backend, id_) for id_ in workers])
    assert backend.listings == 2


def test_every_host_has_passes_of_its_own(db: None) -> None:
    """Sandboxes of one machine are listed by nobody else."""
    here, there = MemoryBackend(host="here"), MemoryBackend(host="there")
    take_turns(2, (here, register("here").id), (there, register("there").id))
    assert (here.listings, there.listings) == (1, 1)
    assert set(Duty.objects.values_list("name", flat=True)) == {
        "reconcile here", "reconcile there",
    }  # fmt: skip


def test_a_pass_that_failed_is_not_repeated_at_once(worker: Worker) -> None:
    backend = MemoryBackend()
    backend.troubles["list"] = SandboxError("no", kind="api_down")
    [counts] = take_turns(3, (backend, worker.id))
    assert (backend.listings, counts.reconcile_errors) == (1, 1)


def test_whoever_dies_over_a_pass_is_replaced(worker: Worker) -> None:
    other = register("there")
    backend, hung = MemoryBackend(), MemoryBackend()
    hung.while_listing = asyncio.Event().wait  # type: ignore[assignment]

    async def work(database: DatabaseThreads) -> float:
        dying = asyncio.create_task(Reconciler(worker.id, hung, database).turn())
        while not hung.listings:
            await asyncio.sleep(0.01)
        survivor = Reconciler(other.id, backend, database)
        await survivor.turn()
        assert backend.listings == 0
        await database(sign_off, worker)
        await survivor.turn()
        dying.cancel()
        return await survivor.turn()

    assert with_threads(work) > 50
    assert backend.listings == 1
    wait_for(lambda: Duty.objects.get().worker_id == other.id)
