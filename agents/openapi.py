"""The operations on agents in the OpenAPI schema."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from agents.listing import DEFAULT_SORT, SORTS
from agents.openapi_fields import COUNTED, READ, SCHEDULE_NAMES, WRITTEN
from agents.serializers import AgentFields, AgentSerializer, ListedAgentSerializer
from lap.core.api.paging import DEFAULT_LIMIT, LIMIT, OFFSET_LIMIT
from lap.core.api.schema import Errors, operation, path_id, query, request_header
from lap.core.api.schema_serializers import describe

AGENT_ID: Final = path_id("agent_id", "Id of an agent.")
PAGE_LIMIT: Final = query(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": LIMIT, "default": DEFAULT_LIMIT},
    "Rows of a page. Anything but such a number falls back to the default.",
)
AGENT: Final = "7a1c7b64-30a5-4f5e-9a51-0b7f6b8f2f11"
NO_AGENT: Final[Errors] = {404: f"agent '{AGENT}' not found"}

_BAD_PAIR: Final[Errors] = {
    400: 'invalid cron_timezone "Mars/Base" — must be an IANA name (e.g. America/Los_Angeles)'
}
_STALE: Final[Errors] = {412: "it was changed meanwhile; the current version is 4"}
_IF_MATCH: Final = request_header(
    "If-Match",
    {"type": "string"},
    'Change the agent only while `ETag` is one of these, e.g. `"3"`.',
)
_ETAG: Final = {"ETag": "The agent's version, for `If-Match`. The scheduler never changes it."}

_WRITTEN: Final[dict[str, Any]] = {
    "name": "Morning digest",
    "model": "anthropic/claude-sonnet-4-5",
    "harness_id": "opencode",
    "repo_url": "https://git.example.com/acme/shop.git",
    "env_vars": {"SHOP_TOKEN": "s3cr3t"},
    "cron_schedule": "0 9 * * 1-5",
    "cron_timezone": "Europe/Berlin",
    "cron_prompt": "Summarise yesterday's commits.",
}
_READ: Final[dict[str, Any]] = {
    "id": AGENT,
    "name": "Morning digest",
    "model": "anthropic/claude-sonnet-4-5",
    "prompt": "",
    "harness_id": "opencode",
    "supports_tui": False,
    "harness_image": "",
    "container_port": None,
    "repo_url": "https://git.example.com/acme/shop.git",
    "branch": "main",
    "requirements": "",
    "pfp_url": "",
    "tools": [],
    "mcp_servers": [],
    "env_vars": {"SHOP_TOKEN": "********"},
    "attached_skill_ids": [],
    "allow_out": [],
    "deny_out": [],
    "sandbox_files": [],
    "preload_memory_limit": None,
    "cron_schedule": "0 9 * * 1-5",
    "cron_timezone": "Europe/Berlin",
    "cron_enabled": True,
    "cron_overlap_policy": "skip",
    "cron_prompt": "Summarise yesterday's commits.",
    "cron_catchup_policy": "latest",
    "cron_catchup_window_seconds": 3600,
    "cron_run_timeout_seconds": 3600,
    "cron_last_fired_at": None,
    "cron_next_fire_at": "2026-03-02T08:00:00Z",
    "cron_disabled_reason": None,
    "cron_blocked_until": None,
    "cron_blocked_reason": None,
    "created_at": "2026-02-27T16:20:31.507112Z",
    "created_by": "master key",
    "updated_at": "2026-02-27T16:20:31.507112Z",
    "version": 1,
}
_DIGEST: Final = {"A digest every weekday": _READ}

describe(
    AgentFields,
    "Agent",
    WRITTEN,
    description=(
        "Other fields are ignored, so that an answer may be sent back, but for unknown `cron_…` "
        "fields and the two instants that only the server writes."
    ),
    propertyNames=SCHEDULE_NAMES,
)
describe(AgentSerializer, "Agent", READ)
describe(ListedAgentSerializer, "ListedAgent", READ | COUNTED)
_Page = inline_serializer(
    "AgentPage",
    {
        "data": ListedAgentSerializer(many=True),
        "total": serializers.IntegerField(min_value=0, help_text="Agents that were found."),
        "limit": serializers.IntegerField(
            min_value=1, max_value=LIMIT, help_text="The limit that was used."
        ),
        "offset": serializers.IntegerField(
            min_value=0, max_value=OFFSET_LIMIT, help_text="The offset that was used."
        ),
    },
)

list_agents = operation(
    "list_agents",
    tag="agents",
    summary="Lists agents",
    parameters=[
        PAGE_LIMIT,
        query(
            "offset",
            {"type": "integer", "minimum": 0, "maximum": OFFSET_LIMIT, "default": 0},
            "Rows to leave out. Anything but such a number falls back to the default.",
        ),
        query(
            "sort",
            {"type": "string", "enum": list(SORTS), "default": DEFAULT_SORT},
            "Another value falls back to the default.",
        ),
        query(
            "order",
            {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
            "Another value falls back to the default.",
        ),
        query("search", {"type": "string"}, "Text in the name, id or harness, in any case."),
    ],
    response=_Page,
    response_examples={
        "One agent": {
            "data": [{**_READ, "session_count": 12, "has_active_session": False}],
            "total": 1,
            "limit": 50,
            "offset": 0,
        }
    },
    means="One page, and how many agents there are in all.",
)
create_agent = operation(
    "create_agent",
    tag="agents",
    summary="Creates an agent",
    request=AgentFields,
    request_examples={"A digest every weekday": _WRITTEN},
    response=AgentSerializer,
    response_examples=_DIGEST,
    response_headers=_ETAG,
    means="The new agent.",
    errors=_BAD_PAIR,
)
get_agent = operation(
    "get_agent",
    tag="agents",
    summary="Shows an agent",
    parameters=[AGENT_ID],
    response=AgentSerializer,
    response_examples=_DIGEST,
    response_headers=_ETAG,
    means="The agent.",
    errors=NO_AGENT,
)
edit_agent = operation(
    "edit_agent",
    tag="agents",
    summary="Edits an agent",
    description="Changes the fields that are sent and no others.",
    parameters=[AGENT_ID, _IF_MATCH],
    request=AgentFields,
    request_examples={
        "Another hour": {"cron_schedule": "30 7 * * 1-5"},
        "Pause": {"cron_enabled": False},
        "No schedule": {"cron_schedule": None},
    },
    response=AgentSerializer,
    response_examples=_DIGEST,
    response_headers=_ETAG,
    means="The agent as it is now.",
    errors={**_BAD_PAIR, **NO_AGENT, **_STALE},
)
delete_agent = operation(
    "delete_agent",
    tag="agents",
    summary="Deletes an agent",
    description="Its sessions are asked to stop.",
    parameters=[AGENT_ID, _IF_MATCH],
    means="It is gone.",
    status=204,
    errors={**NO_AGENT, **_STALE},
)
