"""The places in which sandbox tests run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.sessions.sandboxes import places
from tests.sessions.sandboxes.places import Place


@pytest.fixture(params=["root", "root-bwrap", "user", "user-bwrap"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An installation, in every mode that this machine allows; all is ended afterwards."""
    mode: str = request.param
    if mode.startswith("root") and not places.IS_ROOT:
        pytest.skip("needs root")
    if mode.endswith("-bwrap") and not shutil.which("bwrap"):
        pytest.skip("needs bubblewrap")
    made = places.make(mode)
    yield made
    places.clean(made)
