"""The API's own description: true, complete, up to date, and shown without anybody's help."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from lap.urls import api as routes

SCHEMA = "/api/v1/schema"
DOCS = "/api/v1/docs"
FILE = Path(settings.BASE_DIR, "docs", "openapi.yaml")
ASSET = re.compile(r"""(?:src|href)=["']([^"']+)""")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    described: dict[str, Any] = json.loads(Client().get(SCHEMA).content)
    return described


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_file_is_up_to_date() -> None:
    served = Client().get(SCHEMA, query_params={"format": "yaml"}).content.decode()
    assert served == FILE.read_text(), "docs/openapi.yaml is stale: run `make schema`"


def test_it_is_openapi_3_1_and_made_without_warnings(schema: dict[str, Any]) -> None:
    GENERATOR_STATS.reset()
    validate_schema(SchemaGenerator().get_schema(public=True))
    assert schema["openapi"].startswith("3.1.")
    assert not GENERATOR_STATS


def test_every_component_is_a_json_schema(schema: dict[str, Any]) -> None:
    for component in schema["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(component)


def test_every_route_is_there_with_every_method(schema: dict[str, Any]) -> None:
    expected = {
        ("/api/v1/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(route.pattern)), method.lower())
        for route in routes
        for method in route.callback.cls().allowed_methods  # type: ignore[attr-defined]
        if method != "HEAD"
    }
    assert {(path, method) for path, method, _ in operations(schema)} == expected


def test_operations_are_named_once(schema: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(names) == len(set(names))


def test_every_tag_is_explained(schema: dict[str, Any]) -> None:
    used = {tag for _, _, operation in operations(schema) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in schema["tags"]}


def test_every_route_but_two_takes_a_key(schema: dict[str, Any]) -> None:
    public = {path for path, _, operation in operations(schema) if not operation.get("security")}
    assert public == {SCHEMA, DOCS}


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/managed_agents/agents", "get", "200 401 429 500"),
        ("/managed_agents/agents", "post", "200 400 401 403 408 413 415 429 500"),
        (
            "/managed_agents/agents/{agent_id}",
            "patch",
            "200 400 401 403 404 408 412 413 415 429 500",
        ),
        ("/managed_agents/agents/{agent_id}", "delete", "204 401 403 404 412 429 500"),
        (
            "/managed_agents/agents/{agent_id}/session",
            "post",
            "200 400 401 403 404 408 409 413 415 429 500",
        ),
        ("/managed_agents/sessions", "get", "200 400 401 429 500"),
        ("/cron/preview", "post", "200 400 401 404 408 413 415 429 500"),
        ("/schema", "get", "200"),
    ],
)
def test_statuses(schema: dict[str, Any], path: str, method: str, statuses: str) -> None:
    operation = schema["paths"][f"/api/v1{path}"][method]
    assert sorted(operation["responses"]) == statuses.split()


@pytest.mark.parametrize(
    ("path", "method", "status", "header"),
    [
        ("/managed_agents/agents/{agent_id}", "get", "200", "ETag"),
        ("/managed_agents/agents/{agent_id}", "patch", "200", "ETag"),
        ("/managed_agents/sessions", "get", "200", "Link"),
        ("/managed_agents/agents/{agent_id}/cron/fires", "get", "200", "Link"),
        ("/managed_agents/agents", "get", "429", "Retry-After"),
        ("/managed_agents/agents", "get", "401", "WWW-Authenticate"),
    ],
)
def test_headers_of_answers(
    schema: dict[str, Any], path: str, method: str, status: str, header: str
) -> None:
    answer = schema["paths"][f"/api/v1{path}"][method]["responses"][status]
    if "$ref" in answer:
        answer = schema["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    assert header in answer["headers"]


@pytest.mark.parametrize(
    ("path", "method", "header"),
    [
        ("/managed_agents/agents/{agent_id}", "patch", "If-Match"),
        ("/managed_agents/agents/{agent_id}", "delete", "If-Match"),
        ("/managed_agents/agents/{agent_id}/session", "post", "Idempotency-Key"),
    ],
)
def test_headers_of_requests(schema: dict[str, Any], path: str, method: str, header: str) -> None:
    parameters = schema["paths"][f"/api/v1{path}"][method]["parameters"]
    assert ("header", header) in {(one["in"], one["name"]) for one in parameters}


def test_everything_with_a_body_has_a_true_example(schema: dict[str, Any]) -> None:
    count = 0
    for path, method, operation in operations(schema):
        if path in (SCHEMA, DOCS):
            continue
        for body in bodies(operation):
            content = body["content"]["application/json"]
            for example in [content["example"]] if "example" in content else examples(content):
                where = f"{operation['operationId']} ({method} {path})"
                is_valid(example, content["schema"], schema, where)
                count += 1
    assert count > 40


def bodies(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "requestBody" in operation:
        yield operation["requestBody"]
    for answer in operation["responses"].values():
        if "content" in answer:
            yield answer


def examples(content: dict[str, Any]) -> list[Any]:
    assert content.get("examples"), content["schema"]
    return [example["value"] for example in content["examples"].values()]


def is_valid(value: Any, described: dict[str, Any], schema: dict[str, Any], where: str) -> None:
    whole = {**described, "components": schema["components"]}
    validator = jsonschema.Draft202012Validator(
        whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert not [error.message for error in validator.iter_errors(value)], where


def test_answers_always_have_every_field(schema: dict[str, Any]) -> None:
    for name in ("Agent", "ListedAgent", "Session", "Fire"):
        component = schema["components"]["schemas"][name]
        assert sorted(component["required"]) == sorted(component["properties"])


@pytest.mark.parametrize(
    ("fields", "is_allowed"),
    [
        ({}, True),
        ({"cron_schedule": None}, True),
        ({"tools": None, "env_vars": {"A": "b"}}, True),
        ({"nonsense": 1}, True),
        ({"cron_tz": "UTC"}, False),
        ({"cron_next_fire_at": None}, False),
        ({"model": ""}, False),
        ({"model": " "}, False),
        ({"tools": {}}, False),
        ({"env_vars": {"PORT": "1"}}, False),
        ({"env_vars": {"A": 1}}, False),
        ({"harness_id": "vim"}, False),
        ({"cron_timezone": None}, False),
        ({"container_port": 0}, False),
    ],
)
def test_what_an_edit_may_hold(
    schema: dict[str, Any], fields: dict[str, Any], is_allowed: bool
) -> None:
    edit = schema["components"]["schemas"]["PatchedAgentRequest"]
    assert jsonschema.Draft202012Validator(edit).is_valid(fields) is is_allowed


@pytest.mark.parametrize("address", [SCHEMA, DOCS])
@pytest.mark.parametrize("header", [None, "Bearer wrong", "nonsense"])
def test_it_is_public(address: str, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    assert Client().get(address, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("", None, "application/json"),
        ("", "*/*", "application/json"),
        ("", "text/html", "application/json"),
        ("", "application/yaml", "application/yaml"),
        ("", "application/vnd.oai.openapi", "application/vnd.oai.openapi"),
        ("", "application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
        ("?format=yaml", None, "application/yaml"),
        ("?format=json", None, "application/json"),
        ("?format=xml", None, "application/json"),
    ],
)
def test_formats(query: str, accept: str | None, content_type: str) -> None:
    answer = Client().get(SCHEMA + query, headers={"Accept": accept} if accept else {})
    assert answer.headers["Content-Type"] == content_type
    assert yaml.safe_load(answer.content)["openapi"]


def test_it_tells_no_secrets() -> None:
    text = Client().get(SCHEMA).content.decode()
    for secret in (settings.LAP_MASTER_KEY, settings.SECRET_KEY, *settings.LAP_ENCRYPTION_KEYS):
        assert secret not in text


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = Client().get(DOCS).content.decode()
    assets = ASSET.findall(page)
    assert len(assets) == 4
    for asset in assets:
        assert asset.startswith("/static/")
        assert finders.find(asset.removeprefix("/static/")), asset
    assert "//" not in page.replace("<!DOCTYPE html>", "")
    assert 'data-schema="/api/v1/schema"' in page


def test_the_page_has_nothing_that_a_strict_policy_refuses() -> None:
    page = Client().get(DOCS).content.decode()
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert scripts == ["", ""]
    assert "<style" not in page
    assert not re.search(r"\s(on\w+|style)=", page)


def test_the_page_sends_the_schema_to_no_validator() -> None:
    script = finders.find("lap/api_docs.js")
    assert isinstance(script, str)
    assert "validatorUrl: null" in Path(script).read_text()
