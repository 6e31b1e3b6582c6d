"""docs/deploy.md names files, settings and commands that exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from django.core.management import get_commands
from django.db import connection

from agents.models import Agent, CatchupPolicy
from tests.conftest import MakeAgent
from tests.deploy.rendering import DEPLOY, KUBECTL, RENDERED, ROOT
from tests.deploy.variables import read_by_settings

GUIDE = (ROOT / "docs" / "deploy.md").read_text()
OFFLINE = {"PATH": os.defpath, "KUBECONFIG": os.devnull}
BLOCKS = re.findall(r"(?ms)^ *```\n(.*?)^ *```", GUIDE)


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]*\w", GUIDE)) - {"deploy/.env"}
    assert [name for name in named if not (ROOT / name).exists()] == []
    below = set(re.findall(r"`((?:base|overlays|release)/[\w./-]*\w)`", GUIDE))
    folders = [DEPLOY / "kubernetes", DEPLOY / "kubernetes" / "overlays" / "production"]
    assert [n for n in below if not any((folder / n).exists() for folder in folders)] == []


def test_everything_that_is_applied_is_rendered_by_the_tests() -> None:
    applied = set(re.findall(r"apply -k deploy/kubernetes/([\w/-]+)", GUIDE))
    assert applied <= set(RENDERED)


def test_every_setting_that_is_named_is_read() -> None:
    named = set(re.findall(r"\b(?:LAP|K8S|LITELLM)_[A-Z0-9_]*[A-Z0-9]\b", GUIDE))
    families = {name for name in named if f"{name}_*" in GUIDE}
    assert named - families <= read_by_settings()


def test_every_command_that_is_named_exists() -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", GUIDE))
    assert named <= get_commands().keys()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0][:40])
def test_a_shell_can_read_the_commands(block: str) -> None:
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_probe_of_the_policies_is_let_in_and_says_what_it_found() -> None:
    written = re.search(r"(?ms)<<'END'\n(.*?)^END$", GUIDE)
    assert written
    probe = yaml.safe_load(written[1])
    kubernetes_validate.validate(probe, kubernetes_validate.latest_version(), strict=True)
    script = probe["spec"]["containers"][0]["command"][-1].replace("sleep 5", "")
    nowhere = {"PATH": os.defpath, "KUBERNETES_SERVICE_HOST": "127.0.0.1"}
    for port, said in (("1", "enforced"), ("not-a-port", "the policies are NOT enforced")):
        given = {**nowhere, "KUBERNETES_SERVICE_PORT": port}
        done = subprocess.run(["sh", "-c", script], env=given, capture_output=True, text=True)
        assert done.stdout.strip() == said, done.stderr


def test_a_saved_secret_is_the_file_that_it_was_made_of(tmp_path: Path) -> None:
    original = "DATABASE_URL=postgresql://lap:a=b@h/lap?x=%20\nLAP_ENCRYPTION_KEYS=k-_1=,k2=\n"
    (tmp_path / "lap.env").write_text(original)
    template = re.search(r"--output go-template='(.*)' > lap.env", GUIDE)
    assert template
    made = ["create", "secret", "generic", "lap", "--from-env-file=lap.env", "--dry-run=client"]
    command = [str(KUBECTL), *made, "--output", f"go-template={template[1]}"]
    saved = subprocess.run(command, cwd=tmp_path, env=OFFLINE, capture_output=True, text=True)
    assert saved.stdout == original, saved.stderr


@pytest.mark.django_db
def test_the_statement_after_a_restore_stops_the_catching_up(make_agent: MakeAgent) -> None:
    agent = make_agent(name="invoices")
    assert agent.cron_catchup_policy == CatchupPolicy.LATEST
    statement = re.search(r'"(UPDATE [^"]+)"', GUIDE)
    assert statement
    with connection.cursor() as cursor:
        cursor.execute(statement[1])
    assert Agent.objects.get(pk=agent.pk).cron_catchup_policy == CatchupPolicy.SKIP
