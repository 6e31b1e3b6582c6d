"""What a form showed when it was opened, so that an edit by somebody else meanwhile is noticed.

A form carries a short digest of every column it shows. The digests are keyed: some of the values
they stand for are secret, and easy to guess.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from django.utils.crypto import salted_hmac

from agents.models import Agent
from lap.core.secrets import Undecryptable

LENGTH: Final = 12


def seen_of(agent: Agent, columns: Iterable[str]) -> str:
    """The digests of these columns, as a hidden field carries them."""
    return json.dumps({name: _digest(agent, name) for name in sorted(columns)})


def changed_since(seen: str, agent: Agent, columns: Iterable[str]) -> list[str]:
    """The columns that are no longer as they were seen; all of them for digests nobody gave out."""
    try:
        before = json.loads(seen)
    except ValueError:
        before = None
    known = before if isinstance(before, dict) else {}
    return [name for name in sorted(columns) if known.get(name) != _digest(agent, name)]


def _digest(agent: Agent, name: str) -> str:
    value = getattr(agent, name)
    shown = value.stored if isinstance(value, Undecryptable) else value
    text = json.dumps(shown, sort_keys=True, default=str)
    return salted_hmac(f"lap.seen {agent.pk} {name}", text, algorithm="sha256").hexdigest()[:LENGTH]
