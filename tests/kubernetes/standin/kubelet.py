"""The node: runs every pod by a script, and ends it when it is deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.kubernetes.standin import scripts, statuses
from tests.kubernetes.standin.api import Api
from tests.kubernetes.standin.harnesses import Acceptor
from tests.kubernetes.standin.node_ports import NodePorts
from tests.kubernetes.standin.pods import Node, Pod
from tests.kubernetes.standin.resources import PODS, Key
from tests.kubernetes.standin.scripts import Script, Times
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import Change

log = logging.getLogger(__name__)

OOM_EXIT = 137


class Kubelet:
    """Lives on the event loop. ``grace_seconds`` is how long a deleted pod takes to go at least;
    ``choose`` picks the script of a pod.
    """

    def __init__(self, api: Api, folder: Path) -> None:
        self.times = Times()
        self.grace_seconds = 0.0
        self.choose: Callable[[Object], Script] = _by_image
        self._closing = asyncio.Event()
        self._api = api
        self._node = Node(Acceptor(), NodePorts(api), folder)
        self._pods: dict[Key, Pod] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._endings: set[asyncio.Task[None]] = set()
        api.store.listeners.append(self._notice)

    def log_of(self, namespace: str, name: str) -> list[str]:
        """The container's lines; a 400 while it has not started."""
        pod = self._api.get(PODS, namespace, name)
        container = pod["spec"]["containers"][0]["name"]
        state = (pod["status"].get("containerStatuses") or [{}])[0].get("state", {})
        if not state.keys() & {"running", "terminated"}:
            why = state.get("waiting", {}).get("reason", "ContainerCreating")
            told = f'container "{container}" in pod "{name}" is waiting to start: {why}'
            raise statuses.bad_request(told)
        found = self._pods.get(PODS.key(namespace, name))
        return list(found.log) if found else []

    async def oom(self, namespace: str, name: str) -> None:
        """Its container needed more memory than its limit."""
        pod = await self._kill(namespace, name)
        pod.terminated("OOMKilled", OOM_EXIT)

    async def exit(self, namespace: str, name: str, code: int = 1) -> None:
        """Its container ends by itself."""
        pod = await self._kill(namespace, name)
        pod.terminated("Completed" if code == 0 else "Error", code)

    async def evict(self, namespace: str, name: str) -> None:
        pod = await self._kill(namespace, name)
        pod.failed("Evicted", "The node was low on resource: memory.")

    async def unready(self, namespace: str, name: str) -> None:
        """Its readiness probe fails from now on."""
        self._found(namespace, name).ready(False)

    async def close(self) -> None:
        """End every pod's harness."""
        self._closing.set()
        self._api.store.listeners.remove(self._notice)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), *self._endings, return_exceptions=True)
        await asyncio.gather(*(p.end_harness(is_killed=True) for p in self._pods.values()))
        self._node.ports.close()
        await asyncio.to_thread(self._node.acceptor.close)

    def _notice(self, change: Change) -> None:
        if change.resource is not PODS:
            return
        if change.before is None and change.after:
            self._begin(change.key, change.after)
        elif change.after is None or "deletionTimestamp" in change.after["metadata"]:
            self._end(change.key)

    def _begin(self, key: Key, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        own = self._pods[key] = Pod(self._api, key, uid, self._node)
        self._tasks[key] = asyncio.create_task(self._run(own, self.choose(pod)))

    async def _run(self, pod: Pod, script: Script) -> None:
        try:
            await script(pod, self.times)
        except Exception:
            log.exception("the script of pod %s failed", pod.key.name)

    def _end(self, key: Key) -> None:
        pod = self._pods.pop(key, None)
        if pod:
            ending = asyncio.create_task(self._take_down(pod, self._tasks.pop(key)))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _take_down(self, pod: Pod, task: asyncio.Task[None]) -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), self.grace_seconds)
        await pod.end_harness(is_killed=self._closing.is_set())
        if pod.object and "deletionTimestamp" in pod.object["metadata"]:
            self._api.store.remove(PODS, pod.object)

    async def _kill(self, namespace: str, name: str) -> Pod:
        pod = self._found(namespace, name)
        self._tasks[pod.key].cancel()
        await pod.end_harness(is_killed=True)
        return pod

    def _found(self, namespace: str, name: str) -> Pod:
        key = PODS.key(namespace, name)
        if key not in self._pods:
            raise LookupError(f"no pod {namespace}/{name} runs")
        return self._pods[key]


def _by_image(pod: Object) -> Script:
    return scripts.script_for(pod["spec"]["containers"][0]["image"])
