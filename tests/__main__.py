"""Runs the whole suite in two halves side by side; with arguments, pytest.

    python -m tests [pytest's arguments]

One half is what starts processes, except for the browser tests: they go with the quick ones, so
that both take about as long. Each half has a PostgreSQL server and a data directory of its own
(tests.plugin), so they share nothing but the machine. On a server of your own (DATABASE_URL) they
would share the test database, so there they run as one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

PYTEST = [sys.executable, "-m", "pytest"]
QUICK, SLOW = "not slow or browser", "slow and not browser"


def main() -> int:
    if sys.argv[1:] or os.environ.get("DATABASE_URL"):
        return subprocess.call([*PYTEST, *sys.argv[1:]])
    with tempfile.TemporaryFile() as log:
        quick = subprocess.Popen([*PYTEST, "-m", QUICK], stdout=log, stderr=log)
        try:
            slow = subprocess.call([*PYTEST, "-m", SLOW])
        except BaseException:
            quick.terminate()
            raise
        finally:
            code = quick.wait()
            log.seek(0)
            sys.stdout.write(log.read().decode())
    return slow or code


if __name__ == "__main__":
    sys.exit(main())
