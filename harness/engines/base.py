"""What every engine offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.messages import Answer, Message
    from harness.turn import Cancellation


@dataclass(frozen=True)
class Prompt:
    """A message, the session's standing instruction, if it has one, and its variables."""

    message: Message
    instruction: str | None
    environment: dict[str, str] = field(repr=False)


class Engine(ABC):
    """Runs turns. One engine serves all sessions, so it keeps nothing of a single turn."""

    @abstractmethod
    def check(self, message: Message) -> None:
        """Raise a 400 for a message that this engine cannot run."""

    @abstractmethod
    def run(self, prompt: Prompt, cancellation: Cancellation) -> Answer:
        """Answer the prompt, leaving no process and no file behind.

        A cancelled run returns soon, ``aborted``, with what there is. What it raises becomes
        the reply's error; a failure that has a name of its own belongs into the answer.
        """
