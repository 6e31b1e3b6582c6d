"""Label and field selectors, as strings of a query."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.kubernetes.standin.statuses import Object, bad_request

if TYPE_CHECKING:
    from tests.kubernetes.standin.resources import Resource

Matches = Callable[[Object], bool]

NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
SET = re.compile(rf"^({NAME})\s+(in|notin)\s+\(([^()]*)\)$")
EQUALITY = re.compile(rf"^({NAME})\s*(==|=|!=)\s*({NAME}|)$")
EXISTENCE = re.compile(rf"^(!?)\s*({NAME})$")
PLAIN_FIELDS = {"metadata.name", "metadata.namespace"}


def parse(resource: Resource, labels: str, fields: str) -> Matches:
    """One predicate for both; a syntax error is a 400."""
    terms = [_label_term(term) for term in _split(labels)]
    terms += [_field_term(resource, term) for term in _split(fields)]
    return lambda obj: all(term(obj) for term in terms)


def _split(text: str) -> list[str]:
    """At commas outside parentheses."""
    return [term.strip() for term in re.split(r",(?![^(]*\))", text) if term.strip()]


def _label_term(term: str) -> Matches:
    if found := SET.match(term):
        name, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda obj: labels_of(obj).get(name) in values
        return lambda obj: labels_of(obj).get(name) not in values
    if found := EQUALITY.match(term):
        name, operator, value = found.groups()
        if operator == "!=":
            return lambda obj: labels_of(obj).get(name) != value
        return lambda obj: labels_of(obj).get(name) == value
    if found := EXISTENCE.match(term):
        is_absent, name = bool(found[1]), found[2]
        return lambda obj: (name in labels_of(obj)) != is_absent
    raise bad_request(f'unable to parse requirement: found "{term}"')


def _field_term(resource: Resource, term: str) -> Matches:
    found = re.match(r"^([\w.]+)\s*(==|=|!=)\s*(.*)$", term)
    if not found:
        raise bad_request(f'invalid field selector: "{term}"')
    path, operator, value = found.groups()
    if path not in PLAIN_FIELDS | resource.fields:
        raise bad_request(f"field label not supported: {path}")
    is_wanted = operator != "!="
    return lambda obj: (str(_field(obj, path)) == value) == is_wanted


def _field(obj: Object, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    return value


def labels_of(obj: Object) -> dict[str, str]:
    """Its labels, never None."""
    return obj["metadata"].get("labels") or {}


def has_labels(obj: Object, wanted: dict[str, str]) -> bool:
    """Whether a Service's or a template's ``matchLabels`` selects it."""
    return wanted.items() <= labels_of(obj).items()
