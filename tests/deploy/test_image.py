"""The images can be built from this checkout, and what they start exists in them.

There is no Docker here: their files are put together as the Dockerfile says, and run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.management import get_commands
from uvicorn.main import main as uvicorn

from harness import cli
from tests.deploy import dockerfile
from tests.deploy.rendering import ROOT, Pod, all_pods, pod

STAGES = dockerfile.read()
IMAGES = [stage for stage in STAGES.values() if stage.name != "packages"]
OURS = [p for p in all_pods() if p.container.get("args", [""])[0] == "python"]
NO_SECRETS = re.compile(r"(?i)(key|token|password|secret)\s*=")


@pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)
def test_what_is_copied_exists_and_is_admitted(stage: dockerfile.Stage) -> None:
    for source, _ in stage.copied():
        assert (ROOT / source).exists()
        assert source in dockerfile.admitted()


def test_nothing_is_admitted_that_no_image_needs() -> None:
    copied = {source for stage in STAGES.values() for source, _ in stage.copied()}
    assert dockerfile.admitted() == copied


@pytest.mark.parametrize("stage", IMAGES, ids=lambda stage: stage.name)
def test_images_run_as_a_numbered_user_who_is_not_root(stage: dockerfile.Stage) -> None:
    user, _, group = stage.all("USER")[-1].partition(":")
    assert int(user) >= 10_000
    assert group == user


def test_images_start_from_one_that_names_its_version() -> None:
    parents = {stage.parent for stage in STAGES.values()} - STAGES.keys()
    assert parents == {"${PYTHON_IMAGE}"}
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", dockerfile.base_image())


def test_packages_are_installed_by_their_hashes_and_never_built() -> None:
    (run,) = STAGES["packages"].all("RUN")
    assert "--require-hashes --only-binary :all: -r /tmp/requirements.lock" in run


def test_no_secret_is_built_in() -> None:
    words = [text for stage in STAGES.values() for _, text in stage.instructions]
    assert [text for text in words if NO_SECRETS.search(text)] == []


def test_web_starts_with_options_that_uvicorn_knows() -> None:
    python, flag, module, *options = STAGES["server"].command("CMD")
    assert (python, flag, module) == ("python", "-m", "uvicorn")
    parsed = uvicorn.make_context("uvicorn", options).params
    assert (parsed["app"], parsed["workers"]) == ("lap.asgi:application", None)


def test_the_harness_starts_with_options_that_it_knows() -> None:
    python, *flags, script, _, host, _, workdir = STAGES["harness"].command("ENTRYPOINT")
    assert (python, flags) == ("python", ["-I", "-S"])
    ((source, target),) = STAGES["harness"].copied()
    assert (ROOT / source / Path(script).relative_to(target)).is_file()
    parsed = cli._parse(["--host", host, "--workdir", workdir])
    assert parsed.host == "0.0.0.0"
    assert STAGES["harness"].all("WORKDIR") == [workdir]
    assert STAGES["harness"].all("EXPOSE") == [str(cli.DEFAULT_PORT)]


@pytest.mark.parametrize("found", OURS, ids=str)
def test_pods_start_commands_that_exist(found: Pod) -> None:
    command = list(found.container["args"])
    assert command[:2] == ["python", "manage.py"]
    assert command[2] in get_commands()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lap-web", "lap-worker"])
def test_the_images_files_start_with_the_pods_settings_and_write_nothing(
    name: str, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    app.mkdir()
    for source, target in STAGES["server"].copied():
        copy(ROOT / source, app / target)
    before = files(app)
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "ERROR"],
        cwd=app,
        env=environment(pod("overlays/production", name), home=tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert files(app) == before


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def environment(found: Pod, home: Path) -> dict[str, str]:
    """What the pod's process gets, as the API server and the kubelet would put it together."""
    secrets = {
        "DATABASE_URL": "postgresql://lap:secret@database.example/lap",
        "LAP_LISTEN_DATABASE_URL": "postgresql://lap:secret@database.example/lap",
        "LAP_SECRET_KEY": "s" * 60,
        "LAP_MASTER_KEY": "m" * 40,
        "LAP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    }
    return {**given, **found.environment, **secrets}
