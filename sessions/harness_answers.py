"""Reads what a harness answers: bounded, JSON, and fit to be stored."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

import httpx

from lap.core.text import finite, storable
from sessions.harness_errors import HarnessError, HarnessSessionLost

CONTAINERS_LIMIT: Final = 200_000
VALUES_LIMIT: Final = 2_000_000
"""Of one answer: small values take far more memory than their text, and time to read."""
_NOT_FOUND: Final = re.compile(r'\s*\{\s*"error"\s*:\s*"not found"\s*\}\s*')


async def read_bounded(response: httpx.Response, most: int) -> bytes:
    """The body as it was sent: a compressed one might be small and unfold without end."""
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > most:
            raise HarnessError(f"the harness sent more than {most} bytes")
    return bytes(content)


def parse(status: int, content: bytes) -> Any:
    """The JSON of a good answer, fit to be stored."""
    if status >= 400:
        detail = content[:500].decode("utf-8", "replace")
        is_lost = status == 404 and _NOT_FOUND.fullmatch(detail)
        error = HarnessSessionLost if is_lost else HarnessError
        raise error(f"the harness answered {status}: {detail}")
    containers = content.count(b"{") + content.count(b"[")
    if containers > CONTAINERS_LIMIT or content.count(b",") > VALUES_LIMIT:
        raise HarnessError("the harness answered with too many values")
    try:
        return storable(json.loads(content, parse_constant=_refuse, parse_float=finite))
    except (ValueError, RecursionError):
        raise HarnessSessionLost("the harness answered with something that is not JSON") from None


def _refuse(constant: str) -> NoReturn:
    """NaN and Infinity are not JSON, and ``jsonb`` refuses them."""
    raise ValueError(constant)
