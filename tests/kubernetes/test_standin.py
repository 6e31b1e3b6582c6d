"""The stand-in answers as a real API server and the real controller were recorded to answer."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.harness.server import wait_until
from tests.kubernetes.real import RealCluster
from tests.kubernetes.replay import Replay, load
from tests.kubernetes.standin import StandIn, scripts
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.wire import CORE, ROOT, client, sandbox


@pytest.mark.slow
def test_the_recorded_exchanges_are_answered_alike(standin: StandIn, http: httpx.Client) -> None:
    """Among them two watches that last as long as they did."""
    standin.kubelet.choose = lambda pod: scripts.manual
    standin.quotas.custom_sync_seconds = 3600
    standin.collector.delay_seconds = 3600
    standin.token("limited", rules=[])
    replay = Replay(standin, http)
    for exchange in load():
        replay.run(exchange)
    assert replay.differences == []
    assert replay.compared == 54


def rule(verbs: list[str], *resources: str, group: str = "") -> Object:
    return {"apiGroups": [group], "resources": list(resources), "verbs": verbs}


ALLOWED = [rule(["get", "watch"], "pods"), rule(["get"], "pods/log")]
TRIED = [
    ("GET", f"{CORE}/pods/x", 404, 'pods "x" not found'),
    ("GET", f"{CORE}/pods/x/log", 404, 'pods "x" not found'),
    ("GET", f"{CORE}/pods", 403, 'cannot list resource "pods" in API group ""'),
    ("DELETE", f"{CORE}/pods/x", 403, 'pods "x" is forbidden: User "worker" cannot delete'),
    ("POST", ROOT, 403, 'cannot create resource "sandboxes" in API group "agents.x-k8s.io"'),
    ("PATCH", f"{CORE}/pods/x/status", 403, 'cannot patch resource "pods/status"'),
]


def test_a_user_may_do_what_a_rule_allows(standin: StandIn) -> None:
    with client(standin, standin.token("worker", ALLOWED)) as worker:
        for method, path, code, words in TRIED:
            answer = worker.request(method, path, json=sandbox() if method == "POST" else None)
            assert (answer.status_code, words in answer.json()["message"]) == (code, True), path
    assert {call.user for call in standin.calls} == {"worker"}


def test_nobody_is_trusted_without_a_token_or_the_authority(standin: StandIn) -> None:
    with client(standin, "guessed") as stranger:
        assert stranger.get(ROOT).status_code == 401
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(standin.url, trust_env=False)


def test_what_is_not_installed_is_a_plain_404(standin: StandIn, http: httpx.Client) -> None:
    standin.uninstall("agents.x-k8s.io")
    answer = http.get(ROOT)
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    assert http.get(f"{CORE}/pods").status_code == 200


def test_a_list_in_pages_is_of_one_moment(standin: StandIn, http: httpx.Client) -> None:
    for name in ("a", "b", "c"):
        standin.create("secrets", {"metadata": {"name": name}})
    first = http.get(f"{CORE}/secrets?limit=2").json()
    standin.create("secrets", {"metadata": {"name": "bb"}})
    token = first["metadata"]["continue"]
    second = http.get(f"{CORE}/secrets", params={"limit": 2, "continue": token}).json()
    names = [item["metadata"]["name"] for item in first["items"] + second["items"]]
    assert names == ["a", "b", "c"]
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert "continue" not in second["metadata"]


def test_a_forgotten_page_has_expired(standin: StandIn, http: httpx.Client) -> None:
    for name in ("a", "b"):
        standin.create("secrets", {"metadata": {"name": name}})
    token = http.get(f"{CORE}/secrets?limit=1").json()["metadata"]["continue"]
    standin.forget_history()
    answer = http.get(f"{CORE}/secrets", params={"limit": 1, "continue": token})
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


SELECTORS = [
    ("labelSelector", "app=x", ["a"]),
    ("labelSelector", "app!=x", ["b", "c"]),
    ("labelSelector", "app in (x, y)", ["a", "b"]),
    ("labelSelector", "app notin (x)", ["b", "c"]),
    ("labelSelector", "app", ["a", "b"]),
    ("labelSelector", "!app", ["c"]),
    ("labelSelector", "app,lap.internal/kind=k", ["b"]),
    ("fieldSelector", "metadata.name=b", ["b"]),
    ("fieldSelector", "metadata.name!=b", ["a", "c"]),
]


def test_selectors(standin: StandIn, http: httpx.Client) -> None:
    labels = {"a": {"app": "x"}, "b": {"app": "y", "lap.internal/kind": "k"}, "c": {}}
    for name, own in labels.items():
        standin.create("secrets", {"metadata": {"name": name, "labels": own}})
    for kind, selector, expected in SELECTORS:
        items = http.get(f"{CORE}/secrets", params={kind: selector}).json()["items"]
        assert [item["metadata"]["name"] for item in items] == expected, selector


@pytest.mark.parametrize("query", ["labelSelector=a in x", "fieldSelector=spec.x=1"])
def test_a_wrong_selector_is_told(http: httpx.Client, query: str) -> None:
    answer = http.get(f"{ROOT}?{query}")
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def test_custom_objects_take_no_strategic_patch(standin: StandIn, http: httpx.Client) -> None:
    standin.create("sandboxes", sandbox())
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    patch = {"metadata": {"labels": {"x": "y"}}}
    answer = http.patch(f"{ROOT}/s-1", headers=headers, json=patch)
    assert answer.status_code == 415
    standin.create("secrets", {"metadata": {"name": "a"}})
    answer = http.patch(f"{CORE}/secrets/a", headers=headers, json=patch)
    assert answer.json()["metadata"]["labels"] == {"x": "y"}


def test_a_stale_patch_is_refused(standin: StandIn, http: httpx.Client) -> None:
    version = standin.create("sandboxes", sandbox())["metadata"]["resourceVersion"]
    wait_until(lambda: (standin.object("sandboxes", "s-1") or {}).get("status"))
    patch = {"metadata": {"resourceVersion": version, "labels": {"x": "y"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = http.patch(f"{ROOT}/s-1", json=patch, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")


INVALID = [
    ({"metadata": {"name": "a", "labels": {"k": "v" * 64}}}, "metadata.labels"),
    ({"metadata": {"name": "a", "labels": {"bad key": "v"}}}, "metadata.labels"),
    ({"metadata": {"name": "a", "ownerReferences": [{"kind": "Sandbox"}]}}, "ownerReferences"),
    ({"metadata": {}}, "name or generateName is required"),
]


@pytest.mark.parametrize(("body", "words"), INVALID)
def test_what_is_invalid_is_told(http: httpx.Client, body: Object, words: str) -> None:
    answer = http.post(f"{CORE}/secrets", json=body)
    assert answer.status_code == 422
    assert words in answer.json()["message"]


def test_calls_are_recorded(standin: StandIn, http: httpx.Client) -> None:
    http.get(f"{CORE}/pods/x/log", headers={"User-Agent": "lap/1"})
    (call,) = standin.calls
    assert (call.method, call.verb, call.group, call.resource) == ("GET", "get", "", "pods")
    assert (call.subresource, call.name, call.status) == ("log", "x", 404)
    assert (call.user, call.agent, call.injected) == ("admin", "lap/1", "")


def test_a_real_cluster_takes_its_place(standin: StandIn, tmp_path: Path) -> None:
    """By the official client, which the stand-in answers as well."""
    real = RealCluster(standin.kubeconfig(tmp_path / "kubeconfig"))
    created = real.create("sandboxes", sandbox())
    assert [found["metadata"]["name"] for found in real.objects("sandboxes")] == ["s-1"]
    assert real.object("sandboxes", "s-1") is not None
    answer = real.delete("sandboxes", "s-1") or {}
    assert answer["details"]["uid"] == created["metadata"]["uid"]
    assert real.object("sandboxes", "s-1") is real.delete("sandboxes", "s-1") is None
    managed = {"name": "a", "labels": {"lap.internal/managed-by": "lap"}}
    for metadata in (managed, {"name": "b"}):
        real.create("secrets", {"metadata": metadata})
    real.clear()
    assert [found["metadata"]["name"] for found in real.objects("secrets")] == ["b"]
    with pytest.raises(pytest.skip.Exception, match="only the stand-in has 'faults'"):
        _ = real.faults
