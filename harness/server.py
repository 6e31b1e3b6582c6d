"""The listening socket: one thread per connection, one request per connection."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import sys
from typing import TYPE_CHECKING, Any

from harness.connections import Connections
from harness.handler import Handler

if TYPE_CHECKING:
    from harness.events import Hub
    from harness.process import Children
    from harness.store import Store

log = logging.getLogger("harness")

FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: 33\r\n\r\n"
    b'{"error": "too many connections"}'
)


class HarnessServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens as soon as it exists.

    Not ``HTTPServer``: that one looks its own name up, which can hang without a name server.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], *, token: str, store: Store, hub: Hub, children: Children
    ) -> None:
        self.token = token
        self.store = store
        self.hub = hub
        self.connections = Connections()
        self._children = children
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, Handler)

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self.socket.getsockname()[1]
        return port

    def stop(self, seconds: float, flush_seconds: float) -> None:
        """End all turns and streams and let the callers have their answers; exit after this."""
        if not self.store.close(seconds):
            log.warning("a turn did not end in time")
        self.hub.close()
        self.connections.wait_until_none(flush_seconds)
        self._children.reap_orphans()

    def service_actions(self) -> None:
        """Twice a second."""
        self.connections.end_strangers()
        self._children.reap_orphans()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, if there is a place."""
        if self.connections.admit(request):
            super().process_request(request, client_address)
            return
        with contextlib.suppress(OSError):
            request.send(FULL, socket.MSG_DONTWAIT)
        self.shutdown_request(request)

    def close_request(self, request: Any) -> None:
        """Also gives the place back."""
        self.connections.release(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that went away is no news; anything else is a bug of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            log.exception("a connection failed")
