"""The pods are restricted, find what they need, and end in order."""

from __future__ import annotations

import re

import pytest
from django.conf import settings

from lap.core.probes import HEALTHZ, METRICS, READYZ
from tests.deploy import dockerfile
from tests.deploy.rendering import OVERLAYS, ROOT, Pod, all_pods, of_kind, pod, pods
from tests.deploy.variables import read_by_settings

PODS = all_pods()
SERVERS = [found for found in PODS if found.container["image"].startswith("lap-server")]
ELSEWHERE = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "FORWARDED_ALLOW_IPS"}
"""Read by PostgreSQL's image, and by uvicorn."""


@pytest.mark.parametrize("found", PODS, ids=str)
def test_pods_are_restricted(found: Pod) -> None:
    whole, one = found.spec["securityContext"], found.container["securityContext"]
    assert whole["runAsNonRoot"]
    assert whole["runAsUser"] > 0
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & found.spec.keys()
    assert not [volume for volume in found.spec["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("found", PODS, ids=str)
def test_pods_ask_for_resources_and_bound_their_memory(found: Pod) -> None:
    resources = found.container["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("found", PODS, ids=str)
def test_no_service_makes_variables_that_look_like_settings(found: Pod) -> None:
    assert found.spec["enableServiceLinks"] is False


@pytest.mark.parametrize("found", PODS, ids=str)
def test_only_workers_have_a_token(found: Pod) -> None:
    assert found.spec["automountServiceAccountToken"] is (found.name == "lap-worker")
    if found.name == "lap-worker":
        assert found.spec["serviceAccountName"] == "lap-worker"


@pytest.mark.parametrize("found", PODS, ids=str)
def test_images_name_a_version(found: Pod) -> None:
    name, _, tag = found.container["image"].partition(":")
    assert name
    assert re.match(r"\d+\.\d+", tag)


@pytest.mark.parametrize("found", SERVERS, ids=str)
def test_every_image_is_of_this_version(found: Pod) -> None:
    assert found.container["image"] == f"lap-server:{settings.LAP_VERSION}"
    harness = found.environment.get("K8S_HARNESS_IMAGE")
    assert found.name == "lap-migrate" or harness == f"lap-harness:{settings.LAP_VERSION}"


@pytest.mark.parametrize("found", SERVERS, ids=str)
def test_pods_run_as_the_user_of_the_image(found: Pod) -> None:
    user = found.spec["securityContext"]["runAsUser"]
    assert dockerfile.read()["server"].all("USER")[-1].startswith(f"{user}:")


@pytest.mark.parametrize("found", PODS, ids=str)
def test_every_variable_is_read_by_somebody(found: Pod) -> None:
    assert found.environment.keys() <= read_by_settings() | ELSEWHERE


@pytest.mark.parametrize("found", PODS, ids=str)
def test_every_key_of_the_secret_is_documented(found: Pod) -> None:
    guide = (ROOT / "docs" / "deploy.md").read_text()
    assert {key for key in found.secret_keys if f"| `{key}` |" not in guide} == set()


@pytest.mark.parametrize("found", SERVERS, ids=str)
def test_no_pod_generates_keys_of_its_own(found: Pod) -> None:
    needed = {"DATABASE_URL", "LAP_SECRET_KEY", "LAP_MASTER_KEY", "LAP_ENCRYPTION_KEYS"}
    required = {
        variable["name"]
        for variable in found.container["env"]
        if not variable.get("valueFrom", {}).get("secretKeyRef", {"optional": True}).get("optional")
    }
    assert required == needed


@pytest.mark.parametrize("folder", OVERLAYS)
def test_probes_ask_what_the_processes_answer(folder: str) -> None:
    for found in [pod(folder, "lap-web"), pod(folder, "lap-worker")]:
        ports = {port["name"] for port in found.container["ports"]}
        probes = {n: found.container[f"{n}Probe"]["httpGet"] for n in ("startup", "liveness")}
        probes["readiness"] = found.container["readinessProbe"]["httpGet"]
        assert {probe["port"] for probe in probes.values()} <= ports
        paths = [probes[name]["path"] for name in ("startup", "liveness", "readiness")]
        assert paths == [HEALTHZ, HEALTHZ, READYZ]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_processes_listen_where_the_pods_say(folder: str) -> None:
    web, worker = pod(folder, "lap-web"), pod(folder, "lap-worker")
    command = dockerfile.read()["server"].command("CMD")
    assert port_of(web) == after(command, "--port")
    assert port_of(worker) == worker.environment["LAP_WORKER_PORT"]
    assert worker.environment["LAP_WORKER_HOST"] == after(command, "--host") == "0.0.0.0"


@pytest.mark.parametrize("folder", OVERLAYS)
def test_web_has_time_to_end_what_it_answers(folder: str) -> None:
    web = pod(folder, "lap-web")
    pause = web.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    ending = int(after(dockerfile.read()["server"].command("CMD"), "--timeout-graceful-shutdown"))
    assert web.spec["terminationGracePeriodSeconds"] >= pause + ending + 5


@pytest.mark.parametrize("folder", OVERLAYS)
def test_a_worker_has_time_to_drain_and_to_hand_over(folder: str) -> None:
    worker = pod(folder, "lap-worker")
    drain = float(worker.environment["LAP_DRAIN_SECONDS"])
    assert worker.spec["terminationGracePeriodSeconds"] >= drain + 20


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_pod_has_a_place_for_temporary_files(folder: str) -> None:
    for found in pods(folder):
        assert {"name": "tmp", "mountPath": "/tmp"} in found.container["volumeMounts"]


def test_prometheus_reads_the_path_that_the_ingress_keeps_shut() -> None:
    folder = "overlays/production"
    (monitor,), (ingress,) = of_kind(folder, "ServiceMonitor"), of_kind(folder, "Ingress")
    assert {endpoint["path"] for endpoint in monitor["spec"]["endpoints"]} == {METRICS}
    paths = [path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]]
    assert METRICS in paths


def port_of(found: Pod) -> str:
    (port,) = found.container["ports"]
    return str(port["containerPort"])


def after(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]
