"""The protocol's calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import ClientGoneError, HttpError, not_found
from harness.messages import parse_message
from harness.opening import parse_opening

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.events import Hub
    from harness.session import Session
    from harness.store import Store
    from harness.turn import Turn

ABORT_SECONDS = 4.0
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Call:
    """A checked request. A route returns what is to be answered as JSON; None means 204."""

    store: Store
    hub: Hub
    session_id: str
    body: dict[str, Any]
    size: int
    is_gone: Callable[[], bool]

    @property
    def session(self) -> Session:
        """The session that the path names; raises the 404."""
        return self.store.get(self.session_id)


Route = Callable[[Call], Any]


def list_sessions(call: Call) -> list[dict[str, Any]]:
    """GET /session."""
    return call.store.list()


def create_session(call: Call) -> dict[str, Any]:
    """POST /session."""
    return call.store.create(parse_opening(call.body)).as_dict()


def delete_session(call: Call) -> bool:
    """DELETE /session/{id}."""
    call.store.delete(call.session_id)
    return True


def read_thread(call: Call) -> list[dict[str, Any]]:
    """GET /session/{id}/message."""
    return call.session.thread()


def send_message(call: Call) -> dict[str, Any] | None:
    """POST /session/{id}/message: the reply, when the turn has ended.

    The turn does not depend on the caller: when it goes away, only this waiting ends.
    """
    turn = _submit(call)
    while not turn.wait(POLL_SECONDS):
        if call.is_gone():
            raise ClientGoneError
    return turn.reply


def prompt_async(call: Call) -> None:
    """POST /session/{id}/prompt_async."""
    _submit(call)


def abort(call: Call) -> bool:
    """POST /session/{id}/abort: ends what runs and what waits."""
    return call.session.abort("aborted", ABORT_SECONDS)


def stream_events(call: Call) -> Generator[bytes, None, None]:
    """GET /event."""
    return call.hub.stream(call.is_gone)


def _submit(call: Call) -> Turn:
    session = call.session
    return session.submit(parse_message(call.body, call.size))


ROUTES: dict[str, dict[str, Route]] = {
    r"/session": {"GET": list_sessions, "POST": create_session},
    r"/session/(?P<id>[^/]+)": {"DELETE": delete_session},
    r"/session/(?P<id>[^/]+)/message": {"GET": read_thread, "POST": send_message},
    r"/session/(?P<id>[^/]+)/prompt_async": {"POST": prompt_async},
    r"/session/(?P<id>[^/]+)/abort": {"POST": abort},
    r"/event": {"GET": stream_events},
}


def find_route(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route and what its path names; raises 404 or 405."""
    for pattern, methods in ROUTES.items():
        match = re.fullmatch(pattern, path)
        if match and method in methods:
            return methods[method], match.groupdict()
        if match:
            raise HttpError(405, "method not allowed", {"Allow": ", ".join(sorted(methods))})
    raise not_found()
