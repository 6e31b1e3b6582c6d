"""Sends the first prompt, once, and keeps its answer.

The prompt may have been sent before by a worker that died: it is looked for in the harness's
thread before it is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from lap.core import metrics
from lap.core.clock import DatabaseClock
from sessions.carried import Carried, RunFailed
from sessions.environment import first_message, message_id
from sessions.harness_errors import HarnessError, HarnessUnreachable
from sessions.messages import Message, error_of, is_completed, text_of
from sessions.models import Status
from sessions.sandboxes.base import SandboxError

CONVERSATION_TURN_SECONDS: Final = 1800.0
LOOK_AGAIN_SECONDS: Final = 1.0
DROPS_KNOWN_IDS: Final = frozenset({"shell"})
"""Harnesses that never run a message twice whose id they have seen."""


async def converse(carried: Carried) -> None:
    """See the first message answered; then a run is asked to end, a conversation is released.

    Raises RunFailed.
    """
    session = carried.session
    if session.has_first_message and session.prompt_answered_at is None:
        await _keep(carried, await _answer_in_time(carried))
    if not session.is_run:
        await carried.write(worker=None)


async def _answer_in_time(carried: Carried) -> Message:
    """The answer; a run's time is limited as a whole, a conversation's turn here."""
    limit = None if carried.session.is_run else CONVERSATION_TURN_SECONDS
    try:
        async with asyncio.timeout(limit):
            return await _answer(carried)
    except TimeoutError:
        raise RunFailed(f"no answer within {limit:g} s", "timeout") from None
    except HarnessError as error:
        raise RunFailed(str(error), "harness") from error


async def _answer(carried: Carried) -> Message:
    """Send the prompt and wait for its answer, over broken connections and rescues.

    After an uncertain send only the harness's thread can tell whether it arrived.
    """
    is_unsent = carried.session.prompt_sent_at is None
    if is_unsent:
        await carried.write(prompt_sent_at=DatabaseClock())
        metrics.prompts.labels("sent").inc()
    while True:
        try:
            if is_unsent:
                return await _send(carried)
            answer, is_unsent = await _look_for_answer(carried)
            if answer:
                return answer
        except HarnessUnreachable:
            is_unsent = False
            await _require_sandbox(carried)
        await asyncio.sleep(0 if is_unsent else LOOK_AGAIN_SECONDS)


async def _send(carried: Carried) -> Message:
    session = carried.session
    return await carried.harness.send_message(
        session.harness_session_id,
        message_id(session),
        session.agent.model,
        first_message(session),
    )


async def _look_for_answer(carried: Carried) -> tuple[Message | None, bool]:
    """The finished answer if there is one, and whether the prompt has to be sent again."""
    thread = await carried.harness.thread(carried.session.harness_session_id)
    prompt_id = message_id(carried.session)
    answers = (m for m in thread if m.get("info", {}).get("parentID") == prompt_id)
    finished = [message for message in answers if is_completed(message)]
    if finished:
        return finished[-1], False
    if any(m.get("info", {}).get("id") == prompt_id for m in thread):
        return None, False
    if carried.session.harness not in DROPS_KNOWN_IDS:
        raise RunFailed("it is uncertain whether the prompt was delivered", "uncertain_prompt")
    return None, True


async def _require_sandbox(carried: Carried) -> None:
    """Raises RunFailed when the sandbox is gone: its run must not be repeated silently."""
    try:
        sandbox = await carried.tools.backend.find(carried.session.sandbox_name)
    except SandboxError as error:
        carried.log(logging.WARNING, "whether the sandbox lives is unknown: %s", error)
        return
    if sandbox is None or not sandbox.is_running:
        reason = (sandbox and sandbox.ended_because) or "the sandbox disappeared"
        kind = (sandbox and sandbox.ended_kind) or "sandbox_lost"
        raise RunFailed(f"{reason}, during the run", kind)


async def _keep(carried: Carried, answer: Message) -> None:
    """Keep answer and thread; a run is asked to end in the same write."""
    error = error_of(answer)
    end = {"status": Status.STOPPING, "stop_as": Status.FAILED if error else Status.COMPLETED}
    await carried.write(
        response=text_of(answer),
        thread=await _thread(carried, answer),
        prompt_answered_at=DatabaseClock(),
        failure_reason=error,
        failure_kind="prompt" if error else "",
        **(end if carried.session.is_run else {}),
    )
    metrics.prompts.labels("failed" if error else "answered").inc()
    carried.log(logging.INFO, "reply: %s", _excerpt(carried.session.response or ""))


async def last_words(carried: Carried) -> dict[str, Any]:
    """The column with the whole thread, as the harness knows it; none to keep what is stored.

    A run that was answered has kept its thread already, and a thread that is being told anew is
    the one that counts until the harness has heard it. Never raises: nothing that a harness says
    may keep its sandbox from being ended.
    """
    session = carried.session
    is_answered = session.prompt_answered_at is not None
    is_kept = is_answered if session.is_run else session.replays_thread and not is_answered
    if is_kept or not session.harness_session_id or not carried.is_here:
        return {}
    try:
        thread = await carried.harness.last_words(session.harness_session_id)
    except Exception as error:
        carried.log(logging.INFO, "ends with the thread that is stored: %r", error)
        return {}
    return {"thread": thread} if thread else {}


async def _thread(carried: Carried, answer: Message) -> list[Message]:
    try:
        return await carried.harness.thread(carried.session.harness_session_id)
    except (HarnessError, HarnessUnreachable) as error:
        carried.log(logging.WARNING, "kept without its thread: %s", error)
        return [answer]


def _excerpt(text: str) -> str:
    line = " ".join(text[:1000].split())
    return line if len(line) <= 100 else line[:99] + "…"
