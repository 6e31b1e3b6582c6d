"""What custom objects must look like, and what is filled in when it is left out.

Built in is what the recorded answers show. Where ``LAP_TEST_CRDS`` names the folder of the real
definitions, those are used, and what they do not know is dropped as the API server drops it.
"""

from __future__ import annotations

import copy
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tests.kubernetes.standin.resources import CLAIMS, POOLS, SANDBOXES, TEMPLATES, Resource
from tests.kubernetes.standin.statuses import Object

FOLDER = os.environ.get("LAP_TEST_CRDS", "")
INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
UNCHECKED_RULES = (
    "Invalid value: null: some validation rules were not checked because the object was "
    "invalid; correct the existing errors to complete validation"
)

Cause = tuple[str, str, str]


def _object(required: list[str], **properties: Any) -> Object:
    return {"type": "object", "required": required, "properties": properties}


def _enum(default: str, *others: str) -> Object:
    return {"type": "string", "enum": sorted([default, *others]), "default": default}


TEXT: Object = {"type": "string"}
NAMED = _object(["name"], name=TEXT)
_PORT = _object(["containerPort"], containerPort={"type": "integer"}, protocol={"default": "TCP"})
_CONTAINER = _object(["name"], name=TEXT, ports={"type": "array", "items": _PORT})
_POD = _object(["containers"], containers={"type": "array", "items": _CONTAINER})
_POD_TEMPLATE = _object(["spec"], spec=_POD)
_INSTANT: Object = {"type": "string", "format": "date-time"}
_BLUEPRINT: Object = {"podTemplate": _POD_TEMPLATE, "service": {"type": "boolean"}}

BUILT_IN: dict[str, Object] = {
    SANDBOXES.plural: _object(
        ["podTemplate"],
        **_BLUEPRINT,
        operatingMode=_enum("Running", "Suspended"),
        shutdownPolicy=_enum("Retain", "Delete"),
        shutdownTime=_INSTANT,
    )
    | {"x-kubernetes-validations": []},
    TEMPLATES.plural: _object(
        ["podTemplate"],
        **_BLUEPRINT,
        envVarsInjectionPolicy=_enum("Disallowed", "Allowed", "Overrides"),
        networkPolicyManagement=_enum("Managed", "Unmanaged"),
        volumeClaimTemplatesPolicy=_enum("Disallowed", "Allowed", "Overrides"),
    ),
    POOLS.plural: _object(
        ["sandboxTemplateRef"],
        replicas={"type": "integer", "minimum": 0, "default": 1},
        sandboxTemplateRef=NAMED,
        updateStrategy=_object([], type=_enum("OnReplenish", "Recreate")),
    ),
    CLAIMS.plural: _object(
        ["warmPoolRef"],
        warmPoolRef=NAMED,
        lifecycle=_object(
            [],
            shutdownPolicy=_enum("Retain", "Delete", "DeleteForeground"),
            shutdownTime=_INSTANT,
            ttlSecondsAfterFinished={"type": "integer", "minimum": 0},
        ),
    ),
}

FORMATS = jsonschema.FormatChecker(formats=())
FORMATS.checks("date-time")(lambda value: not isinstance(value, str) or INSTANT.match(value))


def complete(resource: Resource, obj: Object) -> Object:
    """With defaults, and without what the real definitions do not know."""
    schema = _schema(resource)
    completed = copy.deepcopy(obj)
    _fill(schema, completed)
    if FOLDER:
        _prune(schema, completed)
    return completed


def problems(resource: Resource, obj: Object) -> list[Cause]:
    """What is wrong with it, as (reason, message, field)."""
    causes = [_cause(error) for error in _validator(resource).iter_errors(obj)]
    has_rules = "x-kubernetes-validations" in _schema(resource)["properties"]["spec"]
    if causes and has_rules:
        causes.append(("FieldValueInvalid", UNCHECKED_RULES, "<nil>"))
    return causes


@functools.cache
def _schema(resource: Resource) -> Object:
    if not FOLDER:
        return _object(["spec"], spec=BUILT_IN[resource.plural])
    path = Path(FOLDER) / f"{resource.group}_{resource.plural}.yaml"
    versions = yaml.safe_load(path.read_text())["spec"]["versions"]
    (schema,) = [v["schema"] for v in versions if v["name"] == resource.version]
    found: Object = schema["openAPIV3Schema"]
    del found["properties"]["metadata"]
    return found


@functools.cache
def _validator(resource: Resource) -> Any:
    schema = _for_validation(_schema(resource))
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


def _for_validation(schema: Any) -> Any:
    """The same in JSON Schema's own words: a port may be a number or a name."""
    if isinstance(schema, list):
        return [_for_validation(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    return {name: _for_validation(value) for name, value in schema.items()}


def _fill(schema: Object, value: Any) -> None:
    for name, inner in _parts(schema, value):
        if isinstance(name, str) and name not in value and "default" in inner:
            value[name] = copy.deepcopy(inner["default"])
        if isinstance(name, int) or name in value:
            _fill(inner, value[name])


def _parts(schema: Object, value: Any) -> Iterator[tuple[Any, Object]]:
    if isinstance(value, list) and "items" in schema:
        yield from ((index, schema["items"]) for index in range(len(value)))
    elif isinstance(value, dict):
        yield from schema.get("properties", {}).items()


def _prune(schema: Object, value: Any, *, is_root: bool = True) -> None:
    known = schema.get("properties")
    if isinstance(value, dict) and known and "additionalProperties" not in schema:
        kept = {*known, "metadata"} if is_root else set(known)
        for name in set(value) - kept:
            del value[name]
    for name, inner in _parts(schema, value):
        if isinstance(name, int) or name in value:
            _prune(inner, value[name], is_root=False)


def _cause(error: Any) -> Cause:
    field = ".".join(f"[{p}]" if isinstance(p, int) else p for p in error.absolute_path)
    field = field.replace(".[", "[")
    if error.validator == "enum":
        supported = ", ".join(f'"{value}"' for value in error.validator_value)
        message = f'Unsupported value: "{error.instance}": supported values: {supported}'
        return "FieldValueNotSupported", message, field
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return "FieldValueRequired", "Required value", f"{field}.{missing}".lstrip(".")
    told = f'Invalid value: "{error.instance}": {field} in body is wrong: {error.message}'
    return "FieldValueInvalid", told, field
