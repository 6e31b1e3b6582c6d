"""The ports of NodePort Services: the very port on which the selected pod's harness listens."""

from __future__ import annotations

import socket

from tests.kubernetes.standin.api import Api
from tests.kubernetes.standin.harnesses import ADDRESS
from tests.kubernetes.standin.resources import SERVICES, Key, Resource
from tests.kubernetes.standin.selectors import has_labels
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import Change


class NodePorts:
    """A port is bound, without listening, from the Service's creation to its end.

    So nobody else gets it; the harness may bind it as well, and is refused to callers until then.
    """

    def __init__(self, api: Api) -> None:
        self._store = api.store
        self._reserved: dict[int, socket.socket] = {}
        self._pods: dict[Key, int] = {}
        api.admission.append(self._assign)
        self._store.listeners.append(self._notice)

    def port_for(self, pod: Object) -> int:
        """Of a Service that selects the pod, unless another pod has it; else any (0)."""
        taken = set(self._pods.values())
        for service in self._store.all_of(SERVICES, pod["metadata"]["namespace"]):
            if _is_node_port(service) and _selects(service, pod):
                port: int = service["spec"]["ports"][0]["nodePort"]
                return 0 if port in taken else port
        return 0

    def started(self, key: Key, port: int) -> None:
        """A pod's harness listens there."""
        self._pods[key] = port

    def stopped(self, key: Key) -> None:
        self._pods.pop(key, None)

    def close(self) -> None:
        for reserved in self._reserved.values():
            reserved.close()

    def _assign(self, resource: Resource, obj: Object) -> None:
        if resource is SERVICES and _is_node_port(obj):
            port = self._port_of_pod(obj) or self._reserve()
            for wanted in obj["spec"].get("ports", []):
                wanted["nodePort"] = port

    def _port_of_pod(self, service: Object) -> int:
        for key, port in self._pods.items():
            pod = self._store.at(key)
            if pod and _selects(service, pod):
                return port
        return 0

    def _reserve(self) -> int:
        reserved = socket.socket()
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((ADDRESS, 0))
        port: int = reserved.getsockname()[1]
        self._reserved[port] = reserved
        return port

    def _notice(self, change: Change) -> None:
        if change.resource is SERVICES and change.after is None and change.before:
            for port in change.before["spec"].get("ports", []):
                if reserved := self._reserved.pop(port.get("nodePort", 0), None):
                    reserved.close()


def _is_node_port(service: Object) -> bool:
    return bool(service["spec"].get("type") == "NodePort")


def _selects(service: Object, pod: Object) -> bool:
    selector = service["spec"].get("selector")
    return bool(selector) and has_labels(pod, selector)
