"""The list of agents as callers ask for it: searched, sorted, with their sessions counted."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, Subquery, TextField
from django.db.models.functions import Cast, Coalesce, Lower

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


def search_agents(text: str) -> AgentQuerySet:
    """Living agents whose name, id or harness contains the text, whatever its case."""
    agents = Agent.objects.alive()
    if not text or "\0" in text:
        return agents
    found = agents.annotate(id_text=Cast("id", TextField()))
    return found.filter(
        Q(name__icontains=text) | Q(harness_id__icontains=text) | Q(id_text__icontains=text)
    )


def sort_agents(agents: AgentQuerySet, sort: str, *, descending: bool) -> AgentQuerySet:
    """By one of SORTS, then by id; each with ``session_count`` and ``has_active_session``.

    The sessions are reached by the names of their reverse relation: agents import nobody above.
    """
    key = SORTS[sort]
    this = Agent.objects.filter(id=OuterRef("id")).order_by()
    counted = this.values("id").annotate(count=Count("sessions")).values("count")
    return agents.annotate(
        session_count=Coalesce(Subquery(counted, output_field=IntegerField()), 0),
        has_active_session=Exists(this.filter(sessions__status__in=_ACTIVE)),
    ).order_by(key.desc() if descending else key.asc(), "id")
