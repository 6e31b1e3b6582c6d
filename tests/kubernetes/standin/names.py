"""Names: which are allowed, which are made up, and the hashes the controller makes of them."""

from __future__ import annotations

import random
import re

from tests.kubernetes.standin.resources import SERVICES, Resource
from tests.kubernetes.standin.schemas import Cause
from tests.kubernetes.standin.selectors import labels_of
from tests.kubernetes.standin.statuses import Object

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
SERVICE_NAME = r"[a-z]([-a-z0-9]*[a-z0-9])?"
LABEL_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
LABEL_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{SUBDOMAIN}')"
)
SERVICE_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
    f"'abc-123', regex used for validation is '{SERVICE_NAME}')"
)


def made_up(prefix: str) -> str:
    """What ``generateName`` becomes."""
    return prefix + "".join(random.choices(SUFFIX_LETTERS, k=5))


def name_hash(name: str) -> str:
    """FNV-1a, 32 bits, in hex: what the controller labels with instead of names."""
    value = 2166136261
    for byte in name.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return f"{value:08x}"


def problems(resource: Resource, obj: Object) -> list[Cause]:
    """What is wrong with its name, labels and owners."""
    metadata = obj["metadata"]
    causes = _name_problems(resource, metadata["name"])
    for name, value in labels_of(obj).items():
        causes += _label_problems(name, value)
    for owner in metadata.get("ownerReferences") or []:
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                message = 'Invalid value: "": must not be empty'
                causes.append(
                    ("FieldValueInvalid", message, f"metadata.ownerReferences[0].{field}")
                )
    return causes


def _name_problems(resource: Resource, name: str) -> list[Cause]:
    is_service = resource is SERVICES
    pattern, rule = (SERVICE_NAME, SERVICE_RULE) if is_service else (SUBDOMAIN, SUBDOMAIN_RULE)
    limit = 63 if is_service else 253
    if len(name) > limit:
        rule = f"must be no more than {limit} bytes"
    elif re.fullmatch(pattern, name):
        return []
    return [("FieldValueInvalid", f'Invalid value: "{name}": {rule}', "metadata.name")]


def _label_problems(name: str, value: str) -> list[Cause]:
    prefix, _, plain = name.rpartition("/")
    is_name_fine = len(plain) <= 63 and re.fullmatch(LABEL_NAME, plain)
    is_prefix_fine = "/" not in name or re.fullmatch(SUBDOMAIN, prefix)
    if not (is_name_fine and is_prefix_fine):
        message = f'Invalid value: "{name}": name part must consist of alphanumeric characters'
        return [("FieldValueInvalid", message, "metadata.labels")]
    if len(value) > 63 or not re.fullmatch(LABEL_VALUE, value):
        message = f'Invalid value: "{value}": must be a valid label value of at most 63 bytes'
        return [("FieldValueInvalid", message, "metadata.labels")]
    return []
