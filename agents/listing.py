"""The list of agents, for callers of the API and for people: searched, sorted, in pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import (
    Count,
    DateTimeField,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
)
from django.db.models.functions import Cast, Coalesce, Lower
from django.db.models.lookups import GreaterThan

from agents.models import Agent, ScheduleChange
from agents.querysets import AgentQuerySet
from lap.core import clock

SORTS: Final[dict[str, Any]] = {
    "created_at": F("created_at"),
    "name": Lower("name"),
    "harness_id": F("harness_id"),
    "sessions": F("session_count"),
}
DEFAULT_SORT: Final = "created_at"

PAGE_SIZE: Final = 25
FEW: Final = 1000
"""Up to so many agents that a search finds are put in order by themselves."""

SHOWN_SORTS: Final[dict[str, Any]] = {
    "name": Lower("name"),
    "next": F("cron_next_fire_at"),
    "created": F("created_at"),
}
DEFAULT_SHOWN_SORT: Final = "name"
SHOWN_COLUMNS: Final = (
    "name", "created_at", "cron_schedule", "cron_timezone", "cron_enabled", "cron_next_fire_at",
    "cron_disabled_reason", "cron_blocked_until", "cron_blocked_reason",
)  # fmt: skip
ACTIVE: Final = ("creating", "ready", "stopping")
"""Statuses of sessions that have not ended."""

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
        has_active_session=GreaterThan(_sessions(Q(sessions__status__in=ACTIVE)), 0),
    ).order_by(*((key.desc(), id_.desc()) if descending else (key.asc(), id_.asc())))


def _sessions(which: Q) -> Coalesce:
    """How many an agent has, counted for the rows of the page only.

    ``Exists`` would be answered from a list of all active sessions, however many there are.
    """
    this = Agent.objects.filter(which, id=OuterRef("id")).order_by().values("id")
    counted = this.annotate(count=Count("sessions")).values("count")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


@dataclass(frozen=True)
class ListPage:
    """One page of the list that people see. ``sort`` is the one that was taken."""

    agents: list[Agent]
    number: int
    has_next: bool
    sort: str


def page_of_agents(search: str, sort: str, number: int) -> ListPage:
    """The page ``number``, from 1, of the agents found, by one of SHOWN_SORTS or ``-`` and one.

    Without a count of all: one more than the page holds tells whether another follows. Ids come
    first, so that what a row shows is read for the rows of this page, not for those before it.
    Rides on agent_by_name, agent_by_age or agent_cron_due.
    """
    taken = sort if sort.removeprefix("-") in SHOWN_SORTS else DEFAULT_SHOWN_SORT
    start = (number - 1) * PAGE_SIZE
    ids = _ids(_parts(_found(search), taken), start, PAGE_SIZE + 1)
    agents = shown_agents(Agent.objects.alive()).order_by().in_bulk(ids[:PAGE_SIZE])
    shown = [agents[id_] for id_ in ids[:PAGE_SIZE] if id_ in agents]
    return ListPage(shown, number, len(ids) > PAGE_SIZE, taken)


def shown_agents(agents: AgentQuerySet) -> AgentQuerySet:
    """Agents as a row of the list shows them: without their secrets, texts and files.

    Each has ``has_active_session``, ``is_due`` and ``is_blocked`` as of ``shown_at``, the latest
    ``resumed_at`` since its next instant and, of the newest row of its ledger, ``last_outcome``,
    ``last_instant`` and the ``last_session_id`` and ``last_status`` of what was started. The
    ledger is reached by its reverse relation: agents import nobody above. Rides on session_active,
    schedule_change_history and cron_fire_once_per_instant.
    """
    now = clock.now()
    return (
        agents.only(*SHOWN_COLUMNS)
        .looked_at(now)
        .annotate(
            shown_at=Value(now, DateTimeField()),
            resumed_at=Subquery(resumes(OuterRef("id"), OuterRef("cron_next_fire_at"))[:1]),
            has_active_session=GreaterThan(_sessions(Q(sessions__status__in=ACTIVE)), 0),
            last_outcome=_last_fire(F("outcome")),
            last_instant=_last_fire(Coalesce("scheduled_until", "scheduled_for")),
            last_session_id=_last_fire(F("session_id")),
            last_status=_last_fire(F("session__status")),
        )
    )


def resumes(agent_id: Any, since: Any) -> QuerySet[ScheduleChange, datetime]:
    """When an agent's schedule was switched on since then, the latest first.

    Both may be expressions. Rides on schedule_change_history.
    """
    switched_on = ScheduleChange.objects.toggles().filter(
        agent=agent_id, enabled_after=True, changed_at__gte=since
    )
    return switched_on.order_by("-changed_at").values_list("changed_at", flat=True)


def _found(search: str) -> AgentQuerySet:
    """The agents found; where they are few, by their ids.

    Else PostgreSQL, that takes them for many, walks along the index of the order asked for until
    a page is full: for a text that nothing holds, to its end.
    """
    agents = search_agents(search)
    if not search:
        return agents
    few = list(agents.order_by().values_list("id", flat=True)[: FEW + 1])
    return Agent.objects.filter(id__in=few) if len(few) <= FEW else agents


def _parts(found: AgentQuerySet, sort: str) -> list[AgentQuerySet]:
    """The agents in this order, as lists of which one follows the other.

    By the next run: first those that have one, so that the index of what is due gives the order;
    then the paused ones and those without a schedule, by name.
    """
    name, is_descending = sort.removeprefix("-"), sort.startswith("-")
    if name != "next":
        return [_ordered(found, SHOWN_SORTS[name], is_descending=is_descending)]
    have_one = Q(cron_enabled=True, cron_next_fire_at__isnull=False)
    return [
        _ordered(found.filter(have_one), SHOWN_SORTS[name], is_descending=is_descending),
        _ordered(found.exclude(have_one), SHOWN_SORTS["name"], is_descending=False),
    ]


def _ordered(agents: AgentQuerySet, key: Any, *, is_descending: bool) -> AgentQuerySet:
    id_ = F("id")
    return agents.order_by(*((key.desc(), id_.desc()) if is_descending else (key.asc(), id_)))


def _ids(parts: list[AgentQuerySet], start: int, limit: int) -> list[UUID]:
    """Up to ``limit`` ids from ``start`` on, of the parts put one behind the other."""
    ids: list[UUID] = []
    for part in parts:
        found = list(part.values_list("id", flat=True)[start : start + limit - len(ids)])
        ids += found
        if len(ids) == limit:
            break
        start = 0 if found else max(0, start - part.count())
    return ids


def _last_fire(shown: Any) -> Subquery:
    fires = Agent._meta.get_field("cron_fires").related_model._default_manager
    newest = fires.filter(agent=OuterRef("id")).order_by("-scheduled_for")
    return Subquery(newest.values(shown=shown)[:1])
