"""What it means when a session ends early, and what to do about it."""

from __future__ import annotations

from typing import Final

ADVICE: Final = {
    "agent_deleted": "Its agent was deleted, and its sessions were ended with it.",
    "bringup_timeout": (
        "The sandbox took too long to come up. Look at the worker's log; a restart tries again."
    ),
    "harness": (
        "The program in the sandbox answered with an error, or not at all. The worker's log has"
        " the details."
    ),
    "harness_lost": (
        "The program in the sandbox was started anew and has forgotten the conversation. A restart"
        " tells it what was said."
    ),
    "host_lost": (
        "The machine that its sandbox ran on has not been seen for a while. A restart uses"
        " another one."
    ),
    "idle": "Nobody used the conversation for a while. A restart takes it up again.",
    "internal": "This is an error in LAP itself. The worker's log has the details.",
    "platform_stopped": "A restart begins it again.",
    "prompt": (
        "The agent was asked and answered with an error; for a script that is any exit status but"
        " 0. The thread shows how far it came."
    ),
    "sandbox_busy": "Something else was changing its sandbox. A restart tries again.",
    "sandbox_lost": (
        "Its sandbox ended before it did: it ran out of memory, was killed, or its machine was"
        " restarted. LAP does not repeat a prompt by itself; a restart does."
    ),
    "sandbox_start_failed": "The sandbox did not start. The worker's log has the details.",
    "timeout": (
        "It took longer than it may. Make the task smaller, or raise the time limit of runs in"
        " the agent's schedule."
    ),
    "uncertain_prompt": (
        "The connection broke while the prompt was sent, and this harness cannot say whether it"
        " arrived. LAP does not send it twice; a restart does."
    ),
}
"""By ``failure_kind``. Kinds that explain themselves are not here."""

AS_ASKED: Final = frozenset({"agent_deleted", "idle", "platform_stopped", "stopped"})
"""Kinds of an end that somebody asked for."""


def advice(kind: str) -> str:
    """A sentence or two; empty where the reason says it all."""
    return ADVICE.get(kind, "")
