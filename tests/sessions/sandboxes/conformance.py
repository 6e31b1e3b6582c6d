"""What every sandbox backend must do. A backend's tests inherit from ``BackendConformance``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import pytest

from sessions.sandboxes.base import SandboxBackend, SandboxSpec
from tests.sessions.sandboxes.client import ask, bring_up, make_spec, status

T = TypeVar("T")
Connect = Callable[[], SandboxBackend]


class Run(Protocol):
    """Runs a coroutine on the test's event loop, which goes on where it was the next time."""

    def __call__(self, step: Coroutine[Any, Any, T], /) -> T: ...


class BackendConformance:
    """Needs a fixture ``make``: makes, each time, what another worker process would have."""

    @pytest.fixture
    def run(self) -> Iterator[Run]:
        with asyncio.Runner() as runner:
            yield runner.run

    @pytest.fixture
    def connect(self, run: Run, make: Connect) -> Iterator[Connect]:
        opened: list[SandboxBackend] = []

        def connect() -> SandboxBackend:
            opened.append(run(make().__aenter__()))
            return opened[-1]

        yield connect
        for backend in opened:
            run(backend.__aexit__())

    @pytest.fixture
    def backend(self, connect: Connect) -> SandboxBackend:
        return connect()

    def test_it_starts_a_harness_that_knows_its_token(
        self, run: Run, backend: SandboxBackend
    ) -> None:
        spec = make_spec()
        sandbox = run(bring_up(backend, spec))
        assert status(sandbox, spec.harness_token) < 300
        assert status(sandbox, "wrong") == 401

    def test_it_describes_the_sandbox(self, run: Run, backend: SandboxBackend) -> None:
        spec = make_spec(attempt=3)
        sandbox = run(backend.create(spec))
        assert (sandbox.name, sandbox.session_id) == (spec.name, spec.session_id)
        assert (sandbox.attempt, sandbox.is_running) == (3, True)
        assert sandbox.created_at.tzinfo is not None

    def test_it_tells_the_phase_it_waits_in(self, run: Run, backend: SandboxBackend) -> None:
        phases: list[str] = []

        async def report(phase: str, detail: str) -> None:
            phases.append(phase)

        sandbox = run(backend.create(make_spec()))
        run(backend.wait_ready(sandbox, report))
        assert set(phases) <= {"pod_pending", "pod_running", "waiting_harness"}

    def test_it_adopts_the_sandbox_of_the_same_name(self, run: Run, connect: Connect) -> None:
        spec = make_spec()
        first = run(bring_up(connect(), spec))
        again = run(bring_up(connect(), spec))
        assert again == first
        assert len(run(connect().list())) == 1

    def test_concurrent_creates_make_one_sandbox(self, run: Run, connect: Connect) -> None:
        spec, backends = make_spec(), [connect() for _ in range(4)]

        async def create_all() -> set[str]:
            found = await asyncio.gather(*(backend.create(spec) for backend in backends))
            return {sandbox.created_at.isoformat() for sandbox in found}

        assert len(run(create_all())) == 1
        assert len(run(backends[0].list())) == 1

    def test_it_hands_over_the_environment(self, run: Run, backend: SandboxBackend) -> None:
        spec = make_spec(env={"GREETING": "good morning"})
        assert ask(run(bring_up(backend, spec)), spec, 'echo "$GREETING"') == "good morning\n"

    def test_sandboxes_do_not_share_tokens(self, run: Run, backend: SandboxBackend) -> None:
        one, other = make_spec(), make_spec()
        first, second = run(bring_up(backend, one)), run(bring_up(backend, other))
        assert first.url != second.url
        assert status(second, one.harness_token) == 401

    def test_it_lists_what_it_runs(self, run: Run, connect: Connect) -> None:
        backend = connect()
        started = {run(bring_up(backend, make_spec())).name for _ in range(2)}
        listed = run(connect().list())
        assert {sandbox.name for sandbox in listed if sandbox.is_running} == started

    def test_it_finds_what_it_runs(self, run: Run, connect: Connect) -> None:
        spec = make_spec()
        started = run(bring_up(connect(), spec))
        found = run(connect().find(spec.name))
        assert found is not None
        assert (found.name, found.session_id, found.is_running) == (
            started.name,
            started.session_id,
            True,
        )
        run(connect().stop(spec.name))
        assert run(connect().find(spec.name)) is None

    def test_stop_ends_the_sandbox(self, run: Run, connect: Connect) -> None:
        spec = make_spec()
        sandbox = run(bring_up(connect(), spec))
        run(connect().stop(spec.name))
        assert run(connect().list()) == []
        with pytest.raises(OSError, match=r"refused|unreachable"):
            status(sandbox, spec.harness_token)

    def test_stop_may_be_repeated_and_knows_no_strangers(
        self, run: Run, backend: SandboxBackend
    ) -> None:
        spec = make_spec()
        run(backend.stop(spec.name))
        run(backend.create(spec))
        for _ in range(2):
            run(backend.stop(spec.name))

    def test_concurrent_stops_all_return_when_it_is_gone(self, run: Run, connect: Connect) -> None:
        spec, backends = make_spec(), [connect() for _ in range(3)]
        run(bring_up(backends[0], spec))

        async def stop_all() -> None:
            await asyncio.gather(*(backend.stop(spec.name) for backend in backends))

        run(stop_all())
        assert run(backends[0].list()) == []

    def test_a_stopped_name_may_be_used_again(self, run: Run, backend: SandboxBackend) -> None:
        spec = make_spec()
        run(bring_up(backend, spec))
        run(backend.stop(spec.name))
        assert status(run(bring_up(backend, spec)), spec.harness_token) < 300

    def test_it_gives_the_tail_of_the_log(self, run: Run, backend: SandboxBackend) -> None:
        spec = make_spec()
        run(bring_up(backend, spec))
        assert run(backend.logs(spec.name)).strip()
        assert len(run(backend.logs(spec.name, limit_bytes=10))) <= 10
        assert run(backend.logs(f"s-{uuid4()}-1")) == ""

    def test_secrets_stay_out_of_repr_and_log(self, run: Run, backend: SandboxBackend) -> None:
        spec: SandboxSpec = make_spec(env={"API_KEY": "hunter2"})
        sandbox = run(bring_up(backend, spec))
        told = repr(spec) + repr(sandbox) + run(backend.logs(spec.name))
        assert "hunter2" not in told
        assert spec.harness_token not in told
