"""Starting, refusing to start, stopping."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.harness.server import (
    ENTRY,
    PYTHON,
    TOKEN,
    Background,
    Harness,
    prompt,
    running,
    wait_until,
)

SOURCES = sorted(ENTRY.parent.rglob("*.py"))


def start(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [PYTHON, "-I", str(ENTRY), *arguments]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    ("env", "arguments", "sentence"),
    [
        ({}, [], "set HARNESS_AUTH_TOKEN"),
        ({"HARNESS_AUTH_TOKEN": " "}, [], "set HARNESS_AUTH_TOKEN"),
        ({"HARNESS_AUTH_TOKEN": "x", "PORT": "http"}, [], "PORT must be a number"),
        ({"HARNESS_AUTH_TOKEN": "x", "PORT": "65536"}, [], "PORT must be a number"),
        ({"HARNESS_AUTH_TOKEN": "x"}, ["--workdir", "/nowhere"], "is not a directory"),
        ({"HARNESS_AUTH_TOKEN": "x", "PORT": "0"}, ["--port-file", "/nowhere/p"], "cannot write"),
    ],
)
def test_it_refuses_to_start_with_a_sentence(
    env: dict[str, str], arguments: list[str], sentence: str
) -> None:
    result = start(env, *arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_it_says_that_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = start({"HARNESS_AUTH_TOKEN": "x", "PORT": port})
    assert result.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr


def test_the_port_file_goes_with_the_process(tmp_path: Path) -> None:
    with running(tmp_path) as harness:
        assert harness.port > 0
        assert [p.name for p in tmp_path.glob("port*")] == ["port"]
    assert not harness.port_file.exists()


def copied(folder: Path) -> Path:
    target = folder / "copy"
    shutil.copytree(ENTRY.parent, target / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.mark.parametrize("how", [["-m", "harness"], ["harness"], ["harness/__main__.py"]])
def test_it_starts_in_every_way(tmp_path: Path, how: list[str]) -> None:
    port_file = tmp_path / "port"
    env = {"HARNESS_AUTH_TOKEN": TOKEN, "PORT": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [PYTHON, *how, "--port-file", str(port_file)],
        cwd=copied(tmp_path),
        env=env,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: port_file.exists() or process.poll() is not None)
        url = f"http://127.0.0.1:{port_file.read_text().strip()}/session"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(url, headers=headers, trust_env=False).json() == []
    finally:
        process.terminate()
        assert process.wait(10) == 0


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_it_needs_nothing_but_an_old_python(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    assert imported(tree) <= {*sys.stdlib_module_names, "harness"}


@pytest.fixture
def stopping(tmp_path: Path) -> Iterator[Harness]:
    """A harness that the test itself stops."""
    started = Harness(tmp_path)
    yield started
    started.http.close()
    started.process.kill()
    started.process.wait()


@pytest.mark.parametrize(
    ("number", "trap"), [(signal.SIGTERM, "trap '' TERM"), (signal.SIGINT, "true")]
)
def test_a_signal_ends_running_turns_and_answers_their_callers(
    stopping: Harness, number: signal.Signals, trap: str
) -> None:
    session = stopping.session()
    caller = stopping.client()
    script = f"{trap}; sleep 300 & touch started; while :; do sleep 300; done"
    call = Background(lambda: caller.post(f"/session/{session}/message", json=prompt(script)))
    stopping.file("started")
    stopping.process.send_signal(number)
    error = call.result().json()["info"]["error"]
    assert error == {"name": "Aborted", "data": {"message": "the harness was stopped"}}
    assert stopping.process.wait(10) == 0
    wait_until(lambda: not stopping.scripts())
    caller.close()


@pytest.mark.slow
def test_a_signal_right_after_the_start_is_not_lost(tmp_path: Path) -> None:
    started = [Harness(tmp_path / str(number)) for number in range(6)]
    assert [harness.stop() for harness in started] == [0] * 6
    for number in range(6, 10):
        assert Harness(tmp_path / str(number)).stop() == 0


def test_it_stops_at_once_when_nothing_runs(stopping: Harness) -> None:
    stopping.run("true")
    assert stopping.stop() == 0
    assert not stopping.port_file.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_it_adopts_and_reaps_what_scripts_leave_behind(harness: Harness) -> None:
    daemon = "echo $$ > pid; until [ -e go ]; do sleep 0.02; done"
    harness.run(f"setsid sh -c '{daemon}' & until [ -s pid ]; do sleep 0.02; done")
    pid = int((harness.workdir / "pid").read_text())
    assert psutil.Process(pid).ppid() == harness.process.pid
    (harness.workdir / "go").touch()
    wait_until(lambda: not psutil.pid_exists(pid))
    assert [harness.run(f"exit {n}")["info"]["exit"] for n in range(3)] == [0, 1, 2]


def text_of(harness: Harness, script: str) -> str:
    text: str = harness.run(script)["parts"][0]["text"]
    return text


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_script_cannot_read_the_token(harness: Harness) -> None:
    script = "env; tr '\\0' '\\n' < /proc/$PPID/environ; tr '\\0' ' ' < /proc/$PPID/cmdline"
    if os.geteuid() == 0:  # root may read everything: look at its own environment only
        script = "env"
    output = text_of(harness, script)
    assert TOKEN not in output
    assert "hello" in output
