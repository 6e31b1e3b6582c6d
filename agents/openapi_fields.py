"""The fields of agents in the OpenAPI schema: what each means and takes."""

from __future__ import annotations

from typing import Any, Final

from agents import harnesses
from agents.models import CatchupPolicy, OverlapPolicy
from agents.serializers import SCHEDULE, SERVER_MANAGED
from agents.validation import LIST_LIMIT, RESERVED_NAMES, VARIABLES_LIMIT
from lap.core.api.schema_components import JsonSchema

Properties = dict[str, JsonSchema]

PAIR_RULE: Final = (
    "`cron_schedule` and `cron_timezone` are judged together, a missing one as it is stored; the "
    "schedule is five cron fields, without nicknames such as `@daily`."
)
VARIABLES: Final[JsonSchema] = {
    "type": ["object", "null"],
    "maxProperties": VARIABLES_LIMIT,
    "propertyNames": {
        "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
        "not": {"enum": sorted(RESERVED_NAMES)},
    },
    "additionalProperties": {"type": "string"},
}
"""Environment variables in a request."""

_MEANINGS: Final = {
    "name": "A name for people.",
    "model": "The model that the harness is given, such as `anthropic/claude-sonnet-4-5`.",
    "prompt": "The system prompt.",
    "harness_id": "The program that runs in the sandbox.",
    "harness_image": "A container image to use instead of the installation's own.",
    "container_port": "The port that this image listens on.",
    "repo_url": "A git repository that is cloned into the sandbox.",
    "branch": "The branch of `repo_url`.",
    "requirements": "What is installed before the harness starts.",
    "pfp_url": "Address of a picture of the agent.",
    "tools": "Tools that the harness is given.",
    "mcp_servers": "MCP servers that the harness is given.",
    "attached_skill_ids": "Ids of skills that the harness is given.",
    "allow_out": "Hosts that the sandbox may reach.",
    "deny_out": "Hosts that the sandbox may not reach.",
    "sandbox_files": "Files that lie in the sandbox from the start, at paths below its directory.",
    "preload_memory_limit": "How many memories are loaded at the start.",
    "cron_schedule": f"When it runs; null: never. {PAIR_RULE}",
    "cron_timezone": f"The IANA name of the time zone that the schedule is read in. {PAIR_RULE}",
    "cron_enabled": "Whether the schedule runs. Pausing never moves `cron_next_fire_at`.",
    "cron_overlap_policy": "What happens at an instant while the run before is still active.",
    "cron_prompt": "What a scheduled run is asked; null: a sentence that names the instant.",
    "cron_catchup_policy": "What happens to instants that passed while no worker ran.",
    "cron_catchup_window_seconds": "How old an instant may be and still be caught up.",
    "cron_run_timeout_seconds": "How long a scheduled run may take.",
}
_ITEMS: Final = ("tools", "mcp_servers", "attached_skill_ids", "allow_out", "deny_out")
_FILE: Final[JsonSchema] = {
    "type": "object",
    "required": ["path", "content"],
    "additionalProperties": False,
    "properties": {"path": {"type": "string", "minLength": 1}, "content": {"type": "string"}},
}
_RANGES: Final[Properties] = {
    "container_port": {"minimum": 1, "maximum": 65_535},
    "preload_memory_limit": {"minimum": 0, "maximum": 2_147_483_647},
    "cron_catchup_window_seconds": {"minimum": 0, "maximum": 31 * 86_400},
    "cron_run_timeout_seconds": {"minimum": 1, "maximum": 7 * 86_400},
    "cron_overlap_policy": {"enum": OverlapPolicy.values},
    "cron_catchup_policy": {"enum": CatchupPolicy.values},
}
_NAMES_OF_ALL: Final[list[Any]] = list(harnesses.KNOWN)


def _merged(*tables: Properties) -> Properties:
    names = [name for table in tables for name in table]
    return {name: {k: v for t in tables for k, v in t.get(name, {}).items()} for name in names}


def _lists(kind: Any) -> Properties:
    bound = {"type": kind, "maxItems": LIST_LIMIT}
    lists: Properties = {name: {**bound, "items": {}} for name in _ITEMS}
    return lists | {"sandbox_files": {**bound, "items": _FILE}}


_SHARED: Final = _merged({name: {"description": text} for name, text in _MEANINGS.items()}, _RANGES)
WRITTEN: Final = _merged(
    _SHARED,
    _lists(["array", "null"]),
    {
        "model": {"pattern": r"\S"},
        "harness_id": {"enum": [*_NAMES_OF_ALL, None], "default": harnesses.DEFAULT},
        "branch": {"default": "main"},
        "cron_schedule": {"type": ["string", "null"], "maxLength": 100},
        "cron_timezone": {"type": "string", "maxLength": 64, "default": "UTC"},
        "cron_enabled": {"default": True},
        "cron_overlap_policy": {"default": OverlapPolicy.SKIP.value},
        "cron_catchup_policy": {"default": CatchupPolicy.LATEST.value},
        "cron_catchup_window_seconds": {"default": 3600},
        "cron_run_timeout_seconds": {"default": 3600},
        "env_vars": {
            **VARIABLES,
            "description": (
                "Environment variables of its sandboxes, at most 16,384 bytes as JSON; replaces "
                "the map. The value `********` keeps a stored value."
            ),
        },
    },
)
READ: Final = _merged(
    _SHARED,
    _lists("array"),
    {
        "id": {"description": "The agent's id."},
        "harness_id": {"enum": _NAMES_OF_ALL},
        "supports_tui": {"description": "Whether the harness has a terminal interface."},
        "env_vars": {
            "type": "object",
            "additionalProperties": {"type": "string", "const": "********"},
            "description": "The names of its environment variables; the values are masked.",
        },
        "cron_last_fired_at": {"description": "The instant that a run was last started for."},
        "cron_next_fire_at": {"description": "The next instant; null without a schedule."},
        "cron_disabled_reason": {"description": "Why LAP itself paused the schedule."},
        "cron_blocked_until": {"description": "Until when LAP holds the schedule back."},
        "cron_blocked_reason": {"description": "Why it does."},
        "created_at": {"description": "When it was created."},
        "created_by": {"description": "Who created it: the master key or the name of a key."},
        "updated_at": {"description": "When it was last edited."},
        "version": {"description": "Counts the edits; `ETag` holds it."},
    },
)
COUNTED: Final[Properties] = {
    "session_count": {"minimum": 0, "description": "How many sessions it has had."},
    "has_active_session": {"description": "Whether one is creating, ready or stopping."},
}
SCHEDULE_NAMES: Final[JsonSchema] = {
    "anyOf": [
        {"not": {"pattern": "^cron_"}},
        {"enum": sorted(SCHEDULE - set(SERVER_MANAGED))},
    ]
}
"""Names that a request may hold: a mistyped schedule field is refused."""
