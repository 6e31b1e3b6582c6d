"""The controller, the kubelet and the collector of the stand-in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.harness.server import wait_until
from tests.kubernetes.standin import StandIn
from tests.kubernetes.standin.conditions import find
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.wire import (
    CORE,
    ROOT,
    TOKEN,
    container_state,
    owned_by,
    ready_reason,
    sandbox,
    wait_ready,
)


def node_port(standin: StandIn, owner: Object) -> str:
    """The URL of a Service made for the Sandbox."""
    name = owner["metadata"]["name"]
    spec = {"type": "NodePort", "selector": {"n": name}, "ports": [{"port": 4096}]}
    service = {"metadata": owned_by(owner, f"{name}-node"), "spec": spec}
    created = standin.create("services", service)
    return f"http://127.0.0.1:{created['spec']['ports'][0]['nodePort']}"


def pod_folders(standin: StandIn) -> list[Path]:
    return list(standin.ca_file.parent.glob("pod-*"))


def ask(url: str, script: str) -> str:
    """What the harness in a pod answers to a script."""
    headers = {"Authorization": f"Bearer {TOKEN['value']}"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False) as harness:
        session = harness.post("/session", json={}).json()["id"]
        parts = [{"type": "text", "text": script}]
        model = {"providerID": "p", "modelID": "m"}
        body = {"model": model, "parts": parts}
        reply = harness.post(f"/session/{session}/message", json=body).json()
    return "".join(part["text"] for part in reply["parts"])


@pytest.mark.parametrize("comes_first", ["service", "pod"])
def test_a_pod_has_a_harness_behind_its_node_port(standin: StandIn, comes_first: str) -> None:
    standin.kubelet.times.start = 0.2 if comes_first == "service" else 0.0
    created = standin.create("sandboxes", sandbox())
    if comes_first == "pod":
        wait_ready(standin)
    url = node_port(standin, created)
    if comes_first == "service":
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)
        wait_ready(standin)
    assert ask(url, "echo hello; test -z $HARNESS_AUTH_TOKEN") == "hello\n"
    assert len(pod_folders(standin)) == 1
    assert httpx.get(f"{url}/session", trust_env=False).status_code == 401
    standin.delete("sandboxes", "s-1")
    wait_until(lambda: not standin.objects("pods"))
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    wait_until(lambda: not standin.objects("services"))
    assert pod_folders(standin) == []


STATES = [
    ("example/missing", ("waiting", "ImagePullBackOff"), "DependenciesNotReady"),
    ("example/unschedulable", ("", ""), "DependenciesNotReady"),
    ("example/no-network", ("waiting", "ContainerCreating"), "DependenciesNotReady"),
    ("example/oom", ("terminated", "OOMKilled"), "PodFailed"),
    ("example/evicted", ("running", ""), "PodFailed"),
    ("example/exits-3", ("terminated", "Error"), "PodFailed"),
    ("example/exits-0", ("terminated", "Completed"), "PodSucceeded"),
    ("example/crashes-at-start", ("terminated", "StartError"), "PodFailed"),
    ("example/never-ready", ("running", ""), "DependenciesNotReady"),
]


def test_images_decide_what_becomes_of_their_pods(standin: StandIn) -> None:
    for number, (image, _, _) in enumerate(STATES):
        standin.create("sandboxes", sandbox(f"s-{number}", f"{image}:1"))
    for number, (image, state, reason) in enumerate(STATES):
        name = f"s-{number}"
        expected = (state, reason)
        wait_until(
            lambda name=name, expected=expected: (  # type: ignore[misc]
                (container_state(standin, name), ready_reason(standin, name)) == expected
            )
        )
        assert image
    scheduled = find(standin.object("sandboxes", "s-1") or {}, "PodScheduled")
    assert scheduled is not None
    assert (scheduled["reason"], scheduled["status"]) == ("Unschedulable", "False")
    reasons = {event["reason"] for event in standin.objects("events")}
    assert reasons == {"Failed", "FailedCreatePodSandBox", "Unhealthy"}


def test_a_pod_tells_its_last_lines(standin: StandIn, http: httpx.Client) -> None:
    standin.create("sandboxes", sandbox("s-1", "example/exits-3:1"))
    standin.create("sandboxes", sandbox("s-2", "example/missing:1"))
    wait_until(lambda: ready_reason(standin) == "PodFailed")
    log = http.get(f"{CORE}/pods/s-1/log", params={"tailLines": 1, "limitBytes": 1000})
    assert log.text == "harness: cannot go on, exit 3\n"
    wait_until(lambda: container_state(standin, "s-2") != ("", ""))
    answer = http.get(f"{CORE}/pods/s-2/log")
    assert answer.status_code == 400
    assert "is waiting to start" in answer.json()["message"]


def test_a_container_waits_for_its_secret(standin: StandIn) -> None:
    reference = {"secretKeyRef": {"name": "s-1", "key": "token"}}
    wanted = sandbox()
    container = wanted["spec"]["podTemplate"]["spec"]["containers"][0]
    container["env"] = [{"name": TOKEN["name"], "valueFrom": reference}]
    created = standin.create("sandboxes", wanted)
    expected = ("waiting", "CreateContainerConfigError")
    wait_until(lambda: container_state(standin) == expected)
    secret = {"metadata": owned_by(created, "s-1"), "stringData": {"token": TOKEN["value"]}}
    standin.create("secrets", secret)
    wait_ready(standin)
    assert ask(node_port(standin, created), "echo yes") == "yes\n"


def test_a_running_pod_can_be_hurt(standin: StandIn) -> None:
    for name in ("s-1", "s-2", "s-3", "s-4"):
        standin.create("sandboxes", sandbox(name))
        wait_ready(standin, name)
    url = node_port(standin, standin.object("sandboxes", "s-1") or {})
    assert ask(url, "echo yes") == "yes\n"
    standin.oom("s-1")
    standin.evict("s-2")
    standin.exit("s-3", 4)
    standin.unready("s-4")
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    assert container_state(standin, "s-1") == ("terminated", "OOMKilled")
    evicted = standin.object("pods", "s-2") or {}
    assert evicted["status"]["reason"] == "Evicted"
    assert container_state(standin, "s-3") == ("terminated", "Error")
    for name in ("s-1", "s-2", "s-3"):
        wait_until(lambda name=name: ready_reason(standin, name) == "PodFailed")  # type: ignore[misc]
    wait_until(lambda: ready_reason(standin, "s-4") == "DependenciesNotReady")


def test_a_quota_refuses_sandboxes(standin: StandIn, http: httpx.Client) -> None:
    item = "count/sandboxes.agents.x-k8s.io"
    standin.quota("q", **{item: 1})
    wait_until(lambda: standin.objects("resourcequotas")[0]["status"])
    assert http.post(ROOT, json=sandbox("s-1")).status_code == 201
    answer = http.post(ROOT, json=sandbox("s-2"))
    told = f"exceeded quota: q, requested: {item}=1, used: {item}=1, limited: {item}=1"
    message = f'sandboxes.agents.x-k8s.io "s-2" is forbidden: {told}'
    assert (answer.status_code, answer.json()["message"]) == (403, message)


def test_a_quota_on_pods_shows_in_the_sandbox_until_there_is_room(standin: StandIn) -> None:
    standin.quota("q", pods=0)
    wait_until(lambda: standin.objects("resourcequotas")[0]["status"])
    standin.create("sandboxes", sandbox())
    wait_until(lambda: ready_reason(standin) == "ReconcilerError")
    ready = find(standin.object("sandboxes", "s-1") or {}, "Ready")
    told = "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
    assert ready is not None
    assert ready["message"] == f'Error seen: pods "s-1" is forbidden: {told}'
    standin.delete("resourcequotas", "q")
    wait_ready(standin)


@pytest.mark.parametrize(("policy", "left"), [("Delete", 0), ("Retain", 1)])
def test_a_sandbox_expires(standin: StandIn, policy: str, left: int) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=0.2)).isoformat().replace("+00:00", "Z")
    standin.create("sandboxes", sandbox(shutdownTime=soon, shutdownPolicy=policy))
    wait_until(lambda: standin.objects("pods"))
    wait_until(lambda: not standin.objects("pods") and not standin.objects("services"))
    assert len(standin.objects("sandboxes")) == left
    assert ready_reason(standin) == ("SandboxExpired" if left else "")


def test_what_was_owned_goes_with_its_owner(standin: StandIn) -> None:
    created = standin.create("sandboxes", sandbox())
    standin.create("secrets", {"metadata": owned_by(created, "s-1")})
    standin.create("secrets", {"metadata": {"name": "other"}})
    node_port(standin, created)
    wait_ready(standin)
    standin.delete("sandboxes", "s-1")
    wait_until(lambda: not standin.objects("pods") and not standin.objects("services"))
    assert [secret["metadata"]["name"] for secret in standin.objects("secrets")] == ["other"]


def test_an_owner_that_is_already_gone_takes_late_comers_along(standin: StandIn) -> None:
    created = standin.create("sandboxes", sandbox())
    standin.delete("sandboxes", "s-1")
    standin.create("secrets", {"metadata": owned_by(created, "late")})
    wait_until(lambda: not standin.objects("secrets"))


@pytest.mark.parametrize(("policy", "left"), [("Foreground", 0), ("Orphan", 1)])
def test_the_ways_to_delete(standin: StandIn, http: httpx.Client, policy: str, left: int) -> None:
    created = standin.create("sandboxes", sandbox())
    standin.create("secrets", {"metadata": owned_by(created, "s-1")})
    wait_ready(standin)
    http.request("DELETE", f"{ROOT}/s-1", json={"propagationPolicy": policy})
    wait_until(lambda: not standin.objects("sandboxes"))
    assert len(standin.objects("secrets")) == len(standin.objects("pods")) == left


def test_a_deleted_pod_takes_its_grace(standin: StandIn) -> None:
    standin.kubelet.grace_seconds = 0.3
    standin.create("sandboxes", sandbox())
    wait_ready(standin)
    standin.delete("sandboxes", "s-1")
    wait_until(lambda: "deletionTimestamp" in standin.objects("pods")[0]["metadata"])
    wait_until(lambda: not standin.objects("pods"))


def test_the_end_of_the_stand_in_leaves_nothing_behind() -> None:
    with StandIn() as standin:
        created = standin.create("sandboxes", sandbox())
        url = node_port(standin, created)
        wait_ready(standin)
        folder = standin.ca_file.parent
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    assert not folder.exists()
