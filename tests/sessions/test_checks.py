"""Bad configuration of sandboxes is named, with what to write instead."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import certifi
import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings

from sessions.backends import options_from_settings
from sessions.checks import check_backend, check_kubernetes
from sessions.quantities import amount

DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def _kubernetes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of a pod with which all is well."""
    settings.LAP_SANDBOX_BACKEND = "kubernetes"
    settings.K8S_HARNESS_IMAGE = "registry.example.com/lap/harness:1.0"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")


def complaints() -> list[str]:
    found = check_kubernetes()
    assert all(one.hint and one.id for one in found)
    return [f"{one.id} {one.msg} {one.hint}" for one in found]


@pytest.mark.usefixtures("_kubernetes")
def test_nothing_is_wrong_with_the_defaults_in_a_pod() -> None:
    assert complaints() == []
    assert check_backend() == []


def test_the_local_backend_needs_nothing_of_kubernetes(settings: Settings) -> None:
    settings.LAP_SANDBOX_BACKEND = "local"
    settings.K8S_NAMESPACE = "No Name"
    assert complaints() == []


def test_an_unknown_backend_stops_every_command(settings: Settings) -> None:
    settings.LAP_SANDBOX_BACKEND = "docker"
    [found] = check_backend()
    assert found.id == "sessions.E001"
    with pytest.raises(SystemCheckError, match=r"'docker', which there is not.*\n.*Set it to"):
        call_command("check")


@pytest.mark.usefixtures("_kubernetes")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"K8S_SKIP_TLS_VERIFY": True}, ["sessions.E002"]),
        ({"K8S_SKIP_TLS_VERIFY": True, "K8S_API_SERVER": "https://10.0.0.1"}, []),
        ({"K8S_API_SERVER": "10.0.0.1:6443"}, ["sessions.E011 K8S_API_SERVER is '10.0.0.1:6443'"]),
        ({"K8S_API_SERVER": "http://10.0.0.1"}, ["sessions.E011"]),
        ({"K8S_API_SERVER": "https://10.0.0.1:6443"}, []),
        ({"K8S_KUBECONFIG": "/nowhere/config"}, ["sessions.E004 K8S_KUBECONFIG is /nowhere"]),
        ({"K8S_TOKEN_FILE": "/nowhere"}, ["sessions.E004 K8S_TOKEN_FILE"]),
        ({"K8S_CA_FILE": "/nowhere"}, ["sessions.E004 K8S_CA_FILE"]),
        ({"K8S_CA_FILE": "/"}, ["sessions.E004 K8S_CA_FILE is /, which cannot be read: Is a dir"]),
        ({"K8S_CA_FILE": __file__}, [f"sessions.E012 K8S_CA_FILE is {__file__}, which holds no"]),
        ({"K8S_CA_FILE": certifi.where()}, []),
        ({"K8S_NAMESPACE": ""}, ["sessions.E005 K8S_NAMESPACE is ''"]),
        ({"K8S_NAMESPACE": "Sandboxes"}, ["sessions.E005"]),
        ({"K8S_NAMESPACE": "a" * 64}, ["sessions.E005"]),
        ({"K8S_NAMESPACE": "a" * 63}, []),
        ({"K8S_INSTALL": "my lap"}, ["sessions.E005 K8S_INSTALL is 'my lap'"]),
        ({"K8S_HARNESS_IMAGE": ""}, ["sessions.E006 K8S_HARNESS_IMAGE is not set"]),
        ({"K8S_HARNESS_IMAGE": "Harness:1"}, ["sessions.E006"]),
        ({"K8S_HARNESS_IMAGE": "harness: 1"}, ["sessions.E006"]),
        ({"K8S_HARNESS_IMAGE": "https://registry/harness"}, ["sessions.E006"]),
        ({"K8S_HARNESS_IMAGE": "harness"}, []),
        ({"K8S_HARNESS_IMAGE": f"localhost:5000/a-b/c__d.e:1_x@{DIGEST}"}, []),
        ({"K8S_CPU_REQUEST": "100 m"}, ["sessions.E007 K8S_CPU_REQUEST is '100 m'"]),
        ({"K8S_CPU_LIMIT": "two"}, ["sessions.E007"]),
        ({"K8S_MEMORY_REQUEST": "512MB"}, ["sessions.E007"]),
        ({"K8S_MEMORY_LIMIT": "0"}, ["sessions.E007"]),
        ({"K8S_MEMORY_LIMIT": ""}, ["sessions.E007"]),
        ({"K8S_CPU_REQUEST": "2001m"}, ["sessions.E008 K8S_CPU_REQUEST (2001m) is above"]),
        ({"K8S_CPU_REQUEST": "2000m"}, []),
        ({"K8S_MEMORY_REQUEST": "5G"}, ["sessions.E008 K8S_MEMORY_REQUEST (5G)"]),
        ({"K8S_MEMORY_REQUEST": "4.2G"}, []),
        ({"K8S_SANDBOX_TTL_SECONDS": 719.0}, ["sessions.E009"]),
        ({"K8S_SANDBOX_TTL_SECONDS": 720.0}, []),
        ({"LAP_RECONCILE_SECONDS": 3600.0}, ["sessions.E009", "sessions.E010"]),
        ({"K8S_WARM_LEAD_SECONDS": 59.0}, ["sessions.E010"]),
        ({"K8S_WARM_LEAD_SECONDS": 59.0, "K8S_WARM_POOL_SIZE": 0}, []),
    ],
)
def test_settings_are_judged(
    settings: Settings, values: dict[str, Any], expected: list[str]
) -> None:
    settings.LAP_RECONCILE_SECONDS = 60.0
    for name, value in values.items():
        setattr(settings, name, value)
    found = complaints()
    assert len(found) == len(expected), found
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True)), found


@pytest.mark.usefixtures("_kubernetes")
def test_outside_a_pod_something_leads_to_the_api_server(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{tmp_path}/config")
    [complaint] = complaints()
    assert complaint.startswith("sessions.E003 There is no way to the API server")
    (tmp_path / "config").touch()
    assert complaints() == []
    monkeypatch.delenv("KUBECONFIG")
    assert len(complaints()) == 1
    settings.K8S_API_SERVER = "https://10.0.0.1"
    assert complaints() == []
    settings.K8S_API_SERVER, settings.K8S_KUBECONFIG = "", str(tmp_path / "config")
    assert complaints() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100m", "0.1"), ("2", "2"), ("0.5", "0.5"), ("512Mi", "536870912"), ("4G", "4000000000"),
        ("1k", "1000"), ("1.5Ki", "1536"), ("", None), ("-1", None), ("1mi", None), ("Mi", None),
        ("1e3", None),
    ],
)  # fmt: skip
def test_quantities(text: str, expected: str | None) -> None:
    assert amount(text) == (None if expected is None else Decimal(expected))


@pytest.mark.usefixtures("_kubernetes")
def test_the_settings_reach_the_backend(settings: Settings) -> None:
    settings.K8S_CPU_LIMIT = "3"
    settings.K8S_IMAGE_PULL_SECRETS = ["one", "two"]
    settings.K8S_CA_FILE = "/ca"
    options = options_from_settings()
    assert (options.cpu_limit, options.image_pull_secrets) == ("3", ("one", "two"))
    assert options.connection.ca_file == "/ca"
    assert options.harness_image == settings.K8S_HARNESS_IMAGE
    assert settings.SECRET_KEY not in repr(options)
