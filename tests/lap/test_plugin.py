"""The pytest plugin that brings a database, in test runs of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lap.postgres import waiting

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

TESTS = {
    "works": """
        import os, psycopg
        def test_it():
            with psycopg.connect(os.environ["DATABASE_URL"]) as db:
                assert db.execute("show fsync").fetchone() == ("off",)
            assert os.environ["LAP_DATA_DIR"].startswith(os.environ["TMPDIR"])
    """,
    "collection fails": "raise RuntimeError",
    "hangs": """
        import pathlib, sys
        def test_it():
            pathlib.Path("here").touch()
            sys.stdin.read()
    """,
    "url": """
        import os
        def test_it():
            assert os.environ["DATABASE_URL"] == "postgresql://given"
    """,
}


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    directory = tmp_path / "temporary"
    directory.mkdir()
    return directory


def run(temporary: Path, test: str, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Start pytest on a file that holds one of the tests above."""
    lines = TESTS[test].split("\n")
    (temporary.parent / "test_it.py").write_text("\n".join(line[8:] or line for line in lines))
    plugins = ["-p", "tests.plugin", "-p", "no:cacheprovider"]
    inherited = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "LAP_DATA_DIR")}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-c", os.devnull, *plugins, *options, "-s", "test_it.py"],
        cwd=temporary.parent,
        env={
            **inherited,
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # installed plugins take seconds to import
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes(temporary: Path) -> list[psutil.Process]:
    everything = psutil.process_iter(["cmdline"])
    return [
        found for found in everything if str(temporary) in " ".join(found.info["cmdline"] or ())
    ]


def assert_nothing_is_left(temporary: Path) -> None:
    assert list(temporary.iterdir()) == []
    assert processes(temporary) == []


@pytest.mark.parametrize(("test", "code"), [("works", 0), ("collection fails", 2)])
def test_a_run_has_a_database_and_leaves_nothing(temporary: Path, test: str, code: int) -> None:
    child = run(temporary, test)
    output = child.communicate()[0]
    assert child.returncode == code, output
    assert_nothing_is_left(temporary)


@pytest.mark.parametrize("option", ["--help", "--version", "--collect-only"])
def test_asking_only_starts_no_server(temporary: Path, option: str) -> None:
    child = run(temporary, "works", option)
    assert child.communicate()
    assert child.returncode == 0
    assert_nothing_is_left(temporary)


def test_a_given_url_is_used(temporary: Path) -> None:
    child = run(temporary, "url", DATABASE_URL="postgresql://given")
    output = child.communicate()[0]
    assert child.returncode == 0, output
    assert_nothing_is_left(temporary)


def test_ctrl_c_leaves_nothing(temporary: Path) -> None:
    child = run(temporary, "hangs")
    assert waiting.until(lambda: (temporary.parent / "here").exists() or None, 60)
    child.send_signal(signal.SIGINT)
    child.communicate()
    assert_nothing_is_left(temporary)


def test_the_next_run_cleans_up_after_a_killed_one(temporary: Path) -> None:
    child = run(temporary, "hangs")
    assert waiting.until(lambda: (temporary.parent / "here").exists() or None, 60)
    child.kill()
    child.communicate()
    assert processes(temporary)
    run(temporary, "works").communicate()
    assert_nothing_is_left(temporary)
