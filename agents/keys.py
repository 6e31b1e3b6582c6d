"""Finds out whether this process has the encryption keys that the others write with."""

from __future__ import annotations

from typing import Final

from agents.models import Agent
from lap.core.secrets import Undecryptable

NEWEST: Final = 10


class WrongKeys(Exception):
    """None of LAP_ENCRYPTION_KEYS opens what is stored."""


def require_keys() -> None:
    """Raises WrongKeys when the secrets of none of the newest agents can be read.

    A process without the right keys would fail the runs it carries, or write what nobody else can
    read. One agent with a lost key is no reason for everybody to stop.
    """
    newest = Agent.objects.alive().order_by("-created_at", "-id")[:NEWEST]
    secrets = [agent.env_vars for agent in newest.only("env_vars")]
    if secrets and all(isinstance(secret, Undecryptable) for secret in secrets):
        raise WrongKeys(
            "The stored secrets were encrypted with a key that is not in LAP_ENCRYPTION_KEYS (or"
            " data/encryption.key). Start every process with the same keys."
        )
