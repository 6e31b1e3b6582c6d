"""The list of sessions as people look at it: filtered, a page at a time, newest first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Left, Lower

from agents.models import Agent
from lap.core.api.paging import Cursor, Keyset
from sessions.models import Session
from sessions.querysets import SessionQuerySet

PAGE: Final = 50
NEWEST_FIRST: Final = Keyset("created_at", UUID)
TITLE_LIMIT: Final = 80
NAMED_LIMIT: Final = 100
_COLUMNS: Final = (
    "status", "phase", "attempt", "trigger", "scheduled_for", "title", "failure_reason",
    "created_at", "agent__name", "agent__deleted_at",
)  # fmt: skip
_STATE: Final = ("id", "status", "phase", "attempt")


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to; an empty value narrows nothing, nor does ``named`` None.

    ``since`` is an instant.
    """

    agent: UUID | None = None
    named: Collection[UUID] | None = None
    status: str = ""
    trigger: str = ""
    since: datetime | None = None

    def sessions(self) -> SessionQuerySet:
        """Rides on session_list, or its sibling for an agent, a status or a trigger."""
        chosen = {
            "agent_id": self.agent,
            "status": self.status,
            "trigger": self.trigger,
            "created_at__gte": self.since,
        }
        found = Session.objects.filter(**{name: value for name, value in chosen.items() if value})
        return found if self.named is None else found.filter(agent_id__in=self.named)


def agents_named(text: str) -> tuple[list[UUID], bool]:
    """Living agents with the text in their names, in any case, and whether there are more.

    Rides on agent_search. The ids go into the list's own query as they are: from them PostgreSQL
    sees whether it is quicker to look through the newest sessions or through those of the agents,
    and from a text it cannot.
    """
    named = Agent.objects.alive().filter(name__icontains=text).order_by(Lower("name"), "id")
    ids = list(named.values_list("id", flat=True)[: NAMED_LIMIT + 1])
    return ids[:NAMED_LIMIT], len(ids) > NAMED_LIMIT


def read_page(filters: Filters, before: str) -> tuple[list[Session], Cursor | None]:
    """One page, each session with its ``took`` and the ``opening`` of its prompt.

    Raises ValueError for a cursor that no page handed out.
    """
    took = ExpressionWrapper(F("stopped_at") - F("started_at"), output_field=DurationField())
    rows = filters.sessions().select_related("agent").only(*_COLUMNS)
    rows = rows.annotate(took=took, opening=Left("initial_prompt", TITLE_LIMIT))
    return NEWEST_FIRST.read(rows, before, PAGE)


def states_of(sessions: list[Session]) -> list[tuple[object, ...]]:
    """What the list must be shown anew for."""
    return [tuple(getattr(session, name) for name in _STATE) for session in sessions]


def newest_states(filters: Filters) -> list[tuple[object, ...]]:
    """``states_of`` the first page, read without the page."""
    newest = filters.sessions().order_by("-created_at", "-id")
    return list(newest.values_list(*_STATE)[:PAGE])
