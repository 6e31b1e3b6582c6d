"""A managed PostgreSQL is named by one URL, with all that it takes to trust the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.deploy.rendering import ROOT

SHOW = (
    "import json; from lap import settings;"
    "print(json.dumps(settings.DATABASES['default']['OPTIONS'], default=str))"
)
URL = "postgresql://lap:x@db.example/lap?sslmode=verify-full&sslrootcert=/etc/ca.crt"


@pytest.mark.parametrize("pool", ["0", "10"])
def test_options_of_the_url_reach_the_connection(pool: str) -> None:
    given = {"DATABASE_URL": URL, "LAP_DATABASE_POOL_LIMIT": pool}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=ROOT,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    options = json.loads(done.stdout)
    assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", "/etc/ca.crt")
    assert options["tcp_user_timeout"] > 0
    assert ("pool" in options) == (pool != "0")
