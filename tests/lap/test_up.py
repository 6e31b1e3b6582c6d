"""``manage.py up``, as a user starts it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from pytest_django import Settings

from lap.management.commands.up import _stop_sandboxes
from sessions.models import Session
from tests.conftest import MakeAgent
from tests.live import free_port
from tests.processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]


class Up:
    """One ``up`` in a data folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self._log = folder / "up.log"
        self.data = folder / "data"
        self.sandboxes = folder / "sandboxes"
        self.port = port
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}")
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def environment(self) -> dict[str, str]:
        ours = ("LAP_", "DATABASE_URL", "DJANGO_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        return {
            **kept,
            "LAP_DATA_DIR": str(self.data),
            "LAP_SANDBOX_DIR": str(self.sandboxes),
            "LAP_PORT": str(self.port),
        }

    @property
    def output(self) -> str:
        return self._log.read_text()

    def get(self, path: str, key: str = "") -> httpx.Response | None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            return self._http.get(path, headers=headers)
        except httpx.TransportError:
            return None

    def wait_until_it_serves(self) -> None:
        wait_for(lambda: self.get("/admin/login/"), seconds=90)

    def family(self) -> list[psutil.Process]:
        """Every process that knows this data folder, by its arguments or environment."""
        return [p for p in psutil.process_iter() if p.pid != os.getpid() and self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            known = " ".join([*process.cmdline(), *process.environ().values()])
        except psutil.Error:
            return False
        return str(self.data) in known

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=90)
        self._http.close()


@contextmanager
def up_in_a_folder() -> Iterator[Up]:
    with tempfile.TemporaryDirectory(prefix="lap-up-") as folder:
        Path(folder).chmod(0o711)  # sandboxes with user ids of their own pass through it
        up = Up(Path(folder), free_port())
        yield up
        up.end()
        wait_for(lambda: not up.family())


@pytest.fixture
def fresh() -> Iterator[Up]:
    with up_in_a_folder() as up:
        yield up


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """One for all tests that leave it running."""
    with up_in_a_folder() as up:
        yield up


def test_a_fresh_start_serves_one_signal_ends_it_and_the_next_keeps_the_data(fresh: Up) -> None:
    fresh.wait_until_it_serves()
    key = (fresh.data / "master.key").read_text()
    listed = fresh.get("/api/v1/managed_agents/agents", key.strip())
    assert listed is not None
    agents = {agent["name"]: agent for agent in listed.json()["data"]}
    assert set(agents) == {"heartbeat", "disk report", "weekday report"}
    assert agents["weekday report"]["cron_timezone"] == "America/Los_Angeles"
    assert re.search(r"Log in as admin with the password \S{16} ", fresh.output)
    stylesheet = fresh.get("/static/lap/admin.css")
    assert stylesheet is not None
    assert stylesheet.status_code == 200
    wait_for(lambda: "worker" in fresh.output and "started on" in fresh.output)

    fresh.process.send_signal(signal.SIGINT)
    assert fresh.process.wait(timeout=60) == 0
    assert fresh.output.rstrip().endswith("Everything has ended.")

    fresh.process = fresh.start()
    fresh.wait_until_it_serves()
    assert (fresh.data / "master.key").read_text() == key
    assert fresh.output.count("password") == 1


def test_a_worker_that_dies_is_started_again(up: Up) -> None:
    wait_for(lambda: "started on" in up.output, seconds=90)
    starts = up.output.count("started on")
    worker = wait_for(lambda: [p for p in up.family() if "run_cron_worker" in p.cmdline()])[0]
    worker.kill()
    wait_for(lambda: "worker ended with -9; starting it again" in up.output)
    wait_for(lambda: up.output.count("started on") > starts, seconds=60)


def test_a_database_that_dies_is_started_again(up: Up) -> None:
    up.wait_until_it_serves()
    postmaster = up.data / "postgres" / "cluster" / "postmaster.pid"
    os.kill(int(postmaster.read_text().split()[0]), signal.SIGKILL)
    wait_for(lambda: "The database has ended; starting it again." in up.output)
    key = (up.data / "master.key").read_text().strip()

    def answers() -> bool:
        response = up.get("/api/v1/managed_agents/agents", key)
        return response is not None and response.status_code == 200

    wait_for(answers, seconds=60)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LAP_PORT", "80000", "LAP_PORT must be at most 65535, not 80000"),
        ("DATABASE_URL", "sqlite:///x", "DATABASE_URL must be like postgresql://"),
        ("DATABASE_URL", "postgresql://u@127.0.0.1:9/x", "The database cannot be used: "),
    ],
)
def test_bad_settings_are_one_sentence(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env={
            **os.environ,
            "LAP_DATA_DIR": str(tmp_path),
            "LAP_PORT": str(free_port()),
            name: value,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_two_in_one_folder_are_refused(up: Up) -> None:
    up.wait_until_it_serves()
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env={**up.environment, "LAP_PORT": str(free_port())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "LAP already runs" in done.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        started = Up(tmp_path, port)
        assert started.process.wait(timeout=60) == 1
    assert f"Port {port} is in use. Choose another one: LAP_PORT={port + 1}" in started.output
    assert started.family() == []


@pytest.mark.django_db
def test_sandboxes_elsewhere_outlive_up(make_agent: MakeAgent, settings: Settings) -> None:
    """In a cluster they may be other workers' by now; on this machine nobody is left."""
    settings.LAP_SANDBOX_BACKEND = "kubernetes"
    session = Session.objects.create(agent=make_agent(), status="ready")
    asyncio.run(_stop_sandboxes())
    session.refresh_from_db()
    assert session.status == "ready"
