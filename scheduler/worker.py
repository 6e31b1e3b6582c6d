"""The worker: ticks when something is due, carries sessions, keeps its lease, leaves in order."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import NoReturn

import httpx
from django.conf import settings
from django.db import Error, connections

from agents.keys import require_keys
from agents.models import Agent
from lap.core import clock, metrics
from lap.core.errors import DATABASE_AWAY
from lap.core.listener import Listener
from lap.core.migrated import MigrationsMissing, require_migrations
from lap.core.threads import DatabaseThreads
from scheduler.result import TickResult
from scheduler.tick import tick
from scheduler.worker_probes import WorkerCondition, probes_of
from sessions.backends import backend_from_settings
from sessions.carried import Tools
from sessions.health import check_backend, write_check
from sessions.holding import hand_back
from sessions.lease import Heartbeat, register, report, sign_off
from sessions.models import Worker
from sessions.reconcile import Reconciler
from sessions.runner import Runner
from sessions.sweeps import stop_timed_out

log = logging.getLogger(__name__)

WRITERS = 4
BATCHES_PER_LOOK = 5
HELD_ELSEWHERE_SECONDS = 0.1
WITHOUT_LISTEN_SECONDS = 1.0
AFTER_ERROR_SECONDS = 1.0
BEFORE_START_SECONDS = 3.0
SETTLE_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 0.5
LEASE_LOST_EXIT = 75
HEARTBEAT_LOG_SECONDS = 60.0
DATABASE, OTHER = "database", "other"


@dataclass(frozen=True, slots=True)
class Options:
    """``tick_seconds`` is the longest sleep; ``concurrency`` bounds simultaneous bring-ups."""

    tick_seconds: float
    concurrency: int


class CronWorker:
    """One worker process. Any number of them share the work through the database."""

    def __init__(self, options: Options, http: httpx.AsyncClient) -> None:
        self._options = options
        self._tick_thread = DatabaseThreads("tick", 1)
        self._database = DatabaseThreads("writer", WRITERS)
        self._tools = Tools(backend_from_settings(), self._database, http)
        self._due = asyncio.Event()
        self._work = asyncio.Event()
        self._leaving = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._listener = Listener(asyncio.get_running_loop(), self._wake)
        self._counts = TickResult()
        self._condition = WorkerCondition(options.tick_seconds, self._leaving)

    async def run(self) -> None:
        """Work until the first SIGTERM or SIGINT, then drain; a second one ends the wait."""
        self._heed_signals()
        async with probes_of(self._condition), self._tools.backend:
            if worker := await self._signed_on():
                await self._begin(worker)
                await self._turn_loops()
                await self._leave()

    async def run_once(self) -> None:
        """Settle what is due now, carry what can be claimed to its end, and leave."""
        self._heed_signals()
        async with self._tools.backend:
            if worker := await self._signed_on():
                await self._begin(worker)
                await self._settle_and_carry()
                await self._leave()

    async def _turn_loops(self) -> None:
        loops = [asyncio.create_task(self._forever(name, step)) for name, step in self._steps()]
        await self._leaving.wait()
        for loop in loops:
            loop.cancel()

    async def _settle_and_carry(self) -> None:
        while await self._settle_batches():
            pass
        while await self._has_sessions() and not self._leaving.is_set():
            await _wait(self._leaving, LOOK_AGAIN_SECONDS)

    async def _has_sessions(self) -> bool:
        return bool(await self._runner.look() or self._runner.count)

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    async def _signed_on(self) -> Worker | None:
        """Register as soon as the database can be used; None when told to leave before that.

        Raises WrongKeys.
        """
        host = self._tools.backend.host or socket.gethostname()
        with closing(DatabaseThreads("start", 1)) as database:
            while not self._leaving.is_set():
                try:
                    return await database(sign_on, host)
                except (MigrationsMissing, Error) as error:
                    self._condition.waiting(str(error).strip())
                    log.warning("cannot start yet, trying again: %s", error)
                await _wait(self._leaving, BEFORE_START_SECONDS)
        return None

    async def _begin(self, worker: Worker) -> None:
        """Rescue and time out what is left over, before a tick judges overlap."""
        self._worker = worker
        self._runner = Runner(
            self._worker, self._tools, self._options.concurrency, on_change=self._work.set
        )
        self._reconciler = Reconciler(self._worker.id, self._tools.backend, self._database)
        self._heartbeat = Heartbeat(self._worker, on_lost=_end_process)
        self._heartbeat.start()
        self._pulse = asyncio.create_task(self._heartbeat.turn())
        self._condition.registered(self._heartbeat)
        self._listener.start()
        log.info("worker %s started on %s", self._worker.id, self._worker.host)
        await self._database(stop_timed_out)
        await self._runner.look()
        await self._runner.settle(SETTLE_SECONDS)

    async def _leave(self) -> None:
        """Hand back what has not begun, finish or hand over the rest, sign off."""
        log.info("draining: %d sessions", self._runner.count)
        await self._runner.hand_back_unbegun()
        finishing = asyncio.create_task(self._runner.finish())
        hurrying = asyncio.create_task(self._hurrying.wait())
        await asyncio.wait(
            (finishing, hurrying),
            timeout=settings.LAP_DRAIN_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        finishing.cancel()
        hurrying.cancel()
        if self._hurrying.is_set():
            await self._leave_at_once()
        await self._runner.hand_over()
        self._pulse.cancel()
        await asyncio.to_thread(self._stop_threads)
        log.info("worker %s left", self._worker.id)

    async def _leave_at_once(self) -> NoReturn:
        """Let go without waiting for what cannot be interrupted: others adopt or remove it."""
        await self._database(hand_back, self._worker)
        await self._database(sign_off, self._worker)
        log.info("worker %s left at once", self._worker.id)
        os._exit(0)

    def _stop_threads(self) -> None:
        self._heartbeat.stop()
        self._listener.stop()
        self._tick_thread.close()
        report(self._worker, self._counters())
        sign_off(self._worker)
        self._database.close()
        connections.close_all()

    def _steps(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        return [
            ("tick", self._tick),
            ("look", self._look),
            ("check", self._check),
            ("reconcile", self._reconcile),
            ("report", self._report),
        ]

    async def _forever(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step; one that fails is logged and tried again, so that nothing stops firing."""
        for cause in (DATABASE, OTHER):
            metrics.loop_errors.labels(name, cause)  # 0 until the first one
        while True:
            try:
                await step()
            except DATABASE_AWAY as error:
                metrics.loop_errors.labels(name, DATABASE).inc()
                log.warning("the database failed, trying again: %s", error)
                await asyncio.sleep(AFTER_ERROR_SECONDS)
            except Exception:
                metrics.loop_errors.labels(name, OTHER).inc()
                log.exception("a step failed, trying again")
                await asyncio.sleep(AFTER_ERROR_SECONDS)

    # The steps

    async def _tick(self) -> None:
        """Settle what is due, then sleep until the next instant or a NOTIFY."""
        self._condition.ticking()
        self._due.clear()
        did_something = await self._settle_batches()
        seconds = await self._tick_thread(seconds_to_next_fire, self._options.tick_seconds)
        if seconds <= 0 and not did_something:
            seconds = HELD_ELSEWHERE_SECONDS
        await _wait(self._due, self._at_most_a_poll(seconds))

    async def _settle_batches(self) -> bool:
        """A few batches, so that other work gets its turn; whether there was anything."""
        did_something = False
        for _ in range(BATCHES_PER_LOOK):
            begun = time.perf_counter()
            result = await self._tick_thread(self._counted_tick)
            if not any(result.counters().values()):
                break
            metrics.tick_duration.observe(time.perf_counter() - begun)
            metrics.tick_errors.inc(result.errors)
            log.info("tick: %s", result)
            did_something = True
        return did_something

    def _counted_tick(self) -> TickResult:
        """In the tick's own thread: nobody may be waiting any more when it has committed."""
        result = tick()
        self._counts.add(result)
        return result

    async def _look(self) -> None:
        self._work.clear()
        await self._runner.look()
        await _wait(self._work, self._at_most_a_poll(settings.LAP_LEASE_SECONDS / 3))

    async def _check(self) -> None:
        """See whether the backend answers, right after the start and from then on."""
        found = await check_backend(self._tools.backend)
        await self._database(write_check, self._worker.id, found)
        await asyncio.sleep(settings.LAP_BACKEND_CHECK_SECONDS)

    async def _reconcile(self) -> None:
        """Whichever worker comes first does the pass; a little chance shares them out."""
        seconds = await self._reconciler.turn()
        await asyncio.sleep(seconds + settings.LAP_RECONCILE_SECONDS * random.uniform(0, 0.1))  # noqa: S311

    async def _report(self) -> None:
        await asyncio.sleep(HEARTBEAT_LOG_SECONDS)
        counters = self._counters()
        log.info("heartbeat %s", " ".join(f"{name}={n}" for name, n in counters.items()))
        await self._database(report, self._worker, counters)

    def _counters(self) -> dict[str, int]:
        return {
            **self._counts.counters(),
            **asdict(self._reconciler.counts),
            "live_sessions": self._runner.count,
        }

    # Waking and leaving

    def _at_most_a_poll(self, seconds: float) -> float:
        return seconds if self._listener.is_connected else min(seconds, WITHOUT_LISTEN_SECONDS)

    def _wake(self) -> None:
        self._due.set()
        self._work.set()

    def _on_signal(self) -> None:
        if self._leaving.is_set():
            self._hurrying.set()
        self._leaving.set()


def sign_on(host: str) -> Worker:
    """Register, if this process fits the database.

    Raises MigrationsMissing, WrongKeys, or what Django raises when the database fails.
    """
    require_migrations()
    require_keys()
    return register(host)


def seconds_to_next_fire(at_most: float) -> float:
    """Until the earliest due instant, by the database's clock; not positive when one is due."""
    earliest = Agent.objects.earliest_due()
    if earliest is None:
        return at_most
    return min(at_most, (earliest - clock.now()).total_seconds())


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()


def _end_process() -> None:
    """Others may hold our sessions by now: stop at once, without a word to anybody."""
    log.critical("the lease was lost; this worker ends")
    os._exit(LEASE_LOST_EXIT)
