"""Brings a session up: sandbox, harness, harness session.

Every step may have been done before by a worker that died: sandboxes are adopted by name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, TypeVar

from django.conf import settings

from lap.core import secrets
from sessions.carried import Carried, RunFailed
from sessions.environment import callback_token, environment
from sessions.harness_errors import HarnessError, HarnessUnreachable
from sessions.models import Status
from sessions.sandboxes.base import SandboxError, SandboxSpec

T = TypeVar("T")

HARNESS_START_SECONDS: Final = 120.0
STOP_AGAIN_SECONDS: Final = 1.0
STOP_AGAIN_LIMIT_SECONDS: Final = 30.0


async def bring_up(carried: Carried) -> None:
    """Attempts until the session is ready. Raises RunFailed when it cannot be."""
    if carried.session.status != Status.CREATING:
        return
    limit = settings.LAP_BRINGUP_TIMEOUT_SECONDS
    try:
        async with asyncio.timeout(carried.seconds_left(limit)) as timeout:
            await _attempts(carried)
    except TimeoutError:
        if not timeout.expired():
            raise
        reason = f"the sandbox was not ready within {limit:g} s"
        raise RunFailed(reason, "bringup_timeout") from None


async def _attempts(carried: Carried) -> None:
    while carried.session.status == Status.CREATING:
        try:
            await _attempt(carried)
        except SandboxError as error:
            await _try_again(carried, error)
        except (HarnessError, HarnessUnreachable) as error:
            await _try_again(carried, SandboxError(str(error), kind="harness"))


async def _attempt(carried: Carried) -> None:
    backend = carried.tools.backend
    await _begin(carried)
    sandbox = await finish(backend.create(_spec(carried)))
    sandbox = await backend.wait_ready(sandbox, carried.report)
    await carried.write(sandbox_url=sandbox.url, phase="waiting_harness", phase_detail="")
    await _wait_for_harness(carried)
    await carried.report("harness_ready", "")
    await _open_harness_session(carried)


async def _begin(carried: Carried) -> None:
    """Name the sandbox and make its tokens, unless a worker before this one did."""
    if carried.session.sandbox_name and carried.is_here:
        return
    if carried.session.sandbox_name:
        await _next_attempt(carried)
    await stop_sandbox(carried)
    token = secrets.new_token()
    await carried.write(
        phase="creating_sandbox",
        sandbox_name=carried.session.sandbox_of(carried.session.attempt),
        sandbox_host=carried.tools.backend.host,
        harness_id=carried.session.agent.harness_id,
        harness_token=token,
        callback_token_hash=secrets.hash_token(callback_token(token)),
    )
    carried.log(logging.INFO, "creating sandbox")


def _spec(carried: Carried) -> SandboxSpec:
    session, agent = carried.session, carried.session.agent
    return SandboxSpec(
        name=session.sandbox_name,
        session_id=session.id,
        agent_id=agent.id,
        attempt=session.attempt,
        harness_id=session.harness,
        harness_image=agent.harness_image,
        container_port=agent.container_port,
        harness_token=session.harness_token,
        env=environment(session),
    )


async def _wait_for_harness(carried: Carried) -> None:
    try:
        async with asyncio.timeout(HARNESS_START_SECONDS):
            await carried.harness.wait_ready()
    except TimeoutError:
        raise HarnessUnreachable(
            f"the harness did not answer within {HARNESS_START_SECONDS:g} s"
        ) from None


async def _open_harness_session(carried: Carried) -> None:
    session = carried.session
    harness_session_id = await carried.harness.open_session(
        session.title,
        prompt=session.agent.prompt,
        files=session.agent.sandbox_files,
        platform_session_id=str(session.id),
    )
    await carried.write(
        status=Status.READY,
        phase="ready",
        phase_detail="",
        harness_session_id=harness_session_id,
    )
    carried.log(logging.INFO, "ready")


async def _try_again(carried: Carried, error: SandboxError) -> None:
    """Throw this attempt's sandbox away and wait a little. Raises RunFailed at the limit."""
    tries = carried.session.tries + 1
    if error.permanent:
        raise RunFailed(str(error), error.kind)
    if tries >= settings.LAP_BRINGUP_MAX_ATTEMPTS:
        raise RunFailed(f"{error} (gave up after {tries} tries)", error.kind)
    carried.log(logging.WARNING, "try %d failed: %s", tries, error)
    await carried.write(tries=tries, phase="retrying", phase_detail=str(error)[:500])
    await stop_sandbox(carried)
    await _next_attempt(carried)
    await asyncio.sleep(settings.LAP_BRINGUP_BACKOFF_SECONDS * 2 ** (tries - 1))


async def _next_attempt(carried: Carried) -> None:
    await carried.write(
        attempt=carried.session.attempt + 1,
        sandbox_name="",
        sandbox_host="",
        sandbox_url="",
        harness_token=None,
    )


async def stop_sandbox(carried: Carried) -> None:
    """End the attempt's sandbox, and what a restart left of the attempt before."""
    session = carried.session
    if not carried.is_here:
        return
    if session.sandbox_name:
        await _stop(carried, session.sandbox_name)
    if session.attempt > 1:
        await _stop(carried, session.sandbox_of(session.attempt - 1))


async def _stop(carried: Carried, name: str) -> None:
    """However long it takes: nothing may go on that no row stands for."""
    pause = STOP_AGAIN_SECONDS
    while True:
        try:
            await finish(carried.tools.backend.stop(name))
            return
        except SandboxError as error:
            carried.log(logging.WARNING, "the sandbox does not end: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, STOP_AGAIN_LIMIT_SECONDS)


async def finish(step: Awaitable[T]) -> T:
    """Let a step that changes the world finish, also when the session is cancelled meanwhile."""
    task = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()
