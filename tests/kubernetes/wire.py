"""Plain HTTP to the stand-in, and the objects that its tests send."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.harness.server import wait_until
from tests.kubernetes.standin import StandIn
from tests.kubernetes.standin.conditions import find
from tests.kubernetes.standin.statuses import Object

ROOT = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes"
CLAIMS = "/apis/extensions.agents.x-k8s.io/v1beta1/namespaces/default/sandboxclaims"
CORE = "/api/v1/namespaces/default"
TOKEN = {"name": "HARNESS_AUTH_TOKEN", "value": "token-of-the-tests"}


def client(cluster: StandIn, token: str = "") -> httpx.Client:
    return httpx.Client(
        base_url=cluster.url,
        verify=ssl.create_default_context(cafile=str(cluster.ca_file)),
        headers={"Authorization": f"Bearer {token or cluster.token()}"},
        trust_env=False,
        timeout=10,
    )


def pod_template(image: str = "example/harness:1", name: str = "s-1", **spec: Any) -> Object:
    container = {"name": "harness", "image": image, "ports": [{"containerPort": 4096}]}
    own = {"restartPolicy": "Never", "containers": [{**container, "env": [TOKEN]}], **spec}
    return {"metadata": {"labels": {"n": name}}, "spec": own}


def sandbox(name: str = "s-1", image: str = "example/harness:1", **spec: Any) -> Object:
    template = pod_template(image, name)
    return {
        "apiVersion": "agents.x-k8s.io/v1beta1",
        "kind": "Sandbox",
        "metadata": {"name": name, "labels": {"n": name}},
        "spec": {"service": True, "podTemplate": template, **spec},
    }


def owned_by(owner: Object, name: str) -> Object:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {"name": name, "ownerReferences": [reference]}


def ready_reason(cluster: StandIn, name: str = "s-1") -> str:
    """Of a Sandbox's Ready condition; empty while there is none."""
    found = find(cluster.object("sandboxes", name) or {}, "Ready")
    return found["reason"] if found else ""


def wait_ready(cluster: StandIn, name: str = "s-1") -> None:
    wait_until(lambda: ready_reason(cluster, name) == "DependenciesReady")


def container_state(cluster: StandIn, name: str = "s-1") -> tuple[str, str]:
    """The state of a pod's container and its reason."""
    pod = cluster.object("pods", name) or {"status": {}}
    for status in pod["status"].get("containerStatuses", []):
        for state, details in status["state"].items():
            return state, details.get("reason", "")
    return "", ""


class Watching:
    """A watch in a thread; ``events`` are those seen so far."""

    def __init__(self, http: httpx.Client, path: str) -> None:
        self.events: list[Object] = []
        self.error: Exception | None = None
        self._http, self._path = http, path
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def seen(self) -> list[tuple[str, str]]:
        """Type and name of every event but bookmarks."""
        found = [event for event in list(self.events) if event["type"] != "BOOKMARK"]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in found]

    def _work(self) -> None:
        try:
            with self._http.stream("GET", self._path, timeout=30) as answer:
                for line in answer.iter_lines():
                    self.events.append(json.loads(line))
        except httpx.HTTPError as error:
            self.error = error


@contextmanager
def watching(cluster: StandIn, path: str) -> Iterator[Watching]:
    """A watch that is being served; it is cut when the block is left."""
    with client(cluster) as own:
        before = _served_watches(cluster)
        watch = Watching(own, path)
        wait_until(lambda: _served_watches(cluster) > before)
        yield watch
        cluster.cut_watches()
        watch.thread.join(5)
        assert not watch.thread.is_alive()


def _served_watches(cluster: StandIn) -> int:
    return sum(call.verb == "watch" and call.status == 200 for call in cluster.calls)
