"""The API of agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.core.exceptions import ValidationError as ModelError
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from agents import openapi
from agents.editing import create_agent, delete_agent, edit_agent
from agents.listing import DEFAULT_SORT, SORTS, search_agents, sort_agents
from agents.models import Agent
from agents.querysets import AgentQuerySet
from agents.serializers import AgentFields, AgentSerializer, ListedAgentSerializer
from lap.core.api.authentication import actor
from lap.core.api.etags import etag, has_condition, require_match
from lap.core.api.ids import uuid_or_none
from lap.core.api.paging import OFFSET_LIMIT, limit_of, number_or_default
from lap.core.api.views import ApiView
from lap.core.transactions import claim_transaction


class AgentList(ApiView):
    """All living agents, and new ones."""

    @openapi.list_agents
    def get(self, request: Request) -> Response:
        limit = limit_of(request)
        offset = number_or_default(request.query_params.get("offset"), 0, 0, OFFSET_LIMIT)
        found = search_agents(request.query_params.get("search", ""))
        page = _sorted(found, request)[offset : offset + limit]
        data = ListedAgentSerializer(page, many=True).data
        return Response({"data": data, "total": found.count(), "limit": limit, "offset": offset})

    @openapi.create_agent
    def post(self, request: Request) -> Response:
        fields = self.read(AgentFields)
        with naming_the_pair():
            agent = create_agent(fields, actor(request))
        return _answer(agent)


class AgentDetail(ApiView):
    """One agent."""

    @openapi.get_agent
    def get(self, request: Request, agent_id: str) -> Response:
        return _answer(find_agent(agent_id))

    @openapi.edit_agent
    def patch(self, request: Request, agent_id: str) -> Response:
        fields = self.read(AgentFields, partial=True)
        with _changing(request, agent_id) as found, naming_the_pair():
            edited = edit_agent(found, fields, actor(request))
        return _answer(edited)

    @openapi.delete_agent
    def delete(self, request: Request, agent_id: str) -> Response:
        with _changing(request, agent_id) as found:
            delete_agent(found, actor(request))
        return Response(status=204)


def find_agent(agent_id: str) -> Agent:
    """The living agent of an id as it was sent. Raises NotFound with the contract's sentence."""
    with or_not_found(agent_id) as found:
        return Agent.objects.alive().get(id=found)


@contextmanager
def or_not_found(agent_id: str) -> Iterator[UUID]:
    """The id as a UUID, for work that is a 404 when it names no living agent."""
    found = uuid_or_none(agent_id)
    try:
        if found is None:
            raise Agent.DoesNotExist
        yield found
    except Agent.DoesNotExist:
        raise NotFound(f"agent '{agent_id}' not found") from None


@contextmanager
def naming_the_pair() -> Iterator[None]:
    """A bad schedule is always one sentence, whatever else is wrong."""
    try:
        yield
    except ModelError as error:
        found = error.message_dict if hasattr(error, "error_dict") else {}
        for name in ("cron_schedule", "cron_timezone"):
            if name in found:
                raise ValidationError(found[name][:1]) from None
        raise


@contextmanager
def _changing(request: Request, agent_id: str) -> Iterator[UUID]:
    """A transaction that changes the agent if it is at a version that the caller named."""
    with or_not_found(agent_id) as found, claim_transaction():
        if has_condition(request):
            require_match(request, Agent.objects.lock(found).version)
        yield found


def _sorted(agents: AgentQuerySet, request: Request) -> AgentQuerySet:
    sort = request.query_params.get("sort", "")
    is_descending = request.query_params.get("order", "").lower() != "asc"
    return sort_agents(agents, sort if sort in SORTS else DEFAULT_SORT, descending=is_descending)


def _answer(agent: Agent) -> Response:
    return Response(AgentSerializer(agent).data, headers={"ETag": etag(agent.version)})
