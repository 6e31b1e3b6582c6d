"""Speaks to the HTTP server in a sandbox."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from sessions.harness_answers import parse, read_bounded
from sessions.harness_errors import HarnessError, HarnessRefused, HarnessUnreachable, is_refused
from sessions.messages import Message, is_message, split_model

CONNECT_TIMEOUT_SECONDS: Final = 10.0
OPEN_TIMEOUT_SECONDS: Final = 60.0
PROBE_TIMEOUT_SECONDS: Final = 3.0
THREAD_TIMEOUT_SECONDS: Final = 60.0
ABORT_TIMEOUT_SECONDS: Final = 5.0
LAST_ABORT_SECONDS: Final = 3.0
LAST_WORDS_SECONDS: Final = 2.0
RETRY_AFTER_SECONDS: Final = (2.0, 4.0)
PROBE_INTERVAL_SECONDS: Final = 0.05
REPLY_LIMIT_BYTES: Final = 8 * 1024 * 1024
THREAD_LIMIT_BYTES: Final = 16 * 1024 * 1024
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)


def http_client(**options: Any) -> httpx.AsyncClient:
    """A client for any number of harnesses.

    A proxy of the environment must not see what goes to sandboxes; and a cookie would go from one
    sandbox to the next, since those of one machine share its name.
    """
    nobody = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(trust_env=False, cookies=nobody, **options)


class Harness:
    """One sandbox's harness. Every call raises HarnessError or HarnessUnreachable."""

    def __init__(self, http: httpx.AsyncClient, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}

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
        if not isinstance(harness_session_id, str) or not _SESSION_ID.fullmatch(harness_session_id):
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
        if not is_message(answer):
            raise HarnessError("the harness sent an answer without parts")
        message: Message = answer
        return message

    async def thread(self, session_id: str) -> list[Message]:
        """Every message so far, oldest first. Network failures are retried twice."""
        path = f"/session/{session_id}/message"
        answer = await self._retried(
            "GET", path, None, THREAD_TIMEOUT_SECONDS, most=THREAD_LIMIT_BYTES
        )
        if not isinstance(answer, list) or not all(map(is_message, answer)):
            raise HarnessError("the harness sent a thread that is not a list of messages")
        return answer

    async def abort(self, session_id: str) -> None:
        """End the running turn, and those that wait. Not retried."""
        await self._call("POST", f"/session/{session_id}/abort", {}, ABORT_TIMEOUT_SECONDS)

    async def last_words(self, session_id: str) -> list[Message]:
        """The whole thread before the end. What still runs is ended first, so that it can say
        what it has; neither is waited for any longer than a caller would.
        """
        with suppress(HarnessError, HarnessUnreachable, TimeoutError):
            async with asyncio.timeout(LAST_ABORT_SECONDS):
                await self.abort(session_id)
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            return await self.thread(session_id)

    async def _answers(self) -> bool:
        url, limit = f"{self._url}/session", PROBE_TIMEOUT_SECONDS
        try:
            async with self._http.stream("GET", url, headers=self._headers, timeout=limit) as probe:
                return probe.status_code < 500
        except httpx.TransportError:
            return False

    async def _retried(self, *call: Any, **options: Any) -> Any:
        for pause in RETRY_AFTER_SECONDS:
            try:
                return await self._call(*call, **options)
            except HarnessUnreachable:
                await asyncio.sleep(pause)
        return await self._call(*call, **options)

    async def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        limit: float | None,
        *,
        most: int = REPLY_LIMIT_BYTES,
    ) -> Any:
        try:
            async with asyncio.timeout(limit):
                status, content = await self._fetch(method, path, body, most)
        except TimeoutError:
            raise HarnessUnreachable(f"the harness did not answer within {limit:g} s") from None
        except httpx.TransportError as error:
            unreachable = HarnessRefused if is_refused(error) else HarnessUnreachable
            raise unreachable(f"the harness cannot be reached: {error!r}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HarnessError(f"the harness cannot be spoken to: {error!r}") from error
        # In a thread, because a large answer would keep the event loop from its heartbeat.
        return await asyncio.to_thread(parse, status, content)

    async def _fetch(
        self, method: str, path: str, body: Mapping[str, Any] | None, most: int
    ) -> tuple[int, bytes]:
        request = self._http.build_request(
            method,
            self._url + path,
            json=body,
            headers=self._headers,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_SECONDS),
        )
        response = await self._http.send(request, stream=True)
        try:
            return response.status_code, await read_bounded(response, most)
        finally:
            await response.aclose()
