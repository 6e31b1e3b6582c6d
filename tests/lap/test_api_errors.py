"""What callers are told when something is wrong, whatever the route."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from agents.models import Agent
from tests.api import AGENTS, NOBODY, SESSIONS, Api

ROUTES = [
    ("GET", AGENTS),
    ("POST", AGENTS),
    ("GET", f"{AGENTS}/{NOBODY}"),
    ("PATCH", f"{AGENTS}/{NOBODY}"),
    ("DELETE", f"{AGENTS}/{NOBODY}"),
    ("POST", f"{AGENTS}/{NOBODY}/session"),
    ("GET", f"{AGENTS}/{NOBODY}/cron/fires"),
    ("GET", SESSIONS),
    ("GET", f"{SESSIONS}/{NOBODY}"),
    ("DELETE", f"{SESSIONS}/{NOBODY}"),
    ("POST", f"{SESSIONS}/{NOBODY}/stop"),
    ("POST", "/cron/preview"),
]
BODIED = [route for route in ROUTES if route[0] in ("POST", "PATCH") and "stop" not in route[1]]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", "Bearer wrong", "Bearer {key}x", "Bearer {key} {key}",
        "Basic {key}", "{key}", "Bearer é",
    ],
)  # fmt: skip
def test_without_the_key_nobody_gets_in(
    api: Api, settings: Settings, method: str, path: str, header: str | None
) -> None:
    headers: dict[str, Any] = {}
    if header is not None:
        headers["Authorization"] = header.format(key=api.key)
    answer = Api.anonymous()(method, path, **headers)
    assert (answer.status, answer.body) == (401, {"error": "unauthorized"})
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_scheme_is_read_in_any_case(api: Api) -> None:
    caller = Api.anonymous()
    for header in (f"bearer {api.key}", f"BEARER   {api.key} "):
        assert caller.get(AGENTS, Authorization=header).status == 200


@pytest.mark.parametrize("sent", ["", "Bearer ", "Bearer", "Bearer x"])
def test_while_no_key_is_configured_nobody_gets_in(api: Api, settings: Settings, sent: str) -> None:
    settings.LAP_MASTER_KEY = ""
    assert Api.anonymous().get(AGENTS, Authorization=sent).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/nothing", f"{AGENTS}/", f"{AGENTS}/{NOBODY}/", f"{AGENTS}/{NOBODY}/cron",
        f"{AGENTS}/{NOBODY}/cron/backfill", f"{SESSIONS}/{NOBODY}/prompt", "/admin", "/health",
        "/cron/preview/x", "/api", "/api/", "/api/v2/x", "/api//x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_unknown_routes(api: Api, method: str, path: str) -> None:
    answer = api(method, path)
    assert (answer.status, answer.body) == (404, {"error": "not found"})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", AGENTS, "GET, HEAD, POST"),
        ("DELETE", AGENTS, "GET, HEAD, POST"),
        ("OPTIONS", AGENTS, "GET, HEAD, POST"),
        ("POST", f"{AGENTS}/{NOBODY}", "GET, HEAD, PATCH, DELETE"),
        ("GET", f"{AGENTS}/{NOBODY}/session", "POST"),
        ("PATCH", f"{SESSIONS}/{NOBODY}", "GET, HEAD, DELETE"),
        ("GET", f"{SESSIONS}/{NOBODY}/stop", "POST"),
        ("GET", "/cron/preview", "POST"),
        ("TRACE", SESSIONS, "GET, HEAD"),
    ],
)
def test_wrong_methods(api: Api, method: str, path: str, allowed: str) -> None:
    answer = api(method, path)
    assert answer.status == 405
    assert answer.error == f'Method "{method}" not allowed.'
    assert answer.headers["Allow"] == allowed


DEEP = b'{"model": "m", "tools": ' + b"[" * 33 + b"]" * 33 + b"}"


@pytest.mark.parametrize(("method", "path"), BODIED)
@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{", "malformed JSON"),
        (b'{"model": }', "malformed JSON"),
        (b"{'model': 'm'}", "malformed JSON"),
        (b'{"model": "m"} x', "malformed JSON"),
        (b'{"model": "m\n"}', "malformed JSON"),
        (b"\xff\xfe{\0}\0", "not UTF-8"),
        (b'\xef\xbb\xbf{"model": "m"}', "malformed JSON"),
        (b'{"model": NaN}', "NaN is not a JSON value"),
        (b'{"model": "m", "tools": [-Infinity]}', "-Infinity is not a JSON value"),
        (b'{"model": "m", "tools": [1e999]}', "too large"),
        (b'{"model": "m", "tools": [' + b"9" * 5000 + b"]}", "too large"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"5", "must be a JSON object"),
        (b"null", "must be"),
        (b"false", "must be a JSON object"),
        (DEEP, "at most 32 levels"),
        (b'{"tools": ' + b"[" * 100_000, "at most 32 levels"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "at most 32 levels"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_malformed_bodies(api: Api, method: str, path: str, raw: bytes, says: str) -> None:
    answer = api(method, path, raw=raw)
    assert answer.status == 400
    assert says in answer.error
    assert not Agent.objects.exists()


@pytest.mark.parametrize(("method", "path"), BODIED)
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"],
)
def test_other_content_types(api: Api, method: str, path: str, content_type: str) -> None:
    answer = api(method, path, raw=b"model=m", content_type=content_type)
    assert answer.status == 415
    assert "must be JSON" in answer.error
    assert not Agent.objects.exists()


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/merge-patch+json", ""]
)
def test_json_by_its_other_names(api: Api, content_type: str) -> None:
    assert api.post(AGENTS, {"model": "m"}, content_type=content_type).status == 200


def test_too_large_bodies(api: Api) -> None:
    padding = b'{"model": "m", "x": "' + b"x" * (256 * 1024) + b'"}'
    answer = api("POST", AGENTS, raw=padding)
    assert (answer.status, answer.error) == (413, "the body is larger than 262144 bytes")
    answer = api("POST", f"{AGENTS}/{NOBODY}/session", raw=b" " * (28 * 1024 * 1024 + 1))
    assert answer.status == 413
    assert not Agent.objects.exists()


def test_it_answers_json_whatever_is_accepted(api: Api) -> None:
    assert api.get(AGENTS, Accept="text/html").status == 200
    assert api.get(f"{AGENTS}?format=xml").status == 200


def test_an_unforeseen_error_is_told_to_the_log_only(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with connection.cursor() as cursor:  # undone with the test's transaction
        cursor.execute("ALTER TABLE agents_agent RENAME COLUMN pfp_url TO elsewhere")
    with caplog.at_level(logging.ERROR):
        answer = api.get(f"{AGENTS}/{NOBODY}")
    assert (answer.status, answer.body) == (500, {"error": "internal error"})
    record = next(r for r in caplog.records if r.name == "lap.core.api.errors")
    assert NOBODY in record.getMessage()
    assert record.exc_info
    assert "pfp_url" in str(record.exc_info[1])
