"""Carries many sessions at once: one task each, none of them a thread or a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

from django.conf import settings

from lap.core import logs, metrics
from lap.core.errors import DATABASE_AWAY
from sessions.carried import Carried, Tools
from sessions.carrying import Carrier
from sessions.holding import claim, fail, hand_back, held, load
from sessions.models import Session, Status, Worker
from sessions.sweeps import stop_deleted

log = logging.getLogger(__name__)

AFTER_ERROR_SECONDS = 1.0
ATTEND_SECONDS = 0.5


class Runner:
    """The sessions of one worker.

    ``concurrency`` bounds those being brought up; live runs, which only wait, are bounded by
    ``LAP_RUNS_LIMIT``. ``on_change`` is called when a session ended or began to run: there may be
    room for another.
    """

    def __init__(
        self, worker: Worker, tools: Tools, concurrency: int, on_change: Callable[[], None]
    ) -> None:
        self._worker = worker
        self._tools = tools
        self._concurrency = concurrency
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._carriers: dict[UUID, Carrier] = {}
        self._on_change = on_change

    @property
    def count(self) -> int:
        return len(self._tasks)

    async def look(self) -> int:
        """Attend to what is held, then claim as much as there is room for; how many."""
        await self._tools.database(stop_deleted)
        await self.attend()
        claimed = await self._tools.database(claim, self._worker, self._room())
        for session in claimed:
            self._start(session)
        return len(claimed)

    async def attend(self) -> None:
        """Interrupt sessions that were asked to stop.

        One whose task ended before its time (the database was away) begins again.
        """
        statuses = await self._tools.database(held, self._worker)
        for session_id in statuses.keys() & self._carriers.keys():
            if statuses[session_id] == Status.STOPPING:
                self._carriers[session_id].interrupt()
        dropped = list(statuses.keys() - self._tasks.keys())
        for session in await self._tools.database(load, self._worker.id, dropped):
            self._start(session)

    async def settle(self, seconds: float) -> None:
        """Wait until nothing that was claimed is ending any more, at most ``seconds``."""
        ending = [
            self._tasks[id_] for id_, session in self._sessions() if session.status == "stopping"
        ]
        if ending:
            await asyncio.wait(ending, timeout=seconds)

    async def finish(self) -> None:
        """Wait until every session has ended or been released; stop requests are heeded."""
        while self._tasks:
            await self.attend()
            await asyncio.wait(list(self._tasks.values()), timeout=ATTEND_SECONDS)

    async def hand_back_unbegun(self) -> None:
        """Let go of sessions whose sandbox has not been named yet."""
        unbegun = [id_ for id_, session in self._sessions() if not session.sandbox_name]
        await self._cancel(unbegun)
        await self._tools.database(hand_back, self._worker, unbegun)

    async def hand_over(self) -> int:
        """Let go of everything: sandboxes go on, other workers take the sessions; how many."""
        await self._cancel(list(self._tasks))
        return await self._tools.database(hand_back, self._worker)

    def _room(self) -> int:
        starting = sum(session.status == Status.CREATING for _, session in self._sessions())
        return min(self._concurrency - starting, settings.LAP_RUNS_LIMIT - len(self._tasks))

    def _start(self, session: Session) -> None:
        carrier = Carrier(Carried(session, self._worker.id, self._tools))
        self._carriers[session.id] = carrier
        with _about(session):
            self._tasks[session.id] = asyncio.create_task(self._run(session.id, carrier))
        metrics.live_sessions.set(self.count)

    def _sessions(self) -> list[tuple[UUID, Session]]:
        return [(id_, carrier.carried.session) for id_, carrier in self._carriers.items()]

    async def _run(self, session_id: UUID, carrier: Carrier) -> None:
        try:
            await carrier.run()
        except DATABASE_AWAY as error:
            log.warning("session %s waits for the database: %s", session_id, error)
            await asyncio.sleep(AFTER_ERROR_SECONDS)
        except Exception:
            log.exception("session %s failed with an error of ours", session_id)
            await asyncio.sleep(AFTER_ERROR_SECONDS)
            await self._tools.database(fail, self._worker, carrier.carried.session)
        finally:
            # A released session may be ours again already, with another task.
            if self._carriers.get(session_id) is carrier:
                del self._tasks[session_id], self._carriers[session_id]
                metrics.live_sessions.set(self.count)
            self._on_change()

    async def _cancel(self, session_ids: list[UUID]) -> None:
        tasks = [self._tasks[session_id] for session_id in session_ids]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _about(session: Session) -> AbstractContextManager[None]:
    """The log's context that the session's task inherits."""
    return logs.about_run(
        agent=session.agent_id,
        agent_name=str(session.agent),
        session=session.id,
        scheduled_for=session.scheduled_for,
    )
