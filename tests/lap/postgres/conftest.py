"""Servers: never started, and started once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lap.postgres import (
    Server,
)
from tests.lap.postgres.servers import FAST


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def fresh(data_dir: Path) -> Iterator[Server]:
    """A server that was never started."""
    server = Server(data_dir, settings=FAST)
    yield server
    server.remove()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    server = Server(tmp_path_factory.mktemp("template"), settings=FAST)
    with server:
        pass
    yield server.data_dir
    server.remove()


@pytest.fixture
def server(fresh: Server, template: Path) -> Server:
    """A server that was started once and stopped."""
    shutil.copytree(template, fresh.data_dir, ignore=shutil.ignore_patterns("*.l*"))
    return fresh
