"""A caller with the master key."""

import pytest

from tests.api import Api


@pytest.fixture
def api(db: None) -> Api:
    return Api()
