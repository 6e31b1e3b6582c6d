"""One prompt and its reply."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from harness import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.messages import Answer, Message


class Cancellation:
    """Asked for by one thread, noticed by the one that runs the turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.reason: str | None = None

    @property
    def is_set(self) -> bool:
        """Whether the turn should end."""
        return self.reason is not None

    def set(self, reason: str) -> None:
        """Ask the turn to end; the first reason stays."""
        with self._lock:
            self.reason = self.reason or reason
            for callback in self._callbacks:
                callback()

    @contextlib.contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call it when cancelled, at once if that has happened already, never after the block."""
        with self._lock:
            self._callbacks.append(callback)
            if self.is_set:
                callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


class Turn:
    """A prompt in a session's thread; ``reply`` appears when it begins and is replaced once."""

    def __init__(self, session_id: str, message: Message) -> None:
        self.message = message
        self.user = messages.user_message(session_id, message)
        self.reply: dict[str, Any] | None = None
        self.size = message.size
        self.cancellation = Cancellation()
        self._session_id = session_id
        self._done = threading.Event()

    @property
    def is_done(self) -> bool:
        """Whether the reply is final."""
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for the final reply; False when the time ran out first."""
        return self._done.wait(seconds)

    def begin(self) -> None:
        """From here on the thread shows a reply without a completion time."""
        self.reply = messages.pending_reply(self._session_id, self.message.id)

    def finish(self, answer: Answer) -> None:
        """Make the reply final and wake whoever waits for it."""
        if self.reply is None:
            raise RuntimeError("a turn must begin before it can finish")
        self.size += len(answer.text)
        self.reply = messages.finished_reply(self.reply, answer)
        self._done.set()
