"""What becomes of a pod, told by its image.

``example/unschedulable``, ``example/missing``, ``example/no-network``, ``example/oom``,
``example/evicted``, ``example/exits-<code>``, ``example/crashes-at-start``,
``example/never-ready``, ``example/never-listens``; any other image runs a real harness.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.kubernetes.standin.pods import Pod


@dataclass
class Times:
    """Seconds, settable at run time."""

    start: float = 0.0
    """From the schedule to the running container (pull and start)."""
    ready: float = 0.0
    """From there to Ready."""
    life: float = 0.05
    """Of a pod that is made to end on its own, once it is ready."""


Script = Callable[[Pod, Times], Awaitable[None]]


def script_for(image: str) -> Script:
    """By the image's name, without its tag."""
    name = image.partition(":")[0]
    if found := re.fullmatch(r"example/exits-(\d+)", name):
        return _exits(int(found[1]))
    return SCRIPTS.get(name, serve)


async def manual(pod: Pod, times: Times) -> None:
    """Nothing happens by itself: a test writes the status."""


async def serve(pod: Pod, times: Times) -> None:
    """A harness that runs until it is ended."""
    pod.schedule()
    environment = await _started(pod, times)
    pod.start_harness(environment)
    if pod.harness:
        pod.run()
        await asyncio.sleep(times.ready)
        pod.ready()


async def _started(pod: Pod, times: Times) -> dict[str, str]:
    await asyncio.sleep(times.start)
    return await pod.environment()


async def _unschedulable(pod: Pod, times: Times) -> None:
    pod.unschedulable("0/3 nodes are available: 3 Insufficient cpu.")


async def _missing_image(pod: Pod, times: Times) -> None:
    image = pod.container["image"]
    pod.schedule()
    await asyncio.sleep(times.start)
    cause = f'failed to pull and unpack image "{image}": not found'
    pod.waiting("ErrImagePull", cause)
    pod.warn("Failed", f'Failed to pull image "{image}": {cause}')
    await asyncio.sleep(times.life)
    pod.waiting("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {cause}')


async def _no_network(pod: Pod, times: Times) -> None:
    pod.schedule()
    await asyncio.sleep(times.start)
    told = 'plugin type="calico" failed (add): no addresses are available in the pool'
    pod.warn("FailedCreatePodSandBox", f"Failed to create pod sandbox: {told}")


async def _served_for_a_while(pod: Pod, times: Times) -> None:
    await serve(pod, times)
    await asyncio.sleep(times.life)
    await pod.end_harness(is_killed=True)


async def _oom(pod: Pod, times: Times) -> None:
    await _served_for_a_while(pod, times)
    pod.terminated("OOMKilled", 137)


async def _evicted(pod: Pod, times: Times) -> None:
    await _served_for_a_while(pod, times)
    pod.failed("Evicted", "The node was low on resource: memory.")


async def _crashes_at_start(pod: Pod, times: Times) -> None:
    pod.schedule()
    await _started(pod, times)
    told = 'exec: "harness": executable file not found in $PATH: unknown'
    pod.waiting("RunContainerError", f"failed to create containerd task: {told}")
    pod.terminated("StartError", 128)


async def _never_ready(pod: Pod, times: Times) -> None:
    pod.schedule()
    environment = await _started(pod, times)
    pod.start_harness(environment)
    pod.run()
    pod.warn("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")


async def _never_listens(pod: Pod, times: Times) -> None:
    """Ready, though nobody answers: as a pod without a readiness probe can be."""
    pod.schedule()
    await _started(pod, times)
    pod.run()
    pod.ready()


def _exits(code: int) -> Script:
    async def script(pod: Pod, times: Times) -> None:
        pod.schedule()
        await _started(pod, times)
        pod.run()
        pod.log += ["harness: starting", f"harness: cannot go on, exit {code}"]
        pod.terminated("Completed" if code == 0 else "Error", code)

    return script


SCRIPTS: dict[str, Script] = {
    "example/unschedulable": _unschedulable,
    "example/missing": _missing_image,
    "example/no-network": _no_network,
    "example/oom": _oom,
    "example/evicted": _evicted,
    "example/crashes-at-start": _crashes_at_start,
    "example/never-ready": _never_ready,
    "example/never-listens": _never_listens,
}
