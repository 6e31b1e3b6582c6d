"""What can go wrong between LAP and a harness."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Final

import httpx

_GONE: Final = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}


class HarnessError(Exception):
    """The harness answered, but not with what was asked for."""


class HarnessSessionLost(HarnessError):
    """The harness runs, but does not know the session any more."""


class HarnessUnreachable(Exception):
    """No answer came: the connection failed or broke."""


class HarnessRefused(HarnessUnreachable):
    """No connection could be made: nobody listens there any more."""


def is_refused(error: BaseException) -> bool:
    """Whether the other side is to blame: running out of files or ports ourselves is not."""
    return isinstance(error, httpx.ConnectTimeout) or any(
        isinstance(cause, socket.gaierror) or getattr(cause, "errno", None) in _GONE
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        for inner in getattr(error, "exceptions", ()):
            yield from _causes(inner)
        error = error.__cause__ or error.__context__
