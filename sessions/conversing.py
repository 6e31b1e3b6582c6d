"""Speaks to the harness of a session on behalf of a caller who waits for the answer.

It is called from request threads. While a harness works, which may take half an hour, the thread
holds no database connection: the pool has fewer connections than there can be callers.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import wait
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, TypeVar

from django.conf import settings
from django.db import close_old_connections, connection, transaction
from django.db.models import F, Func, IntegerField

from lap.core.clock import DatabaseClock
from lap.core.errors import DATABASE_AWAY, Conflict
from lap.core.notify import notify_workers
from sessions.harness_client import Harness, http_client
from sessions.harness_errors import (
    HarnessError,
    HarnessRefused,
    HarnessSessionLost,
    HarnessUnreachable,
)
from sessions.messages import Message
from sessions.models import Session, Status
from sessions.querysets import ACTIVE, SessionQuerySet

log = logging.getLogger(__name__)
T = TypeVar("T")
Tell = Callable[[Session, Harness], Coroutine[Any, Any, list[Message]]]

TURN_SECONDS: Final = 1800.0
AT_ONCE_SECONDS: Final = 2.0
FAREWELL_SECONDS: Final = 10.0


def spoken_to() -> SessionQuerySet:
    """Sessions with what it takes to reach their harnesses, and without what may be megabytes."""
    return Session.objects.select_related("agent").only(
        "status", "trigger", "attempt", "sandbox_host", "sandbox_url", "harness_token",
        "harness_session_id", "agent__model",
    )  # fmt: skip


class NotReady(Exception):
    """The session has no harness that could be spoken to."""


class HarnessFailed(Exception):
    """The harness gave no usable answer; the log says why."""


def send_message(session: Session, parts: Sequence[Message]) -> Message:
    """The harness's reply to a message, as it was sent; the thread is kept with the session.

    A sandbox in which nobody listens any more ends the session. Raises Conflict for a run that
    has not ended and for a session that is stopped meanwhile, NotReady, HarnessFailed.
    """
    if session.is_run and session.status in ACTIVE:
        raise Conflict("a run takes no messages until it has ended")
    if session.status != Status.READY:
        raise NotReady
    _touch(session)
    try:
        reply = _ask(session, lambda harness: _turn(session, harness, parts))
    except HarnessFailed as error:
        if not _as_it_was(session).exists():
            raise Conflict("the session was stopped or restarted meanwhile") from None
        if isinstance(error.__cause__, HarnessRefused):
            _end(session, "sandbox unreachable", kind="sandbox_lost")
        elif isinstance(error.__cause__, HarnessSessionLost):
            _end(session, "the harness lost the session", kind="harness_lost")
        raise
    _save(session, _thread_at_once)
    return reply


def read_thread(session: Session, *, at_once: bool = False) -> list[Message]:
    """Every message so far; after the end, what was kept. Raises HarnessFailed.

    With ``at_once`` a harness that takes longer than ``AT_ONCE_SECONDS`` has failed: for callers
    who will ask again.
    """
    if session.status not in (Status.CREATING, Status.READY):
        return list(session.thread)
    if not session.harness_session_id:
        return []
    tell = _thread_at_once if at_once else _thread
    return _ask(session, lambda harness: tell(session, harness))


def abort_turn(session: Session) -> bool:
    """End what the harness is doing; true also when there is nothing. Raises HarnessFailed."""
    if session.status == Status.READY:
        _ask(session, lambda harness: harness.abort(session.harness_session_id))
    return True


def save_last_words(host: str) -> None:
    """Store the threads of ready sessions whose sandboxes on this host are about to be ended.

    What still runs in them is ended. For at most ``FAREWELL_SECONDS`` in all.
    """
    deadline = time.monotonic() + FAREWELL_SECONDS
    for session in spoken_to().filter(status=Status.READY, sandbox_host=host):
        if time.monotonic() < deadline:
            _save(session, _last_words)


def save_before_restart(session: Session) -> None:
    """Store the thread of a ready session; what a conversation is doing is ended.

    A run's turn goes on until its sandbox ends: its worker would take an abort for the run's end.
    """
    if session.status == Status.READY:
        _save(session, _thread_at_once if session.is_run else _last_words)


def _save(session: Session, tell: Tell) -> None:
    """Store what the harness tells; when it does not tell it at once, what is stored counts."""
    with suppress(HarnessFailed):
        _keep(session, _ask(session, lambda harness: tell(session, harness)))


def _end(session: Session, reason: str, kind: str) -> None:
    with transaction.atomic():
        if _as_it_was(session).request_stop(reason, kind=kind):
            notify_workers()


def _keep(session: Session, thread: list[Message]) -> None:
    """Store the thread. Of two turns that ended at once the shorter thread never wins."""
    kept = Func(F("thread"), function="jsonb_array_length", output_field=IntegerField())
    behind = _as_it_was(session).annotate(kept=kept).filter(kept__lte=len(thread))
    behind.update(thread=thread, last_seen_at=DatabaseClock())


def _as_it_was(session: Session) -> SessionQuerySet:
    """The session, as long as it is ready and in the attempt that was spoken to."""
    return Session.objects.filter(id=session.id, attempt=session.attempt, status=Status.READY)


def _ask(session: Session, call: Callable[[Harness], Coroutine[Any, Any, T]]) -> T:
    """What the harness answers. A long turn is no idleness: it is said to be in use meanwhile."""
    _require_reach(session)
    _give_connection_back()
    asking = asyncio.run_coroutine_threadsafe(_call(session, call), _loop())
    while not wait([asking], settings.LAP_SESSION_IDLE_SECONDS / 3).done:
        try:
            _touch(session)
            _give_connection_back()
        except DATABASE_AWAY as error:
            log.warning("session %s: its use could not be noted: %s", session.id, error)
    try:
        return asking.result()
    except (HarnessError, HarnessUnreachable, TimeoutError) as error:
        log.warning("session %s: %r", session.id, error)
        raise HarnessFailed from error


async def _call(session: Session, call: Callable[[Harness], Coroutine[Any, Any, T]]) -> T:
    async with http_client(verify=_trust()) as http:
        return await call(Harness(http, session.sandbox_url, session.harness_token))


def _touch(session: Session) -> None:
    """Say that the session is in use. Reading its thread is not: a page may do so for ever."""
    _as_it_was(session).update(last_seen_at=DatabaseClock())


def _give_connection_back() -> None:
    if not connection.in_atomic_block:
        close_old_connections()


async def _turn(session: Session, harness: Harness, parts: Sequence[Message]) -> Message:
    message_id = f"msg_{uuid.uuid4().hex}"
    async with asyncio.timeout(TURN_SECONDS):
        return await harness.send_message(
            session.harness_session_id, message_id, session.agent.model, parts
        )


async def _last_words(session: Session, harness: Harness) -> list[Message]:
    return await harness.last_words(session.harness_session_id)


async def _thread(session: Session, harness: Harness) -> list[Message]:
    return await harness.thread(session.harness_session_id)


async def _thread_at_once(session: Session, harness: Harness) -> list[Message]:
    async with asyncio.timeout(AT_ONCE_SECONDS):
        return await _thread(session, harness)


def _require_reach(session: Session) -> None:
    """A sandbox on another machine's loopback is not gone: it is out of this process's reach."""
    machine, _, _ = session.sandbox_host.partition(":")
    if machine and machine != socket.gethostname():
        log.warning("session %s runs on %s, out of reach of this machine", session.id, machine)
        raise HarnessFailed


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    """Runs what is asked of harnesses, in a thread of its own; it ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="harnesses", daemon=True).start()
    return loop


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Made once: loading the certificates takes longer than most requests."""
    return ssl.create_default_context()
