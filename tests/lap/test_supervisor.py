"""Keeping programs running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import wait_for

ROOT = Path(__file__).parents[2]

KEEP = """
import asyncio, sys
from lap.supervisor import Program, keep_running
asyncio.run(keep_running([Program("it", [sys.executable, "-c", sys.argv[1]], {"PATH": ""})]))
"""


@pytest.mark.slow
def test_a_line_too_long_to_show_does_not_block_its_program(tmp_path: Path) -> None:
    """Whoever can make a program log a long line must not be able to stop it."""
    program = "print('x' * 1_000_000); print('went on', flush=True); import signal; signal.pause()"
    output = tmp_path / "output"
    with output.open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-c", KEEP, program],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    wait_for(lambda: "it     went on" in output.read_text())
    keeper.terminate()
    assert keeper.wait(timeout=30) == 0
    assert "(a line too long to show)" in output.read_text()
