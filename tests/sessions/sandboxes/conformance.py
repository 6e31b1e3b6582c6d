"""What every sandbox backend must do. A backend's tests inherit from ``BackendConformance``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest

from sessions.sandboxes.base import SandboxBackend, SandboxSpec
from tests.sessions.sandboxes.client import ask, make_spec, start, status

Connect = Callable[[], SandboxBackend]


class BackendConformance:
    """Needs a fixture ``connect``: gives, each time, what another worker process would have."""

    @pytest.fixture
    def backend(self, connect: Connect) -> SandboxBackend:
        return connect()

    def test_it_starts_a_harness_that_knows_its_token(self, backend: SandboxBackend) -> None:
        spec = make_spec()
        sandbox = start(backend, spec)
        assert status(sandbox, spec.harness_token) < 300
        assert status(sandbox, "wrong") == 401

    def test_it_describes_the_sandbox(self, backend: SandboxBackend) -> None:
        spec = make_spec(attempt=3)
        sandbox = asyncio.run(backend.create(spec))
        assert (sandbox.name, sandbox.session_id) == (spec.name, spec.session_id)
        assert (sandbox.attempt, sandbox.is_running) == (3, True)
        assert sandbox.created_at.tzinfo is not None

    def test_it_tells_the_phase_it_waits_in(self, backend: SandboxBackend) -> None:
        phases: list[str] = []

        async def report(phase: str, detail: str) -> None:
            phases.append(phase)

        sandbox = asyncio.run(backend.create(make_spec()))
        asyncio.run(backend.wait_ready(sandbox, report))
        assert set(phases) <= {"pod_pending", "pod_running", "waiting_harness"}

    def test_it_adopts_the_sandbox_of_the_same_name(self, connect: Connect) -> None:
        spec = make_spec()
        first = start(connect(), spec)
        again = start(connect(), spec)
        assert again == first
        assert len(asyncio.run(connect().list())) == 1

    def test_concurrent_creates_make_one_sandbox(self, connect: Connect) -> None:
        spec, backends = make_spec(), [connect() for _ in range(4)]

        async def create_all() -> set[str]:
            found = await asyncio.gather(*(backend.create(spec) for backend in backends))
            return {sandbox.created_at.isoformat() for sandbox in found}

        assert len(asyncio.run(create_all())) == 1
        assert len(asyncio.run(backends[0].list())) == 1

    def test_it_hands_over_environment_and_files(self, backend: SandboxBackend) -> None:
        spec = make_spec(env={"GREETING": "good morning"}, files={"notes/today.txt": "rain\n"})
        sandbox = start(backend, spec)
        assert ask(sandbox, spec, 'echo "$GREETING"; cat notes/today.txt') == "good morning\nrain\n"

    def test_sandboxes_do_not_share_tokens(self, backend: SandboxBackend) -> None:
        one, other = make_spec(), make_spec()
        first, second = start(backend, one), start(backend, other)
        assert first.url != second.url
        assert status(second, one.harness_token) == 401

    def test_it_lists_what_it_runs(self, connect: Connect) -> None:
        backend = connect()
        started = sorted((start(backend, make_spec()) for _ in range(2)), key=lambda s: s.name)
        assert sorted(asyncio.run(connect().list()), key=lambda s: s.name) == started

    def test_stop_ends_the_sandbox(self, connect: Connect) -> None:
        spec = make_spec()
        sandbox = start(connect(), spec)
        asyncio.run(connect().stop(spec.name))
        assert asyncio.run(connect().list()) == []
        with pytest.raises(OSError, match=r"refused|unreachable"):
            status(sandbox, spec.harness_token)

    def test_stop_may_be_repeated_and_knows_no_strangers(self, backend: SandboxBackend) -> None:
        spec = make_spec()
        asyncio.run(backend.stop(spec.name))
        asyncio.run(backend.create(spec))
        for _ in range(2):
            asyncio.run(backend.stop(spec.name))

    def test_concurrent_stops_all_return_when_it_is_gone(self, connect: Connect) -> None:
        spec, backends = make_spec(), [connect() for _ in range(3)]
        start(backends[0], spec)

        async def stop_all() -> None:
            await asyncio.gather(*(backend.stop(spec.name) for backend in backends))

        asyncio.run(stop_all())
        assert asyncio.run(backends[0].list()) == []

    def test_a_stopped_name_may_be_used_again(self, backend: SandboxBackend) -> None:
        spec = make_spec()
        start(backend, spec)
        asyncio.run(backend.stop(spec.name))
        assert status(start(backend, spec), spec.harness_token) < 300

    def test_it_gives_the_tail_of_the_log(self, backend: SandboxBackend) -> None:
        spec = make_spec()
        start(backend, spec)
        assert asyncio.run(backend.logs(spec.name)).strip()
        assert len(asyncio.run(backend.logs(spec.name, limit_bytes=10))) <= 10
        assert asyncio.run(backend.logs(f"s-{uuid4()}-1")) == ""

    def test_secrets_stay_out_of_repr_and_log(self, backend: SandboxBackend) -> None:
        spec: SandboxSpec = make_spec(env={"API_KEY": "hunter2"})
        sandbox = start(backend, spec)
        told = repr(spec) + repr(sandbox) + asyncio.run(backend.logs(spec.name))
        assert "hunter2" not in told
        assert spec.harness_token not in told
