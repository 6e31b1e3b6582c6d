"""Speaks to the HTTP server in a sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import httpx

from lap.core.text import storable

Message = dict[str, Any]

OPEN_TIMEOUT_SECONDS: Final = 60.0
PROBE_TIMEOUT_SECONDS: Final = 3.0
THREAD_TIMEOUT_SECONDS: Final = 60.0
ABORT_TIMEOUT_SECONDS: Final = 5.0
RETRY_AFTER_SECONDS: Final = (2.0, 4.0)
PROBE_INTERVAL_SECONDS: Final = 0.05
REPLY_LIMIT_BYTES: Final = 8 * 1024 * 1024
SESSION_ID_LIMIT: Final = 200


class HarnessError(Exception):
    """The harness answered, but not with what was asked for."""


class HarnessUnreachable(Exception):
    """No answer came: the connection failed or broke."""


class Harness:
    """One sandbox's harness. Every call raises HarnessError or HarnessUnreachable."""

    def __init__(self, http: httpx.AsyncClient, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def wait_ready(self) -> None:
        """Probe until the server answers with a status below 500; the caller limits the time."""
        while not await self._answers():
            await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def open_session(self, title: str, **details: Any) -> str:
        """Open a session in the harness; its id. Network failures are retried twice."""
        body = {"title": title or "default", "files": [], **details}
        answer = await self._retried("POST", "/session", body, OPEN_TIMEOUT_SECONDS)
        opened = answer[0] if isinstance(answer, list) and answer else answer
        harness_session_id = opened.get("id") if isinstance(opened, dict) else None
        if not isinstance(harness_session_id, str) or len(harness_session_id) > SESSION_ID_LIMIT:
            raise HarnessError("the harness opened a session without a usable id")
        return harness_session_id

    async def send_message(
        self, session_id: str, message_id: str, model: str, parts: Sequence[Message]
    ) -> Message:
        """Send one message and wait for its answer ``{info, parts}``; never retried here.

        Waits as long as the caller lets it: a turn may take as long as the run's own limit.
        """
        body = {"messageID": message_id, "model": split_model(model), "parts": list(parts)}
        answer = await self._call("POST", f"/session/{session_id}/message", body, None)
        if not isinstance(answer, dict) or not isinstance(answer.get("parts"), list):
            raise HarnessError("the harness sent an answer without parts")
        return answer

    async def thread(self, session_id: str) -> list[Message]:
        """Every message so far, oldest first. Network failures are retried twice."""
        path = f"/session/{session_id}/message"
        answer = await self._retried("GET", path, None, THREAD_TIMEOUT_SECONDS)
        if not isinstance(answer, list):
            raise HarnessError("the harness sent a thread that is not a list")
        return answer

    async def _answers(self) -> bool:
        url, limit = f"{self._url}/session", PROBE_TIMEOUT_SECONDS
        try:
            async with self._http.stream("GET", url, headers=self._headers, timeout=limit) as probe:
                return probe.status_code < 500
        except httpx.TransportError:
            return False

    async def _retried(
        self, method: str, path: str, body: Mapping[str, Any] | None, limit: float
    ) -> Any:
        for pause in RETRY_AFTER_SECONDS:
            try:
                return await self._call(method, path, body, limit)
            except HarnessUnreachable:
                await asyncio.sleep(pause)
        return await self._call(method, path, body, limit)

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None, limit: float | None
    ) -> Any:
        timeout = httpx.Timeout(limit, connect=10.0)
        request = self._http.build_request(
            method, self._url + path, json=body, headers=self._headers, timeout=timeout
        )
        try:
            response = await self._http.send(request, stream=True)
            try:
                content = await _bounded(response)
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise HarnessUnreachable(f"the harness cannot be reached: {error!r}") from error
        # In a thread, because a large answer would keep the event loop from its heartbeat.
        return await asyncio.to_thread(_parse, response.status_code, content)


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > REPLY_LIMIT_BYTES:
            raise HarnessError(f"the harness sent more than {REPLY_LIMIT_BYTES} bytes")
    return bytes(content)


def _parse(status: int, content: bytes) -> Any:
    """The JSON of a good answer, fit to be stored."""
    if status >= 400:
        detail = content[:500].decode("utf-8", "replace")
        raise HarnessError(f"the harness answered {status}: {detail}")
    try:
        return storable(json.loads(content, parse_constant=_refuse))
    except (ValueError, RecursionError):
        raise HarnessError("the harness answered with something that is not JSON") from None


def _refuse(constant: str) -> NoReturn:
    """NaN and Infinity are not JSON, and ``jsonb`` refuses them."""
    raise ValueError(constant)


def split_model(model: str) -> dict[str, str]:
    """``a/b`` is provider a, model b; a bare name belongs to litellm."""
    provider, _, name = model.rpartition("/")
    return {"providerID": provider or "litellm", "modelID": name}


def text_of(message: Message) -> str:
    """The text parts of a message, joined."""
    texts = (part.get("text") for part in message["parts"] if part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def error_of(message: Message) -> str | None:
    """What a turn failed with, from ``info.error``; None when it went well."""
    error = message.get("info", {}).get("error")
    if not error:
        return None
    data = error.get("data") if isinstance(error, dict) else None
    detail = data.get("message") if isinstance(data, dict) else None
    return str(detail or (error.get("name") if isinstance(error, dict) else error))
