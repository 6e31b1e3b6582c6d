"""The rules of an agent's values. API, pages, admin and models show these same sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

from django.core.exceptions import ValidationError

from lap.core.secrets import MASK, SecretMap, Undecryptable
from scheduler.cron import CronError, parse

RESERVED_NAMES: Final = frozenset(
    {
        "REPO_URL",
        "BRANCH",
        "LITELLM_API_KEY",
        "LITELLM_API_BASE",
        "LITELLM_DEFAULT_MODEL",
        "AGENT_PROMPT",
        "PORT",
        "GIT_TOKEN",
        "AGENT_REQUIREMENTS",
    }
)
VARIABLES_LIMIT: Final = 50
VARIABLES_LIMIT_BYTES: Final = 16_384
LIST_LIMIT: Final = 100
LIST_LIMIT_BYTES: Final = 131_072
_VARIABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def validate_pair(expression: str | None, timezone: Any) -> None:
    """Refuse a schedule that cannot run; without an expression, a zone that does not exist.

    Raises ValidationError with one sentence that names the pair.
    """
    try:
        parse("* * * * *" if expression is None else expression, timezone)
    except CronError as error:
        is_zone = str(error).startswith("invalid cron_timezone")
        field = "cron_timezone" if is_zone else "cron_schedule"
        raise ValidationError({field: str(error)}) from None


def validate_variables(variables: Any) -> None:
    """Refuse environment variables that a sandbox cannot be given. Raises ValidationError."""
    if isinstance(variables, Undecryptable):
        return  # was judged when it was stored, and is kept as it is
    if not isinstance(variables, dict):
        raise ValidationError("must be an object of names and string values")
    if len(variables) > VARIABLES_LIMIT:
        raise ValidationError(f"holds {len(variables)} variables; at most {VARIABLES_LIMIT}")
    for name, value in variables.items():
        _validate_variable(name, value)
    if len(json.dumps(variables).encode()) > VARIABLES_LIMIT_BYTES:
        raise ValidationError(f"is larger than {VARIABLES_LIMIT_BYTES} bytes as JSON")


def _validate_variable(name: str, value: Any) -> None:
    if not _VARIABLE_NAME.fullmatch(name):
        raise ValidationError(f"{name[:80]!a} is not a name: use letters, digits and _ only")
    if name in RESERVED_NAMES:
        raise ValidationError(f"{name} is set by the platform; choose another name")
    if not isinstance(value, str):
        raise ValidationError(f"the value of {name} must be a string")
    if problem := _unstorable(value):
        raise ValidationError(f"the value of {name} holds {problem}")


def merge_variables(stored: SecretMap | Undecryptable, sent: Any) -> SecretMap:
    """The map that an edit leaves behind: ``sent``, with masked values taken from ``stored``.

    Raises ValidationError for a mask whose name is not stored, or cannot be read.
    """
    try:
        validate_variables(sent)
    except ValidationError as error:
        raise ValidationError({"env_vars": error.messages}) from None
    if isinstance(stored, Undecryptable):
        if MASK in sent.values():
            raise ValidationError({"env_vars": "the stored values cannot be read; send new ones"})
        return SecretMap(sent)
    unknown = [name for name, value in sent.items() if value == MASK and name not in stored]
    if unknown:
        raise ValidationError(
            {"env_vars": f"{unknown[0]} has the mask {MASK} as its value, but no value is stored"}
        )
    return SecretMap({k: stored[k] if v == MASK else v for k, v in sent.items()})


def validate_list(items: Any) -> None:
    """Refuse what is not a list of a sensible size. Raises ValidationError."""
    if not isinstance(items, list):
        raise ValidationError("must be a list")
    if len(items) > LIST_LIMIT:
        raise ValidationError(f"holds {len(items)} items; at most {LIST_LIMIT}")
    if len(json.dumps(items).encode()) > LIST_LIMIT_BYTES:
        raise ValidationError(f"is larger than {LIST_LIMIT_BYTES} bytes as JSON")
    for text in _texts(items):
        if problem := _unstorable(text):
            raise ValidationError(f"holds {problem}")


def validate_files(files: Any) -> None:
    """Refuse files that would not lie below the sandbox's directory. Raises ValidationError."""
    validate_list(files)
    for file in files:
        if not isinstance(file, dict) or set(file) != {"path", "content"}:
            raise ValidationError('each file must be {"path": …, "content": …}')
        if not all(isinstance(value, str) for value in file.values()):
            raise ValidationError("path and content must be strings")
        path = PurePosixPath(file["path"])
        if not path.parts or path.is_absolute() or ".." in path.parts:
            raise ValidationError(f"{file['path'][:80]!a} must be a path below the sandbox")


def _texts(value: Any) -> Iterator[str]:
    """Every string inside a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _texts(item)


def _unstorable(text: str) -> str | None:
    """Name what PostgreSQL cannot store, nor a sandbox be given, although JSON can spell it."""
    if "\0" in text:
        return "a NUL character"
    return "half of a surrogate pair" if _SURROGATE.search(text) else None
