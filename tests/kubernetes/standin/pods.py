"""A pod on the node: what the kubelet writes into its status as things happen."""

from __future__ import annotations

import asyncio
import base64
import itertools
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kubernetes.standin.api import Api
from tests.kubernetes.standin.harnesses import ADDRESS, TOKEN, Acceptor, Harness
from tests.kubernetes.standin.node_ports import NodePorts
from tests.kubernetes.standin.resources import EVENTS, PODS, SECRETS, Key
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import timestamp

NODE_NAME = "node-1"
POLL_SECONDS = 0.05
_addresses = itertools.count(10)


@dataclass(frozen=True)
class Node:
    """What all pods of the node share; ``folder`` holds their work directories."""

    acceptor: Acceptor
    ports: NodePorts
    folder: Path


class Pod:
    """Lives on the event loop of the stand-in. What has gone is left alone."""

    def __init__(self, api: Api, key: Key, uid: str, node: Node) -> None:
        self.key = key
        self._uid = uid
        self.log: list[str] = []
        self.harness: Harness | None = None
        self._api = api
        self._node = node
        number = next(_addresses)
        self._ip = f"10.1.{number // 250 % 250}.{number % 250 + 1}"

    @property
    def object(self) -> Object | None:
        """None when it is gone, also when another one has got its name."""
        found = self._api.store.at(self.key)
        return found if found and found["metadata"]["uid"] == self._uid else None

    @property
    def container(self) -> Object:
        """The first one of the spec."""
        found: Object = self._existing()["spec"]["containers"][0]
        return found

    def schedule(self) -> None:
        """Give it the node; its container is about to be made."""
        pod = self._existing()
        placed = {**pod, "spec": {**pod["spec"], "nodeName": NODE_NAME}}
        self._api.store.update(PODS, pod, placed)
        self._write(
            _condition("PodScheduled", "True"),
            _condition("Initialized", "True"),
            _condition("ContainersReady", "False", "ContainersNotReady"),
            _condition("Ready", "False", "ContainersNotReady"),
            hostIP=ADDRESS,
            startTime=timestamp(),
            containerStatuses=self._container({"waiting": {"reason": "ContainerCreating"}}),
        )

    def unschedulable(self, message: str) -> None:
        self._write(_condition("PodScheduled", "False", "Unschedulable", message))

    def waiting(self, reason: str, message: str) -> None:
        state = {"waiting": {"reason": reason, "message": message}}
        self._write(containerStatuses=self._container(state))

    async def environment(self) -> dict[str, str]:
        """The container's, once every Secret it needs is there."""
        while True:
            found, missing = self._environment()
            if not missing:
                return found
            self.waiting("CreateContainerConfigError", missing)
            await asyncio.sleep(POLL_SECONDS)

    def start_harness(self, environment: dict[str, str]) -> None:
        """The real thing; without a token it ends as the real one does."""
        if not environment.get(TOKEN, "").strip():
            self.log.append(f"harness: set {TOKEN}: every request must carry it.")
            self.terminated("Error", 2)
            return
        node = self._node
        port = node.ports.port_for(self._existing())
        self.harness = Harness(environment, port, node.folder, node.acceptor)
        node.ports.started(self.key, self.harness.port)
        self.log.append(f"listening on {ADDRESS}:{self.harness.port}")

    def run(self) -> None:
        """Its container runs, but is not ready."""
        state = {"running": {"startedAt": timestamp()}}
        self._write(
            phase="Running",
            podIP=self._ip,
            podIPs=[{"ip": self._ip}],
            containerStatuses=self._container(state),
        )

    def ready(self, is_ready: bool = True) -> None:
        status, reason = ("True", "") if is_ready else ("False", "ContainersNotReady")
        statuses = self._existing()["status"].get("containerStatuses", [])
        self._write(
            _condition("Ready", status, reason),
            _condition("ContainersReady", status, reason),
            containerStatuses=[{**s, "ready": is_ready} for s in statuses],
        )

    def terminated(self, reason: str, exit_code: int) -> None:
        """Its container has ended, and with it the pod: nothing is restarted here."""
        ended = {"exitCode": exit_code, "reason": reason, "finishedAt": timestamp()}
        phase = "Succeeded" if exit_code == 0 else "Failed"
        why = "PodCompleted" if exit_code == 0 else "PodFailed"
        self._write(
            _condition("Ready", "False", why),
            _condition("ContainersReady", "False", why),
            phase=phase,
            containerStatuses=self._container({"terminated": ended}),
        )

    def failed(self, reason: str, message: str) -> None:
        """As by an eviction: the pod says why, its container's end may not be known."""
        self._write(
            _condition("Ready", "False", "PodFailed"),
            phase="Failed",
            reason=reason,
            message=message,
        )

    def warn(self, reason: str, message: str) -> None:
        """An event about it."""
        pod = self._existing()
        metadata = pod["metadata"]
        involved = {"kind": "Pod", "apiVersion": "v1", "name": self.key.name}
        event = {
            "metadata": {"name": f"{self.key.name}.{uuid.uuid4().hex[:16]}"},
            "involvedObject": {
                **involved,
                "namespace": self.key.namespace,
                "uid": metadata["uid"],
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": timestamp(),
            "lastTimestamp": timestamp(),
            "source": {"component": "kubelet", "host": NODE_NAME},
        }
        self._api.create(EVENTS, self.key.namespace, event)

    async def end_harness(self, *, is_killed: bool) -> None:
        harness, self.harness = self.harness, None
        self._node.ports.stopped(self.key)
        if harness:
            await asyncio.to_thread(harness.kill if is_killed else harness.stop)

    def _existing(self) -> Object:
        found = self.object
        if found is None:
            raise asyncio.CancelledError
        return found

    def _write(self, *found: Object, **fields: Any) -> None:
        pod = self._existing()
        status = {**pod["status"], **fields}
        if found:
            kinds = {condition["type"] for condition in found}
            old = [c for c in status.get("conditions", []) if c["type"] not in kinds]
            status["conditions"] = [*old, *found]
        self._api.set_status(PODS, pod, status)

    def _container(self, state: Object) -> list[Object]:
        spec = self.container
        status = {
            "name": spec["name"],
            "image": spec["image"],
            "imageID": "",
            "ready": False,
            "started": "running" in state,
            "restartCount": 0,
            "lastState": {},
            "state": state,
        }
        return [status]

    def _environment(self) -> tuple[dict[str, str], str]:
        """The variables, and what is missing for them."""
        found: dict[str, str] = {}
        for variable in self.container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if not reference:
                found[variable["name"]] = variable.get("value", "")
                continue
            value, missing = self._secret(reference["name"], reference["key"])
            if value is not None:
                found[variable["name"]] = value
            elif not reference.get("optional"):
                return {}, missing
        return found, ""

    def _secret(self, name: str, key: str) -> tuple[str | None, str]:
        secret = self._api.store.find(SECRETS, self.key.namespace, name)
        if not secret:
            return None, f'secret "{name}" not found'
        if key not in secret["data"]:
            return None, f"couldn't find key {key} in Secret {self.key.namespace}/{name}"
        return base64.b64decode(secret["data"][key]).decode(), ""


def _condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    found = {"type": kind, "status": status, "reason": reason, "message": message}
    times = {"lastProbeTime": None, "lastTransitionTime": timestamp()}
    return {name: value for name, value in found.items() if value} | times
