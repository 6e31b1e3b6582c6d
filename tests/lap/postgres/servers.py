"""What tests ask of a server, and Python processes that use one."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from lap.postgres import (
    Server,
    address,
    process,
    waiting,
)

ROOT = Path(__file__).resolve().parents[3]
FAST = {"fsync": "off", "shared_buffers": "16MB"}
NAMELESS_UID = 12_345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
slow = pytest.mark.slow


def query(server: Server, statement: str) -> Any:
    """Run a statement and return the first value, if it has one."""
    with psycopg.connect(server.url(), autocommit=True) as db:
        cursor = db.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def postmaster(server: Server) -> psutil.Process:
    found = process.postmaster((server.data_dir / "cluster").resolve())
    assert found is not None
    return found


def members(server: Server) -> list[psutil.Process]:
    cluster = (server.data_dir / "cluster").resolve()
    return list(process.members(cluster, address.name(server.data_dir)))


def eventually(condition: Any) -> None:
    assert waiting.until(lambda: condition() or None, 30)


def script(
    code: str,
    *arguments: object,
    python: str = sys.executable,
    command: Sequence[str] = (),
    **options: Any,
) -> Any:
    """Start a Python process that runs `code` with the package at hand, perhaps by `command`."""
    path = [str(ROOT), str(Path(psycopg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [*command, python, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


START = """
import sys
from pathlib import Path
from lap.postgres import Server
server = Server(Path(sys.argv[1]), settings={"fsync": "off", "shared_buffers": "16MB"})
print("here", flush=True)
sys.stdin.readline()
server.start()
print("started", flush=True)
sys.stdin.read()
"""
