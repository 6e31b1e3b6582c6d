"""The local backend does what every backend must."""

from __future__ import annotations

import shutil

import pytest

from tests.sessions.sandboxes.conformance import BackendConformance, Connect
from tests.sessions.sandboxes.places import Place

MODES = ["root-bwrap" if shutil.which("bwrap") else "root", "user"]


@pytest.mark.slow
@pytest.mark.parametrize("place", MODES, indirect=True)
class TestLocalBackend(BackendConformance):
    @pytest.fixture
    def make(self, place: Place) -> Connect:
        return place.connect
