"""Brings a session up: sandbox, harness, harness session.

Every step may have been done before by a worker that died: sandboxes are adopted by name.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from django.conf import settings

from lap.core import secrets
from sessions.carried import Carried, RunFailed
from sessions.environment import callback_token, callback_url, configuration, environment
from sessions.harness_errors import HarnessError, HarnessUnreachable
from sessions.models import Status
from sessions.sandboxes.base import Sandbox, SandboxError, SandboxSpec

HARNESS_START_SECONDS: Final = 120.0
LOOK_AGAIN_SECONDS: Final = 3.0
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
        last = carried.session.phase_detail
        raise RunFailed(f"{reason}: {last}" if last else reason, "bringup_timeout") from None


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
    sandbox = await backend.create(_spec(carried))
    _require_own_token(carried, sandbox)
    sandbox = await backend.wait_ready(sandbox, carried.report)
    token = await _keep_address(carried, sandbox)
    await _wait_for_harness(carried)
    await carried.report("harness_ready", "")
    await _open_harness_session(carried, token)


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
    """A sandbox that was started ahead serves a first try that brings no variables of its own."""
    session = carried.session
    return SandboxSpec(
        name=session.sandbox_name,
        session_id=session.id,
        attempt=session.attempt,
        configuration=configuration(session.agent, session.harness),
        harness_token=session.harness_token,
        env=environment(session),
        is_warm_welcome=session.tries == 0 and not session.env_vars,
    )


def _require_own_token(carried: Carried, sandbox: Sandbox) -> None:
    """Raises SandboxError when the token is a pool's and the sandbox is not.

    A worker before this one had a warm sandbox, which was lost meanwhile: the next attempt has
    tokens of its own.
    """
    session = carried.session
    own = secrets.hash_token(callback_token(session.harness_token))
    if not sandbox.harness_token and own != session.callback_token_hash:
        raise SandboxError("the warm sandbox was lost when it was taken over", kind="sandbox_lost")


async def _keep_address(carried: Carried, sandbox: Sandbox) -> str:
    """Write how the harness is reached; the token for this session's callbacks.

    A sandbox that was started ahead shares its harness token with its pool, so nothing secret of
    the session can be derived from that one: its callback token is made now.
    """
    harness_token = sandbox.harness_token or carried.session.harness_token
    token = secrets.new_token() if sandbox.harness_token else callback_token(harness_token)
    await carried.write(
        sandbox_url=sandbox.url,
        phase="waiting_harness",
        phase_detail="",
        harness_token=harness_token,
        callback_token_hash=secrets.hash_token(token),
    )
    return token


async def _wait_for_harness(carried: Carried) -> None:
    """Probe until the harness answers, for as long as its sandbox lives.

    Raises SandboxError, HarnessUnreachable.
    """
    probing = asyncio.create_task(carried.harness.wait_ready())
    looking = asyncio.create_task(_look_until_dead(carried))
    try:
        done, _ = await asyncio.wait(
            (probing, looking), timeout=HARNESS_START_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        probing.cancel()
        looking.cancel()
        await asyncio.wait((probing, looking))
    if not done:
        raise HarnessUnreachable(f"the harness did not answer within {HARNESS_START_SECONDS:g} s")
    for ended in done:
        ended.result()


async def _look_until_dead(carried: Carried) -> None:
    """Raises SandboxError once the sandbox has ended; to fail to ask says nothing about it."""
    while True:
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
        try:
            found = await carried.tools.backend.find(carried.session.sandbox_name)
        except SandboxError as error:
            carried.log(logging.WARNING, "cannot look after the sandbox: %s", error)
            continue
        _require_life(found)


def _require_life(sandbox: Sandbox | None) -> None:
    if sandbox is None:
        raise SandboxError("the sandbox disappeared", kind="sandbox_lost")
    if not sandbox.is_running:
        because = sandbox.ended_because or "the sandbox ended"
        raise SandboxError(because, kind=sandbox.ended_kind or "sandbox_exited")


async def _open_harness_session(carried: Carried, token: str) -> None:
    session = carried.session
    harness_session_id = await carried.harness.open_session(
        session.title,
        prompt=session.agent.prompt,
        files=session.agent.sandbox_files,
        platform_session_id=str(session.id),
        callback={"url": callback_url(session), "token": token},
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
    """However long it takes: nothing may go on that no row stands for.

    Where LAP may not end it at all the row ends without: reconcile goes on trying.
    """
    pause = STOP_AGAIN_SECONDS
    while True:
        try:
            await carried.tools.backend.stop(name)
            return
        except SandboxError as error:
            carried.log(logging.WARNING, "the sandbox does not end: %s", error)
            if error.permanent:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, STOP_AGAIN_LIMIT_SECONDS)
