"""The whole stand-in: API server, controllers and kubelet in one thread."""

from __future__ import annotations

import asyncio
import copy
import json
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.kubernetes.standin.access import Access, Rules
from tests.kubernetes.standin.api import Api
from tests.kubernetes.standin.calls import Call
from tests.kubernetes.standin.claims import ClaimController
from tests.kubernetes.standin.collector import Collector
from tests.kubernetes.standin.controller import SandboxController
from tests.kubernetes.standin.faults import Faults
from tests.kubernetes.standin.kubelet import Kubelet
from tests.kubernetes.standin.pools import PoolController
from tests.kubernetes.standin.quotas import Quotas
from tests.kubernetes.standin.resources import BY_PLURAL, NAMESPACES, QUOTAS
from tests.kubernetes.standin.server import ADDRESS, ApiServer
from tests.kubernetes.standin.statuses import Object
from tests.kubernetes.standin.store import Store
from tests.kubernetes.standin.tls import Authority

NAMESPACE = "default"
ADMIN = "admin"

T = TypeVar("T")


class StandIn:
    """A cluster of one node for tests. Use it as a context manager.

    Its methods may be called from any thread but its own. ``faults``, ``kubelet.times``,
    ``kubelet.choose``, ``quotas``, ``collector``, ``claims.queue`` and ``server.bookmark_seconds``
    are plain settings, read when they are needed.
    """

    namespace = NAMESPACE

    def __init__(self, *, namespaces: tuple[str, ...] = (NAMESPACE,)) -> None:
        self.faults = Faults()
        self.store = Store()
        self.quotas = Quotas(self.store)
        self.api = Api(self.store, self.quotas)
        self._access = Access()
        self._namespaces = namespaces
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-in", daemon=True)
        self._folder = tempfile.TemporaryDirectory(prefix="lap-stand-in-")
        authority = Authority(Path(self._folder.name))
        self.ca_file = authority.file
        self._context = authority.server_context()

    def __enter__(self) -> StandIn:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._folder.cleanup()

    @property
    def url(self) -> str:
        return f"https://{ADDRESS}:{self.server.port}"

    @property
    def calls(self) -> list[Call]:
        """Every request so far, oldest first."""
        return list(self.server.calls)

    def token(self, user: str = ADMIN, rules: Rules | None = None) -> str:
        """A user's bearer token. ``rules`` are those of a Role; a user without may do all."""
        return self._access.token(user, rules)

    def kubeconfig(
        self, path: Path, user: str = ADMIN, *, namespace: str = NAMESPACE, token: str = ""
    ) -> Path:
        """Write one for that user (with another token, if given) and return its path."""
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        context = {"cluster": "stand-in", "user": user, "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stand-in", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token or self.token(user)}}],
            "contexts": [{"name": "stand-in", "context": context}],
            "current-context": "stand-in",
        }
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    def objects(self, plural: str, namespace: str = NAMESPACE) -> list[Object]:
        """Copies of all of that kind, by name."""
        resource = BY_PLURAL[plural]
        return self.call(lambda: copy.deepcopy(self.store.all_of(resource, namespace)))

    def object(self, plural: str, name: str, namespace: str = NAMESPACE) -> Object | None:
        """A copy of it, if it is there."""
        resource = BY_PLURAL[plural]
        return self.call(lambda: copy.deepcopy(self.store.find(resource, namespace, name)))

    def create(self, plural: str, obj: Object, namespace: str = NAMESPACE) -> Object:
        """As the cluster's administrator, without HTTP. Raises ApiError."""
        resource = BY_PLURAL[plural]
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        return self.call(lambda: self.api.create(resource, namespace, whole))

    def patch(self, plural: str, name: str, patch: Object, namespace: str = NAMESPACE) -> Object:
        """A merge patch; of the status, too."""
        resource = BY_PLURAL[plural]
        return self.call(
            lambda: self.api.patch(
                resource, namespace, name, patch, subresource="status" if "status" in patch else ""
            )
        )

    def delete(self, plural: str, name: str, namespace: str = NAMESPACE) -> Object:
        """In the background way."""
        resource = BY_PLURAL[plural]
        return self.call(lambda: self.api.delete(resource, namespace, name, {}))

    def quota(self, name: str = "quota", **hard: int | str) -> Object:
        """Limit counts: ``quota(pods=3)``, ``quota(**{"count/sandboxes.agents.x-k8s.io": 3})``."""
        limits = {item: str(limit) for item, limit in hard.items()}
        return self.create(QUOTAS.plural, {"metadata": {"name": name}, "spec": {"hard": limits}})

    def oom(self, pod: str, namespace: str = NAMESPACE) -> None:
        """A running pod needs more memory than it may have."""
        self._run(self.kubelet.oom(namespace, pod))

    def exit(self, pod: str, code: int = 1, namespace: str = NAMESPACE) -> None:
        """A running pod's container ends."""
        self._run(self.kubelet.exit(namespace, pod, code))

    def evict(self, pod: str, namespace: str = NAMESPACE) -> None:
        """A running pod is evicted."""
        self._run(self.kubelet.evict(namespace, pod))

    def unready(self, pod: str, namespace: str = NAMESPACE) -> None:
        """A running pod's readiness probe fails."""
        self._run(self.kubelet.unready(namespace, pod))

    def forget_history(self) -> None:
        """Watches that begin at an older version get 410, continue tokens too."""
        self.call(self.store.forget_history)
        self.call(self.server.lists.expire)

    def cut_watches(self) -> int:
        """Cut every watch's connection; how many there were."""
        return self.call(self.server.cut_watches)

    def uninstall(self, *groups: str) -> None:
        """As if the definitions of these groups had never been applied."""
        self.server.unserved_groups |= set(groups)

    def refuse_connections(self) -> None:
        """A complete outage, until ``accept_connections``."""
        self._run(self.server.shut())

    def accept_connections(self) -> None:
        """The same address answers again."""
        self._run(self.server.open())

    @contextmanager
    def outage(self) -> Iterator[None]:
        """No connection is taken meanwhile."""
        self.refuse_connections()
        try:
            yield
        finally:
            self.accept_connections()

    def call(self, work: Callable[[], T]) -> T:
        """Do it in the stand-in's thread and return the result."""

        async def do() -> T:
            return work()

        return self._run(do())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        for namespace in self._namespaces:
            self.store.create(NAMESPACES, "", {"metadata": {"name": namespace}})
        self.collector = Collector(self.api)
        self.sandboxes = SandboxController(self.api)
        self.pools = PoolController(self.api)
        self.claims = ClaimController(self.api)
        self.kubelet = Kubelet(self.api, Path(self._folder.name))
        self.server = ApiServer(
            self.api, self._access, self.faults, self.kubelet.log_of, self._context
        )
        await self.server.start()

    async def _stop(self) -> None:
        await self.server.stop()
        await self.kubelet.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._abort_connections()

    async def _abort_connections(self) -> None:
        """Also those in the middle of a handshake, which no server knows of yet."""
        for transport in list(self._loop._transports.values()):  # type: ignore[attr-defined]
            transport.abort()
        for _ in range(3):  # each transport closes its socket one turn later
            await asyncio.sleep(0)
