"""compose.yaml names what exists, and keeps the parts where they can reach each other."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from tests.deploy import dockerfile
from tests.deploy.rendering import DEPLOY, ROOT
from tests.deploy.variables import read_by_settings

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("host", "migrate", "web", "worker")
SECRETS = ("DATABASE_URL", "LAP_SECRET_KEY", "LAP_MASTER_KEY", "LAP_ENCRYPTION_KEYS")


@pytest.mark.parametrize("name", ["migrate", "web", "worker"])
def test_every_variable_is_read_by_the_settings(name: str) -> None:
    assert SERVICES[name]["environment"].keys() <= read_by_settings()


@pytest.mark.parametrize("name", ["migrate", "web", "worker"])
def test_secrets_have_no_defaults(name: str) -> None:
    for secret in SECRETS:
        assert SERVICES[name]["environment"][secret].startswith(f"${{{secret}:?")


def test_the_guides_address_of_the_database_is_that_of_its_service() -> None:
    written = re.search(r"(?m)^DATABASE_URL=(\S+)", (ROOT / "docs" / "deploy.md").read_text())
    assert written
    assert urlsplit(written[1]).hostname in SERVICES["postgres"]["networks"]["default"]["aliases"]


@pytest.mark.parametrize("name", ["web", "worker"])
def test_any_setting_can_be_written_beside_the_secrets(name: str) -> None:
    assert SERVICES[name]["env_file"] == ".env"


def test_sandboxes_reach_web_also_behind_a_proxy() -> None:
    for name in ("web", "worker"):
        given = SERVICES[name]["environment"]
        address = urlsplit(given["LAP_SANDBOX_URL"])
        assert address.hostname in given["LAP_ALLOWED_HOSTS"].split(",")
        assert f":{address.port}" in SERVICES["host"]["ports"][0]


@pytest.mark.parametrize("name", OURS)
def test_our_images_are_of_this_version_and_built_here(name: str) -> None:
    service = SERVICES[name]
    image, _, tag = service["image"].partition(":")
    assert tag == settings.LAP_VERSION
    assert image == f"lap-{service['build']['target']}"
    assert service["build"]["target"] in dockerfile.read()
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("name", OURS)
def test_our_containers_hold_no_more_than_they_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert ("cap_add" in service) == (service.get("user") == "0:0") == (name == "worker")


@pytest.mark.parametrize("name", ["migrate", "worker"])
def test_commands_exist(name: str) -> None:
    python, script, command, *_ = SERVICES[name]["command"]
    assert (python, script) == ("python", "manage.py")
    assert command in get_commands()


def test_web_reaches_sandboxes_and_nobody_outside_does() -> None:
    """Sandboxes listen on their worker's loopback, and web compares the host's name."""
    assert SERVICES["web"]["network_mode"] == SERVICES["worker"]["network_mode"] == "service:host"
    assert SERVICES["host"]["hostname"]
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published == ["${LAP_LISTEN:-127.0.0.1:8000}:8000"]


def test_every_service_and_volume_that_is_named_exists() -> None:
    for service in SERVICES.values():
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()
        volumes = [volume.split(":")[0] for volume in service.get("volumes", ())]
        assert set(volumes) <= COMPOSE["volumes"].keys()


def test_nothing_starts_before_the_migrations_have_ended() -> None:
    for name in ("web", "worker"):
        waits = SERVICES[name]["depends_on"]["migrate"]
        assert waits == {"condition": "service_completed_successfully"}


def test_the_worker_has_time_to_drain() -> None:
    drain = SERVICES["worker"]["environment"]["LAP_DRAIN_SECONDS"]
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) >= drain + 20
