"""What an agent's page tells of its configuration, secrets by name only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from agents.models import Agent


def facts_of(agent: Agent) -> list[tuple[str, str]]:
    """Labels and values of what is set, beside schedule, prompt and repository."""
    return [(label, value) for label, value in _all(agent) if value]


def _all(agent: Agent) -> Iterator[tuple[str, str]]:
    yield "Environment", ", ".join(sorted(agent.env_vars.masked()))
    yield "Requirements", ", ".join(agent.requirements.splitlines())
    yield "Tools", names(agent.tools)
    yield "MCP servers", names(agent.mcp_servers)
    yield "Skills", names(agent.attached_skill_ids)
    yield "Network: allowed", names(agent.allow_out)
    yield "Network: denied", names(agent.deny_out)
    yield "Files", paths(agent.sandbox_files)
    yield "Image", agent.harness_image
    yield "Port", str(agent.container_port or "")


def names(items: Iterable[Any]) -> str:
    """The items of a JSON list by name: what else an object holds may be a token."""
    return ", ".join(_name(item) for item in items)


def paths(files: Iterable[dict[str, str]]) -> str:
    """The files of a sandbox by path: their content may be a key."""
    return ", ".join(file["path"] for file in files)


def _name(item: Any) -> str:
    if isinstance(item, dict):
        return str(item.get("name") or "unnamed")
    return str(item)
