"""Arguments, environment, start and stop."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from harness import process
from harness.engines import ENGINES, create_engine
from harness.events import Hub
from harness.server import HarnessServer
from harness.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("harness")

TOKEN_VARIABLE = "HARNESS_AUTH_TOKEN"  # noqa: S105 - the variable's name, not its value
DEFAULT_PORT = 4096
HEARTBEAT_SECONDS = 10.0
STOP_SECONDS = 5.0
FLUSH_SECONDS = 1.0


class ConfigurationError(Exception):
    """The harness cannot start; the message is the sentence to show."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status; 2 means bad configuration."""
    options = _parse(argv)
    _log_to_stderr()
    try:
        stop = _on_signal()
        server = _build(options)
        _listen(server, options.port_file)
    except ConfigurationError as error:
        sys.stderr.write(f"harness: {error}\n")
        return 2
    stop.recv(1)
    log.info("stopping")
    server.stop(STOP_SECONDS, FLUSH_SECONDS)
    if options.port_file:
        options.port_file.unlink(missing_ok=True)
    logging.shutdown()
    # Handler threads may still be inside a write: do not wait for them, do not let them crash.
    os._exit(0)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="harness", description="The built-in harness server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port-file", type=Path, help="write the port here once listening")
    parser.add_argument("--workdir", type=Path, default=Path(), help="where scripts run")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="shell")
    parser.add_argument("--heartbeat-seconds", type=float, default=HEARTBEAT_SECONDS)
    return parser.parse_args(argv)


def _log_to_stderr() -> None:
    logging.raiseExceptions = False
    form = "%(asctime)s %(levelname)s harness %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form)


def _build(options: argparse.Namespace) -> HarnessServer:
    token = _take_token()
    process.hide_from_scripts()
    process.adopt_orphans()
    children = process.Children()
    hub = Hub(options.heartbeat_seconds)
    workdir = _workdir(options.workdir)
    store = Store(create_engine(options.engine, workdir, children), hub, workdir)
    address = (options.host, _port())
    try:
        return HarnessServer(address, token=token, store=store, hub=hub, children=children)
    except OSError as error:
        message = f"cannot listen on {address[0]}:{address[1]}: {error.strerror or error}"
        raise ConfigurationError(message) from error


def _take_token() -> str:
    """The bearer token, removed from the environment so that no script inherits it."""
    token = os.environ.pop(TOKEN_VARIABLE, "")
    if not token.strip():
        raise ConfigurationError(f"set {TOKEN_VARIABLE}: every request must carry it.")
    return token.strip()


def _port() -> int:
    text = os.environ.get("PORT") or str(DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise ConfigurationError(f"PORT must be a number from 0 to 65535, not {text!r}.")
    return int(text)


def _workdir(path: Path) -> Path:
    if not path.is_dir():
        raise ConfigurationError(f"the work directory {str(path)!r} is not a directory.")
    return path.resolve()


def _on_signal() -> socket.socket:
    """A socket that becomes readable at the first SIGTERM or SIGINT.

    Not an Event set by the handler: a signal that arrives just before the wait would be
    noticed only after it, and one inside it could find the Event's lock held by itself.
    """
    bell, rope = socket.socketpair()
    rope.setblocking(False)
    signal.set_wakeup_fd(rope.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return bell


def _listen(server: HarnessServer, port_file: Path | None) -> None:
    threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    log.info("listening on %s:%d", server.server_address[0], server.port)
    if port_file:
        try:
            _write_port(port_file, server.port)
        except OSError as error:
            raise ConfigurationError(f"cannot write {port_file}: {error.strerror}") from error


def _write_port(path: Path, port: int) -> None:
    """Atomically: a reader sees no file or the whole number."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(f"{port}\n", encoding="ascii")
    temporary.replace(path)
