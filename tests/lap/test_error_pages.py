"""Errors outside of every view: JSON below ``/api/``, a page elsewhere."""

from __future__ import annotations

import json

import pytest
from django.test import RequestFactory

from lap.error_pages import server_error


@pytest.mark.parametrize("path", ["/api/v1/managed_agents/agents", "/api/", "/api/v2/x"])
def test_the_api_answers_json(path: str) -> None:
    answer = server_error(RequestFactory().get(path))
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.content) == {"error": "internal error"}


def test_pages_stay_pages() -> None:
    answer = server_error(RequestFactory().get("/admin/"))
    assert (answer.status_code, answer.headers["Content-Type"][:9]) == (500, "text/html")
