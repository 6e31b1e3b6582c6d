"""A caller of the API, as its clients see it: JSON in, status and JSON out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.test import Client

from scheduler.cron import CronError, parse

DATA = Path(__file__).parent / "scheduler" / "data"
AGENTS = "/managed_agents/agents"
SESSIONS = "/managed_agents/sessions"
NOBODY = "00000000-0000-4000-8000-000000000000"


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any

    @property
    def error(self) -> Any:
        return self.body["error"]


class Api:
    """Calls routes below ``/api/v1`` with the master key."""

    def __init__(self) -> None:
        self._client = Client(raise_request_exception=False)
        self.key = settings.LAP_MASTER_KEY
        self._headers = {"Authorization": f"Bearer {self.key}"}

    @classmethod
    def anonymous(cls) -> Api:
        """A caller that says who it is by itself, or does not."""
        caller = cls()
        caller._headers = {}
        return caller

    def __call__(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: Any
    ) -> Answer:
        """Send ``body`` as JSON, or ``raw`` bytes as they are; ``If_Match=…`` is a header."""
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        content_type = headers.pop("content_type", "application/json")
        response = self._client.generic(
            method,
            path if path.startswith("/api") else f"/api/v1{path}",
            sent,
            content_type,
            headers=self._headers
            | {name.replace("_", "-"): value for name, value in headers.items()},
        )
        assert response.headers.get("Content-Type", "application/json") == "application/json"
        return Answer(
            response.status_code,
            json.loads(response.content) if response.content else None,
            response.headers,
        )

    def get(self, path: str, **headers: Any) -> Answer:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: Any) -> Answer:
        return self("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: Any) -> Answer:
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: Any) -> Answer:
        return self("DELETE", path, **headers)

    def pages(self, path: str) -> Iterator[list[Any]]:
        """Follow ``Link: <…>; rel="next"`` to the end."""
        while path:
            answer = self.get(path)
            assert answer.status == 200, answer
            yield answer.body
            link = answer.headers.get("Link", "")
            assert not link or link.endswith('>; rel="next"')
            path = link[1:].partition(">")[0].replace("http://testserver", "")


def invalid_pairs() -> list[tuple[str, str]]:
    """The public invalid pairs, but for empty and blank expressions, which clear."""
    rows = json.loads((DATA / "invalid_public.json").read_text())
    return [(row["expr"], row["tz"]) for row in rows if row["expr"].strip()]


def sentence_of(expression: Any, timezone: Any) -> str:
    """The one sentence for a pair that cannot run."""
    with pytest.raises(CronError) as caught:
        parse(expression, timezone)
    return str(caught.value)
