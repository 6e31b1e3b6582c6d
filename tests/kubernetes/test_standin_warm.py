"""Warm pools and claims of the stand-in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.server import wait_until
from tests.kubernetes.standin import StandIn
from tests.kubernetes.standin.conditions import find
from tests.kubernetes.standin.selectors import labels_of
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.wire import pod_template, ready_reason


def make_pool(standin: StandIn, replicas: int = 1, **spec: Any) -> None:
    fields = {"service": True, "podTemplate": pod_template(), **spec}
    standin.create("sandboxtemplates", {"metadata": {"name": "t"}, "spec": fields})
    reference = {"replicas": replicas, "sandboxTemplateRef": {"name": "t"}}
    standin.create("sandboxwarmpools", {"metadata": {"name": "w"}, "spec": reference})


def claim(standin: StandIn, name: str = "c-1", **spec: Any) -> Object:
    fields = {"warmPoolRef": {"name": "w"}, "lifecycle": {"shutdownPolicy": "Delete"}, **spec}
    return standin.create("sandboxclaims", {"metadata": {"name": name}, "spec": fields})


def wait_warm(standin: StandIn, count: int = 1) -> None:
    def ready() -> bool:
        pool = standin.object("sandboxwarmpools", "w") or {}
        return bool(pool.get("status", {}).get("readyReplicas") == count)

    wait_until(ready)


def reason_of(standin: StandIn, name: str = "c-1") -> str:
    found = find(standin.object("sandboxclaims", name) or {}, "Ready")
    return found["reason"] if found else ""


def sandbox_of(standin: StandIn, name: str = "c-1") -> str:
    status = (standin.object("sandboxclaims", name) or {}).get("status", {})
    return str(status.get("sandbox", {}).get("name", ""))


def test_a_claim_takes_a_warm_member_and_the_pool_fills_up(standin: StandIn) -> None:
    make_pool(standin)
    wait_warm(standin)
    (member,) = standin.objects("sandboxes")
    labels = {"sandbox.users.io/session-id": "abc"}
    claim(standin, additionalPodMetadata={"labels": labels})
    wait_until(lambda: reason_of(standin) == "DependenciesReady")
    assert sandbox_of(standin) == member["metadata"]["name"]
    pod = standin.object("pods", member["metadata"]["name"]) or {}
    wait_until(
        lambda: labels.items() <= labels_of(standin.object("pods", _name(pod)) or {}).items()
    )
    wait_warm(standin)
    assert len(standin.objects("sandboxes")) == 2


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def test_a_member_that_is_not_ready_is_taken_when_no_other_is(standin: StandIn) -> None:
    standin.kubelet.times.ready = 0.3
    make_pool(standin)
    wait_until(lambda: standin.objects("pods"))
    claim(standin)
    wait_until(lambda: sandbox_of(standin))
    assert reason_of(standin) == "DependenciesNotReady"
    wait_until(lambda: reason_of(standin) == "DependenciesReady")


def test_an_empty_pool_starts_a_cold_sandbox(standin: StandIn) -> None:
    make_pool(standin, replicas=0)
    claim(standin)
    wait_until(lambda: reason_of(standin) == "DependenciesReady")
    (found,) = standin.objects("sandboxes")
    assert _name(found) == "c-1"
    assert labels_of(found)["agents.x-k8s.io/launch-type"] == "cold"


def test_env_of_a_claim_is_never_warm(standin: StandIn) -> None:
    make_pool(standin, envVarsInjectionPolicy="Allowed")
    wait_warm(standin)
    claim(standin, env=[{"name": "A", "value": "1"}])
    wait_until(lambda: reason_of(standin) == "DependenciesReady")
    assert sandbox_of(standin) == "c-1"
    found = standin.object("pods", "c-1") or {}
    assert {"name": "A", "value": "1"} in found["spec"]["containers"][0]["env"]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"warmPoolRef": {"name": "none"}}, "WarmPoolNotFound"),
        ({"env": [{"name": "A", "value": "1"}]}, "EnvVarsInjectionRejected"),
        ({"additionalPodMetadata": {"labels": {"lap.internal/x": "y"}}}, "InvalidMetadata"),
    ],
)
def test_a_claim_that_is_refused_says_why(standin: StandIn, spec: Object, reason: str) -> None:
    make_pool(standin)
    claim(standin, **spec)
    wait_until(lambda: reason_of(standin) == reason)
    assert sandbox_of(standin) == ""


def test_a_claim_takes_its_sandbox_along(standin: StandIn) -> None:
    make_pool(standin)
    wait_warm(standin)
    claim(standin)
    wait_until(lambda: sandbox_of(standin))
    name = sandbox_of(standin)
    standin.delete("sandboxclaims", "c-1")
    wait_until(lambda: not standin.object("pods", name))
    wait_warm(standin)


def test_a_claims_sandbox_that_fails_shows_in_the_claim(standin: StandIn) -> None:
    make_pool(standin)
    wait_warm(standin)
    claim(standin)
    wait_until(lambda: sandbox_of(standin))
    standin.oom(sandbox_of(standin))
    wait_until(lambda: reason_of(standin) == "PodFailed")
    assert ready_reason(standin, sandbox_of(standin)) == "PodFailed"


def test_a_smaller_pool_keeps_fewer(standin: StandIn) -> None:
    make_pool(standin, replicas=3)
    wait_warm(standin, 3)
    standin.patch("sandboxwarmpools", "w", {"spec": {"replicas": 1}})
    wait_until(lambda: len(standin.objects("sandboxes")) == 1)


def test_a_pool_ends_with_its_template(standin: StandIn) -> None:
    make_pool(standin)
    wait_warm(standin)
    template = standin.object("sandboxtemplates", "t") or {}
    owner = {"name": "t", "uid": template["metadata"]["uid"], "kind": "SandboxTemplate"}
    references = [{**owner, "apiVersion": template["apiVersion"]}]
    standin.patch("sandboxwarmpools", "w", {"metadata": {"ownerReferences": references}})
    standin.delete("sandboxtemplates", "t")
    wait_until(lambda: not standin.objects("pods"))
    assert standin.objects("sandboxwarmpools") == []
