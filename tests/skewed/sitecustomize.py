"""On the path of a worker process: its machine clock is years ahead."""

import sys
from datetime import UTC, datetime

import time_machine

time_machine.travel(datetime(2031, 5, 5, tzinfo=UTC), tick=True).start()
sys.stderr.write(f"this machine believes it is {datetime.now(UTC):%Y}\n")
