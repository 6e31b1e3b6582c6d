"""The harness of a running pod: this repository's own, in threads of this process.

One thread accepts for all of them, so that a pod that is idle costs nothing.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.engines.shell import ShellEngine
from harness.events import Hub
from harness.process import Children, signal_group
from harness.server import HarnessServer
from harness.store import Store

STOP_SECONDS = 5.0
FLUSH_SECONDS = 1.0
HEARTBEAT_SECONDS = 10.0
TOKEN = "HARNESS_AUTH_TOKEN"
ADDRESS = "127.0.0.1"


class _Children(Children):
    """Of a process that has children of others, too: those are not reaped."""

    def reap_orphans(self) -> None:
        """Whatever a script leaves behind goes to process 1."""

    def kill(self) -> None:
        with self._lock:
            for pid in self._own:
                signal_group(pid, signal.SIGKILL)


class _Engine(ShellEngine):
    def __init__(self, workdir: Path, children: Children, environment: dict[str, str]) -> None:
        super().__init__(workdir, children)
        self._environment = environment


class _Server(HarnessServer):
    """Knows its open connections, to be able to cut them."""

    timeout = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*arguments, **options)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._open.discard(request)
        super().close_request(request)

    def cut(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Harness:
    """One pod's. Listens as soon as it exists, on ``port`` or on any."""

    def __init__(
        self, environment: dict[str, str], port: int, folder: Path, acceptor: Acceptor
    ) -> None:
        self.workdir = Path(tempfile.mkdtemp(prefix="pod-", dir=folder))
        self._children = _Children()
        self._acceptor = acceptor
        try:
            self._server = self._serve(environment, port)
        except OSError:
            shutil.rmtree(self.workdir)
            raise
        self.port = self._server.port
        acceptor.add(self._server)

    def _serve(self, environment: dict[str, str], port: int) -> _Server:
        shown = {"PATH": os.environ["PATH"], "HOME": str(self.workdir), **environment}
        token = shown.pop(TOKEN)
        engine = _Engine(self.workdir, self._children, shown)
        hub = Hub(HEARTBEAT_SECONDS)
        store = Store(engine, hub, self.workdir)
        address = (ADDRESS, port)
        return _Server(address, token=token, store=store, hub=hub, children=self._children)

    def stop(self) -> None:
        """As on SIGTERM: callers get their answers. Blocks for seconds at most."""
        self._acceptor.remove(self._server)
        self._server.stop(STOP_SECONDS, FLUSH_SECONDS)
        self._end()

    def kill(self) -> None:
        """As on SIGKILL: connections are cut."""
        self._acceptor.remove(self._server)
        self._server.cut()
        self._children.kill()
        self._server.store.close(0)
        self._end()

    def _end(self) -> None:
        self._children.kill()
        self._server.cut()
        shutil.rmtree(self.workdir, ignore_errors=True)


class Acceptor:
    """Accepts for every harness, in one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._bell, self._rope = socket.socketpair()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._work, name="harnesses", daemon=True)
        self._thread.start()

    def add(self, server: _Server) -> None:
        with self._lock:
            self._selector.register(server.socket, selectors.EVENT_READ, server)

    def remove(self, server: _Server) -> None:
        """It does not listen any more when this returns."""
        with self._lock:
            with suppress(KeyError, ValueError):
                self._selector.unregister(server.socket)
            server.server_close()

    def close(self) -> None:
        self._rope.close()
        self._thread.join()
        self._selector.close()
        self._bell.close()

    def _work(self) -> None:
        while True:
            ready = [key for key, _ in self._selector.select()]
            if any(key.fileobj is self._bell for key in ready):
                return
            with self._lock:
                for key in ready:
                    if key.data.fileno() >= 0:
                        key.data.handle_request()
