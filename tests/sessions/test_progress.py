"""How far a session has come, in steps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sessions.models import Session
from sessions.progress import doing, steps

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
RUN = {"trigger": "cron", "has_prompt": True}
UP = {"status": "ready", "phase": "ready", "started_at": AT}
SIGNS = {"done": "✓", "now": ">", "broken off": "x", "to come": "·"}


def told(**columns: Any) -> list[str]:
    session = Session(created_at=AT, **{"has_prompt": False, **columns})
    return [f"{SIGNS[step.mark]} {step.words}" for step in steps(session)]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        pytest.param(
            {"has_prompt": True},
            [
                "✓ Created", "> Waiting for a worker", "· Sandbox created", "· Harness started",
                "· Harness session opened", "· Ready", "· Prompt sent", "· Answered",
                "· Open for messages", "· Ended",
            ],
            id="waiting",
        ),
        pytest.param(
            RUN | {"started_at": AT, "phase": "cloning_repo"},
            [
                "✓ Created", "✓ Picked up by a worker", "✓ Sandbox created",
                "> Cloning the repository", "· Harness started", "· Harness session opened",
                "· Ready", "· Prompt sent", "· Answered", "· Ended",
            ],
            id="a phase that not every sandbox has",
        ),
        pytest.param(
            UP | RUN | {"prompt_sent_at": AT},
            [
                "✓ Created", "✓ Picked up by a worker", "✓ Ready", "✓ Prompt sent",
                "> Waiting for the answer", "· Ended",
            ],
            id="at work",
        ),
        pytest.param(
            UP,
            ["✓ Created", "✓ Picked up by a worker", "✓ Ready", "> Open for messages", "· Ended"],
            id="idle conversation",
        ),
        pytest.param(
            UP | {"has_prompt": True, "prompt_sent_at": AT, "status": "stopping"},
            [
                "✓ Created", "✓ Picked up by a worker", "✓ Ready", "✓ Prompt sent",
                "x Waiting for the answer", "> Ending",
            ],
            id="stopped at work",
        ),
        pytest.param(
            UP | {"status": "dead", "stopped_at": AT},
            ["✓ Created", "✓ Picked up by a worker", "✓ Ready", "✓ Open for messages", "✓ Ended"],
            id="ended conversation",
        ),
        pytest.param(
            RUN | {"status": "failed", "phase": "waiting_harness", "started_at": AT},
            [
                "✓ Created", "✓ Picked up by a worker", "✓ Sandbox created",
                "x Waiting for the harness", "✓ Ended",
            ],
            id="failed while it was brought up",
        ),
        pytest.param(
            {"status": "dead", "stopped_at": AT},
            ["✓ Created", "x Waiting for a worker", "✓ Ended"],
            id="stopped before it began",
        ),
        pytest.param(
            UP | RUN | {"status": "completed", "prompt_sent_at": AT, "prompt_answered_at": AT},
            [
                "✓ Created", "✓ Picked up by a worker", "✓ Ready", "✓ Prompt sent", "✓ Answered",
                "✓ Ended",
            ],
            id="completed",
        ),
    ],
)  # fmt: skip
def test_the_steps(columns: dict[str, Any], shown: list[str]) -> None:
    assert told(**columns) == shown


def test_only_times_that_are_known_are_told() -> None:
    session = Session(created_at=AT, has_prompt=False, **UP)
    assert [step.at for step in steps(session)] == [AT, AT, None, None, None]


def test_a_bring_up_that_is_tried_again_says_why() -> None:
    session = Session(
        created_at=AT, has_prompt=False, started_at=AT, phase="retrying", phase_detail="no room"
    )
    details = {step.words: step.detail for step in steps(session) if step.detail}
    assert details == {"Creating the sandbox": "trying again after: no room"}
    assert doing(session) == "Trying again"
