"""A session: one thread of turns, run one after another."""

from __future__ import annotations

import collections
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from harness import messages
from harness.engines.base import Prompt
from harness.errors import HttpError, not_found
from harness.messages import Answer, Message
from harness.turn import Turn

if TYPE_CHECKING:
    from harness.engines.base import Engine
    from harness.events import Hub
    from harness.opening import Opening

log = logging.getLogger("harness")

WAITING_LIMIT = 16
TURNS_KEPT = 1000
BYTES_KEPT = 64 * 1024 * 1024
IDS_LIMIT = 100_000


class Session:
    """Queues turns and runs them in order in a thread of its own.

    A message id is run once for as long as the session lives: the ids of turns that were
    dropped from a long thread are remembered, and answered with 409.
    """

    def __init__(self, engine: Engine, hub: Hub, opening: Opening) -> None:
        self.id = messages.new_id("ses")
        self.title = opening.title
        self.environment = opening.environment
        self.created = messages.now_ms()
        self._engine = engine
        self._hub = hub
        self._prompt = opening.prompt
        self._changed = threading.Condition()
        self._turns: dict[str, Turn] = {}
        self._waiting: collections.deque[Turn] = collections.deque()
        self._forgotten: set[str] = set()
        self._closed = False
        threading.Thread(target=self._work, name=self.id, daemon=True).start()

    def submit(self, message: Message) -> Turn:
        """Queue a message, or return the turn that already has its id."""
        self._engine.check(message)
        with self._changed:
            known = self._turns.get(message.id)
            if known:
                return known
            self._refuse(message.id)
            turn = self._turns[message.id] = Turn(self.id, message)
            self._waiting.append(turn)
            self._trim()
            self._hub.publish("message.updated", {"info": turn.user["info"]})
            self._changed.notify()
        return turn

    def thread(self) -> list[dict[str, Any]]:
        """Every message kept, oldest first, each reply right behind its prompt."""
        with self._changed:
            pairs = [(turn.user, turn.reply) for turn in self._turns.values()]
        return [message for pair in pairs for message in pair if message]

    def abort(self, reason: str, seconds: float) -> bool:
        """End the running turn and those that wait; False when one did not end in time."""
        with self._changed:
            unfinished = [turn for turn in self._turns.values() if not turn.is_done]
        # The newest first: else the next in the queue would begin as soon as the first ends.
        for turn in reversed(unfinished):
            turn.cancellation.set(reason)
        deadline = time.monotonic() + seconds
        return all(turn.wait(max(0.0, deadline - time.monotonic())) for turn in unfinished)

    def close(self, reason: str, seconds: float) -> bool:
        """Take no more messages and abort."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        return self.abort(reason, seconds)

    def as_dict(self) -> dict[str, Any]:
        """The session in lists."""
        return {"id": self.id, "title": self.title, "time": {"created": self.created}}

    def _refuse(self, message_id: str) -> None:
        if self._closed:
            raise not_found()
        if message_id in self._forgotten:
            raise HttpError(409, "this message has run, but its reply is no longer kept")
        if len(self._waiting) >= WAITING_LIMIT:
            raise HttpError(409, "busy")
        if len(self._forgotten) >= IDS_LIMIT:
            raise HttpError(409, "this session has had too many messages")

    def _trim(self) -> None:
        size = sum(turn.size for turn in self._turns.values())
        for turn in list(self._turns.values())[:-1]:
            if not turn.is_done or (len(self._turns) <= TURNS_KEPT and size <= BYTES_KEPT):
                return
            size -= turn.size
            del self._turns[turn.message.id]
            self._forgotten.add(turn.message.id)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                turn = self._waiting.popleft()
            self._run(turn)

    def _run(self, turn: Turn) -> None:
        started = time.monotonic()
        turn.begin()
        self._announce(turn)
        answer = self._answer(turn)
        turn.finish(answer)
        self._announce(turn)
        if answer.error:
            self._hub.publish("session.error", {"sessionID": self.id, "error": answer.error})
        self._hub.publish("session.idle", {"sessionID": self.id})
        outcome = answer.error["data"]["message"] if answer.error else "ok"
        log.info("turn %s %.1fs %s", self.id, time.monotonic() - started, outcome[:200])

    def _answer(self, turn: Turn) -> Answer:
        """The engine's answer; whatever goes wrong in it is an answer too."""
        if turn.cancellation.is_set:
            return Answer().aborted(turn.cancellation.reason)
        try:
            prompt = Prompt(turn.message, self._prompt, self.environment)
            return self._engine.run(prompt, turn.cancellation)
        except Exception as error:
            # The system's refusals (no such folder, disk full) are news; the rest are our bugs.
            log.error("the engine failed", exc_info=not isinstance(error, OSError))
            return Answer(error=messages.error("EngineFailed", str(error)))

    def _announce(self, turn: Turn) -> None:
        if turn.reply:
            self._hub.publish("message.updated", {"info": turn.reply["info"]})
