"""The list of agents as callers ask for it: searched, sorted, with their sessions counted."""

from __future__ import annotations

import re
from typing import Any, Final

from django.db.models import Count, F, IntegerField, OuterRef, Q, Subquery, TextField
from django.db.models.functions import Cast, Coalesce, Lower
from django.db.models.lookups import GreaterThan

from agents.models import Agent
from agents.querysets import AgentQuerySet

SORTS: Final[dict[str, Any]] = {
    "created_at": F("created_at"),
    "name": Lower("name"),
    "harness_id": F("harness_id"),
    "sessions": F("session_count"),
}
DEFAULT_SORT: Final = "created_at"
_ACTIVE: Final = ("creating", "ready", "stopping")
_PART_OF_ID: Final = re.compile("[0-9a-f-]{1,36}", re.IGNORECASE)


def search_agents(text: str) -> AgentQuerySet:
    """Living agents whose name, id or harness contains the text, whatever its case.

    Rides on agent_search, but for a text that may be part of an id: then all ids are read.
    """
    agents = Agent.objects.alive()
    if not text or "\0" in text:
        return agents
    found = Q(name__icontains=text) | Q(harness_id__icontains=text)
    if _PART_OF_ID.fullmatch(text):
        agents = agents.alias(id_text=Cast("id", TextField()))
        found |= Q(id_text__contains=text.lower())
    return agents.filter(found)


def sort_agents(agents: AgentQuerySet, sort: str, *, descending: bool) -> AgentQuerySet:
    """By one of SORTS, then by id; each with ``session_count`` and ``has_active_session``.

    The sessions are reached by the names of their reverse relation: agents import nobody above.
    Rides on agent_by_age, agent_by_name or agent_by_harness, backwards where ``descending``;
    sorted by sessions, all are counted.
    """
    key, id_ = SORTS[sort], F("id")
    return agents.annotate(
        session_count=_sessions(Q()),
        has_active_session=GreaterThan(_sessions(Q(sessions__status__in=_ACTIVE)), 0),
    ).order_by(*((key.desc(), id_.desc()) if descending else (key.asc(), id_.asc())))


def _sessions(which: Q) -> Coalesce:
    """How many an agent has, counted for the rows of the page only.

    ``Exists`` would be answered from a list of all active sessions, however many there are.
    """
    this = Agent.objects.filter(which, id=OuterRef("id")).order_by().values("id")
    counted = this.annotate(count=Count("sessions")).values("count")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)
