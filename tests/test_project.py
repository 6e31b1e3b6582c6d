"""What holds for the project as a whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_imports_run_one_way() -> None:
    done = run(tool("lint-imports"))
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_types_are_strict() -> None:
    done = run(tool("mypy"))
    assert done.returncode == 0, done.stdout


def test_style() -> None:
    assert run(tool("ruff"), "check", ".").returncode == 0
    assert run(tool("ruff"), "format", "--check", ".").returncode == 0


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_files_hold_hashes_and_no_addresses(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = re.findall(r"^\S+==\S+.*\\$", text, re.MULTILINE)
    assert len(pins) > 10
    assert "://" not in text
    assert len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) == len(pins)


def test_the_harness_runs_without_anything_installed() -> None:
    done = run(sys.executable, "-I", "-S", "harness/__main__.py", "--help")
    assert done.returncode == 0, done.stderr
