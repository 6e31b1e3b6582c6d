from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.server import Harness, running


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """A harness of the test's own; it must leave no process and no file behind."""
    with running(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """One for all tests of a module that do not mind each other's sessions and files."""
    with running(tmp_path_factory.mktemp("shared")) as started:
        yield started
