"""How the admin shows rows that belong to agents: sessions, the ledger, changes of schedules."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from agents.listing import search_agents
from agents.models import Agent
from lap.core.admin import ReadOnlyAdmin, Row, row_link

UNLINKED_COLUMNS = tuple(
    f"agent__{field.name}"
    for field in Agent._meta.concrete_fields
    if field.name not in {"id", "name", "deleted_at"}
)
"""What a list that only links to its agents need not read, secrets above all."""

AGENTS_SEARCHED: Final = 1000
_START_OF_ID: Final = re.compile("[0-9a-f]{8,32}")


class AgentFilter(admin.SimpleListFilter):
    """Rows of the one agent that a link names; not a list of all agents to choose from."""

    title = "agent"
    parameter_name = "agent__id__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        asked = request.GET.get(self.parameter_name)
        with suppress(Agent.DoesNotExist, ValidationError):
            return [(asked, str(Agent.objects.only("name").get(pk=asked)))] if asked else []
        return []

    def has_output(self) -> bool:
        return self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        if not self.value():
            return queryset
        try:
            return queryset.filter(agent=self.value())
        except ValidationError as error:
            raise IncorrectLookupParameters(error) from None


class AgentRowsAdmin(ReadOnlyAdmin[Row]):
    """Rows that belong to agents: found through them, and linked to them."""

    search_fields = ["agent"]
    search_help_text = (
        f"Part of the agent's name, harness or id: finds rows of up to {AGENTS_SEARCHED:,} agents"
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Row]:
        return super().get_queryset(request).select_related("agent").defer(*UNLINKED_COLUMNS)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        return queryset.filter(self.found(text)) if text else queryset, False

    def found(self, text: str) -> Q:
        """Rows of living agents that are found by this text, and of any whose id begins so.

        The agents are looked up first: PostgreSQL cannot tell from a condition on their names
        whether they are many, and would sort the rows of them all.
        """
        agents = list(search_agents(text).values_list("pk", flat=True)[:AGENTS_SEARCHED])
        return Q(agent__in=agents) | id_begins("agent__id", text)

    @admin.display(description="agent")
    def agent_name(self, row: Row) -> str:
        return agent_link(row)


def id_begins(column: str, text: str) -> Q:
    """Rows whose ``column`` holds an id that begins with this text; none for other text."""
    digits = text.replace("-", "").lower()
    if not _START_OF_ID.fullmatch(digits):
        return Q(pk__in=[])
    return Q(**{f"{column}__range": (UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))})


def agent_link(row: Any) -> str:
    """A link to the agent of a session, fire or change; a deleted one has no page any more."""
    if row.agent.deleted_at:
        return f"{row.agent} (deleted)"
    return row_link("agents_agent", row.agent_id, row.agent)
