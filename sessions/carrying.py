"""Carries one held session from whatever state it is in to its end."""

from __future__ import annotations

import asyncio
import logging

from lap.core.clock import DatabaseClock
from sessions.bringup import bring_up, stop_sandbox
from sessions.carried import Carried, RunFailed
from sessions.holding import SessionLost
from sessions.models import Status
from sessions.observing import observe_end, observe_ready
from sessions.prompting import converse, last_words


class Carrier:
    """Carries one session until it has ended, been released or been lost."""

    def __init__(self, carried: Carried) -> None:
        self.carried = carried
        self._living: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """See the session through. Returns also when another worker has taken it over."""
        try:
            if self.carried.session.status != Status.STOPPING:
                self._living = asyncio.create_task(_live(self.carried))
                await self._until_interrupted(self._living)
            if self.carried.session.status == Status.STOPPING:
                await _end(self.carried)
        except SessionLost:
            await _after_loss(self.carried)

    def interrupt(self) -> None:
        """Somebody asked the session to stop: leave off what is being done, and end it."""
        if self._living is not None and not self._living.cancelling():
            self._living.cancel()

    async def _until_interrupted(self, living: asyncio.Task[None]) -> None:
        """Raises SessionLost when interrupted; a cancelled worker goes on being cancelled."""
        try:
            await asyncio.wait([living])
        finally:
            living.cancel()
            await asyncio.wait([living])
        if living.cancelled():
            raise SessionLost(self.carried.session.id)
        living.result()


async def _live(carried: Carried) -> None:
    limit = carried.session.run_timeout_seconds
    try:
        async with asyncio.timeout(carried.seconds_left(limit)) as timeout:
            carried.require_host()
            if carried.session.status == Status.CREATING:
                await bring_up(carried)
                observe_ready(carried)
            await converse(carried)
    except TimeoutError:
        if not timeout.expired():
            raise
        await _fail(carried, RunFailed(f"timed out: the run's limit is {limit} s", "timeout"))
    except RunFailed as failure:
        await _fail(carried, failure)


async def _fail(carried: Carried, failure: RunFailed) -> None:
    await carried.write(
        status=Status.STOPPING,
        stop_as=Status.FAILED,
        failure_reason=str(failure),
        failure_kind=failure.kind,
    )


async def _after_loss(carried: Carried) -> None:
    """End what somebody asked to stop; leave alone what somebody else took over."""
    try:
        await carried.reload()
        if carried.session.status == Status.STOPPING:
            await _end(carried)
    except SessionLost:
        carried.log(logging.WARNING, "lost to another worker")


async def _end(carried: Carried) -> None:
    """End the sandbox and everything in it, then write the final state.

    What was said is read before, while there is somebody to ask; variables and attachments stay
    for a restart until ``wipe_secrets``.
    """
    kept = await last_words(carried)
    await stop_sandbox(carried)
    status = carried.session.stop_as
    await carried.write(
        status=status,
        worker=None,
        stopped_at=DatabaseClock(),
        sandbox_url="",
        harness_token=None,
        callback_token_hash="",
        **kept,
    )
    observe_end(carried.session)
    if status == Status.COMPLETED:
        carried.log(logging.INFO, "completed")
    else:
        carried.log(logging.WARNING, "%s: %s", status, carried.session.failure_reason)
