"""What a sandbox is told: its environment, and the first message."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings

from agents.models import Agent
from lap.core import secrets
from sessions.models import Session
from sessions.sandboxes.base import Configuration
from sessions.transcript import as_comment, transcript

RUNS_SCRIPTS: Final = frozenset({"shell"})
"""Harnesses that run a message instead of reading it."""


def callback_token(harness_token: str) -> str:
    """The token with which a sandbox reports phases, derived so that a rescuer knows it too."""
    return secrets.hash_token(f"callback {harness_token}")


def callback_url(session: Session) -> str:
    """Where a sandbox reports its phases."""
    return f"{settings.LAP_SANDBOX_URL}/api/v1/managed_agents/sessions/{session.id}/phase"


def environment(session: Session) -> dict[str, str]:
    """The sandbox's variables; later ones win: passthrough, agent, session, required."""
    return {
        **settings.CONTAINER_ENV,
        **session.agent.env_vars,
        **(session.env_vars or {}),
        **_required(session.agent),
        "SESSION_ID": str(session.id),
        "HARNESS_PROGRESS_TOKEN": callback_token(session.harness_token),
        "HARNESS_AUTH_TOKEN": session.harness_token,
    }


def configuration(agent: Agent, harness_id: str) -> Configuration:
    """What every sandbox of an agent is told alike, before there is a session."""
    return Configuration(
        agent_id=agent.id,
        harness_id=harness_id,
        harness_image=agent.harness_image,
        container_port=agent.container_port,
        env={**settings.CONTAINER_ENV, **agent.env_vars, **_required(agent)},
    )


def _required(agent: Agent) -> dict[str, str]:
    return {
        "REPO_URL": agent.repo_url,
        "BRANCH": agent.branch,
        "LITELLM_API_BASE": settings.LITELLM_API_BASE,
        "LITELLM_API_KEY": settings.LITELLM_API_KEY,
        "LITELLM_DEFAULT_MODEL": settings.LITELLM_DEFAULT_MODEL or agent.model,
        "AGENT_ID": str(agent.id),
        "AGENT_PROMPT": agent.prompt,
        "AGENT_REQUIREMENTS": agent.requirements,
        "PLATFORM_URL": settings.LAP_SANDBOX_URL,
    }


def first_message(session: Session) -> list[dict[str, Any]]:
    """The parts of an attempt's first message: text first, then the attached images.

    A restarted conversation is told its thread; a restarted run its thread and its prompt again.
    """
    replay = _replay(session) if session.replays_thread else []
    return replay + (_prompt(session) if session.is_run or not replay else [])


def _replay(session: Session) -> list[dict[str, Any]]:
    told = transcript(session.thread)
    is_script = session.harness in RUNS_SCRIPTS
    return [{"type": "text", "text": as_comment(told) if is_script else told}]


def _prompt(session: Session) -> list[dict[str, Any]]:
    images = [
        {
            "type": "image",
            "source": {
                "type": "base64",
                "media_type": f"image/{attachment['mime_type'].removeprefix('image/')}",
                "data": attachment["base64"],
            },
        }
        for attachment in session.attachments or ()
    ]
    return [{"type": "text", "text": session.initial_prompt}, *images]


def message_id(session: Session) -> str:
    """The id of an attempt's first message: sent again, it is the same message."""
    return f"msg_{session.id.hex}_{session.attempt}"
