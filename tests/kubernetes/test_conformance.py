"""The Kubernetes backend does what every backend must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sessions.sandboxes.kubernetes.backend import KubernetesBackend
from tests.kubernetes.backends import options_for
from tests.kubernetes.standin import StandIn
from tests.sessions.sandboxes.conformance import BackendConformance


@pytest.mark.parametrize("warm_pool_size", [0, 1], ids=["cold", "with-pools"])
class TestKubernetesBackend(BackendConformance):
    @pytest.fixture
    def make(
        self, cluster: StandIn, tmp_path: Path, warm_pool_size: int
    ) -> Callable[[], KubernetesBackend]:
        options = options_for(cluster, tmp_path, warm_pool_size=warm_pool_size)
        return lambda: KubernetesBackend(options)
