"""Reads the process's environment, once, with types. Only ``lap.settings`` uses it.

A variable that is empty counts as one that is not set.
"""

import os
import re
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

CHECKOUT = Path(__file__).resolve().parent.parent


def text(name: str, default: str = "") -> str:
    return os.environ.get(name) or default


def number(
    name: str, default: float, *, minimum: float = 0, maximum: float = float("inf")
) -> float:
    """A number within its limits. Raises ImproperlyConfigured that names the variable."""
    raw = os.environ.get(name, "")
    try:
        value = float(raw) if raw else float(default)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {raw!r}") from None
    if not value >= minimum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum:g}, not {raw}")
    if value > maximum:
        raise ImproperlyConfigured(f"{name} must be at most {maximum:g}, not {raw}")
    return value


def integer(name: str, default: int, *, minimum: int = 0, maximum: float = float("inf")) -> int:
    value = number(name, default, minimum=minimum, maximum=maximum)
    if value != int(value):
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value}")
    return int(value)


def flag(name: str, *, default: bool = False) -> bool:
    raw = os.environ.get(name, "").strip().lower()
    if raw not in {"", "0", "1", "true", "false", "yes", "no"}:
        raise ImproperlyConfigured(f"{name} must be 1 or 0, not {raw!r}")
    return default if not raw else raw in {"1", "true", "yes"}


def choice(name: str, *choices: str) -> str:
    """One of the choices, the first if unset; capitals and small letters are the same.

    Raises ImproperlyConfigured that lists them.
    """
    value = text(name, choices[0])
    for one in choices:
        if one.lower() == value.lower():
            return one
    raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def words(name: str, default: str = "") -> list[str]:
    """The words of a list separated by commas."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def url(name: str, default: str) -> str:
    """The address of a web server, without a slash at its end.

    Raises ImproperlyConfigured for anything else.
    """
    value = text(name, default)
    if not re.match(r"https?://[^/\s]", value):
        raise ImproperlyConfigured(f"{name} must be like https://lap.example.com, not {value!r}")
    return value.rstrip("/")


def database(name: str, default: str = "") -> str:
    """The URL of a PostgreSQL database. Raises ImproperlyConfigured for anything else."""
    url = text(name, default)
    if not url.startswith(("postgresql://", "postgres://")):
        raise ImproperlyConfigured(f"{name} must be like postgresql://user:password@host/name")
    return url


def directory(name: str, default: Path) -> Path:
    return Path(text(name) or default).expanduser().resolve()
