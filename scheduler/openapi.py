"""The operations on schedules in the OpenAPI schema."""

from __future__ import annotations

from typing import Final

from agents.openapi import AGENT, AGENT_ID, NO_AGENT, PAGE_LIMIT
from agents.openapi_fields import PAIR_RULE
from lap.core.api.schema import operation, query
from lap.core.api.schema_components import JsonSchema
from lap.core.api.schema_serializers import describe
from scheduler.outcome import Outcome
from scheduler.serializers import (
    PREVIEW_COUNT,
    FireSerializer,
    PreviewFields,
    PreviewSerializer,
    RunFields,
)
from sessions.openapi import BEFORE, EXAMPLE, LINK, SESSION
from sessions.serializers import SessionSerializer

_OUTCOMES: Final = [outcome.value for outcome in Outcome]
_PAIR: Final[JsonSchema] = {"type": ["string", "null"], "description": PAIR_RULE}

describe(
    FireSerializer,
    "Fire",
    {
        "id": {"description": "Its number in the ledger."},
        "agent_id": {"description": "The agent's id."},
        "scheduled_for": {"description": "The instant, or the first of `count` neighbours."},
        "scheduled_until": {"description": "The last of them; null for a single instant."},
        "count": {"minimum": 1, "description": "How many instants the row stands for."},
        "outcome": {"enum": _OUTCOMES, "description": "What became of them."},
        "reason": {"description": "Why."},
        "session_id": {
            "type": ["string", "null"],
            "description": "The run; only of a started one, and null once it has been pruned.",
        },
        "decided_at": {"description": "When that was decided."},
    },
)
describe(
    RunFields,
    "Run",
    {"force": {"description": "Start the run also while another one is active."}},
)
describe(
    PreviewFields,
    "Preview",
    {
        "cron_schedule": {**_PAIR, "maxLength": 100},
        "cron_timezone": {**_PAIR, "type": "string", "maxLength": 64},
        "after": {"description": "Runs later than this, within 1970 to 2200; null: than now."},
        "count": {"default": PREVIEW_COUNT, "description": "How many runs to tell."},
        "agent_id": {
            "format": "uuid",
            "description": "The agent whose schedule is edited: it gives what is missing.",
        },
    },
)
describe(
    PreviewSerializer,
    "Preview",
    {
        "description": {"description": "The schedule in words."},
        "next": {"description": "The coming runs."},
        "notes": {"description": "What changes of the clock do to them."},
        "added": {"description": "Those that the stored schedule does not have."},
        "removed": {"description": "Those of the stored schedule that go away."},
    },
    optional=("added", "removed"),
    description="`added` and `removed` are there only with an `agent_id`.",
)

list_fires = operation(
    "list_fires",
    tag="schedules",
    summary="Lists what became of an agent's instants, newest first",
    parameters=[
        AGENT_ID,
        query("outcome", {"type": "string", "enum": _OUTCOMES}, "Only these."),
        PAGE_LIMIT,
        BEFORE,
    ],
    response=FireSerializer(many=True),
    response_examples={
        "A run": {
            "id": 81,
            "agent_id": AGENT,
            "scheduled_for": "2026-03-02T08:00:00Z",
            "scheduled_until": None,
            "count": 1,
            "outcome": "started",
            "reason": None,
            "session_id": SESSION,
            "decided_at": "2026-03-02T08:00:00.029113Z",
        }
    },
    response_headers=LINK,
    means="One page.",
    errors={**NO_AGENT, 400: [{"path": "outcome", "message": "must be one of started, …"}]},
)
run_now = operation(
    "run_now",
    tag="schedules",
    summary="Starts a run now, beside the schedule",
    description="It gets the prompt and the time limit of the scheduled runs; none is moved.",
    parameters=[AGENT_ID],
    request=RunFields,
    request_examples={"When none is active": {}, "In any case": {"force": True}},
    response=SessionSerializer,
    response_examples={
        "A new run": EXAMPLE | {"trigger": "manual", "title": "manual run at 2026-03-02T08:15:04Z"}
    },
    means="The session, `creating`.",
    errors={
        **NO_AGENT,
        409: "a run of this agent is active; wait for it, stop it, or send force",
    },
)
preview_schedule = operation(
    "preview_schedule",
    tag="schedules",
    summary="Tells the coming runs of a schedule",
    description="Writes nothing; a key that may only read is enough.",
    request=PreviewFields,
    request_examples={
        "A schedule": {"cron_schedule": "0 9 * * 1-5", "cron_timezone": "Europe/Berlin", "count": 2}
    },
    response=PreviewSerializer,
    response_examples={
        "Two runs": {
            "description": "At 09:00, Monday through Friday",
            "next": ["2026-03-02T08:00:00Z", "2026-03-03T08:00:00Z"],
            "notes": [],
        }
    },
    means="The coming runs.",
    errors={
        **NO_AGENT,
        400: 'invalid cron_schedule "61 * * * *": minute 61 is out of range; write 0 to 59',
    },
)
