"""How the API server is reached: tokens, kubeconfigs, other servers than theirs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from sessions.sandboxes.base import SandboxError
from sessions.sandboxes.kubernetes.options import Connection, Options
from tests.kubernetes.backends import opened
from tests.kubernetes.odd_server import odd_server


def test_a_token_file_is_shown_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubelet writes it anew before it expires."""
    monkeypatch.setattr("sessions.sandboxes.kubernetes.connection.TOKEN_PERIOD_SECONDS", 0)
    token = tmp_path / "token"
    token.write_text("first\n")

    async def look() -> None:
        async with odd_server() as server:
            connection = replace(server.options.connection, token_file=str(token))
            async with opened(replace(server.options, connection=connection)) as backend:
                await backend.list()
                assert server.authorization == "Bearer first"
                token.write_text("second")
                await backend.list()
                assert server.authorization == "Bearer second"

    asyncio.run(look())


def test_another_server_than_the_kubeconfigs(tmp_path: Path) -> None:
    """With the kubeconfig's credentials."""
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    user = {"name": "u", "user": {"token": "of the kubeconfig"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    told = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "x"}
    kubeconfig.write_text(json.dumps(told))

    async def look() -> None:
        async with odd_server() as server:
            connection = replace(server.options.connection, kubeconfig=str(kubeconfig))
            async with opened(replace(server.options, connection=connection)) as backend:
                await backend.list()
            assert server.authorization == "Bearer of the kubeconfig"

    asyncio.run(look())


@pytest.mark.parametrize("content", [None, "", "a: [", "[]", "clusters: []"])
def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    options = Options("default", "i", connection=Connection(kubeconfig=str(path)))

    async def connect() -> None:
        async with opened(options):
            pytest.fail("it connected")

    with pytest.raises(SandboxError, match="not configured"):
        asyncio.run(connect())
