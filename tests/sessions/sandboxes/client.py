"""Talking to sandboxes in tests."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from sessions.sandboxes.base import Configuration, Sandbox, SandboxBackend, SandboxSpec

PATIENCE_SECONDS = 20.0


def make_spec(
    attempt: int = 1,
    harness_id: str = "shell",
    env: Mapping[str, str] | None = None,
) -> SandboxSpec:
    session_id = uuid4()
    return SandboxSpec(
        name=f"s-{session_id}-{attempt}",
        session_id=session_id,
        attempt=attempt,
        configuration=Configuration(agent_id=uuid4(), harness_id=harness_id),
        harness_token=secrets.token_hex(16),
        env=env or {},
    )


async def ignore(phase: str, detail: str) -> None:
    """A report that nobody reads."""


async def bring_up(backend: SandboxBackend, spec: SandboxSpec) -> Sandbox:
    """Create the sandbox and wait until it has an address."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await backend.wait_ready(await backend.create(spec), ignore)


def start(backend: SandboxBackend, spec: SandboxSpec) -> Sandbox:
    """The same for tests that have no event loop of their own."""
    return asyncio.run(bring_up(backend, spec))


def status(sandbox: Sandbox, token: str) -> int:
    """The HTTP status of the readiness probe. Raises URLError when nobody listens."""
    try:
        with _open(sandbox, token, "/session") as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def ask(sandbox: Sandbox, spec: SandboxSpec, script: str, path: str = "message") -> str:
    """Let the shell harness run a script; gives what it says."""
    token = spec.harness_token
    with _open(sandbox, token, "/session", {}) as response:
        harness_session = json.load(response)["id"]
    body = {"parts": [{"type": "text", "text": script}]}
    with _open(sandbox, token, f"/session/{harness_session}/{path}", body) as response:
        answer = response.read()
    parts = json.loads(answer)["parts"] if answer else []
    return "".join(part["text"] for part in parts if part["type"] == "text")


def _open(sandbox: Sandbox, token: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(sandbox.url + path, data, headers)
    return urllib.request.urlopen(request, timeout=PATIENCE_SECONDS)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, and fail with its name when it does not come true."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < patience, f"waited in vain until {what}"
        time.sleep(0.02)
