"""The cluster that the tests of this folder run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.kubernetes.real import RealCluster
from tests.kubernetes.standin import StandIn
from tests.kubernetes.wire import client


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A stand-in of the test's own."""
    with StandIn() as started:
        yield started


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[StandIn | RealCluster]:
    """The same, or the cluster that ``LAP_TEST_KUBECONFIG`` leads to, cleared after the test."""
    if path := os.environ.get("LAP_TEST_KUBECONFIG"):
        real = RealCluster(Path(path))
        yield real
        real.clear()
    else:
        yield request.getfixturevalue("standin")


@pytest.fixture
def http(standin: StandIn) -> Iterator[httpx.Client]:
    """The administrator's connection to the stand-in."""
    with client(standin) as opened:
        yield opened
