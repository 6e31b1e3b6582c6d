"""Reads the process's environment, once, with types. Only ``lap.settings`` uses it."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

CHECKOUT = Path(__file__).resolve().parent.parent


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


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


def words(name: str, default: str = "") -> list[str]:
    """The words of a list separated by commas."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def database(name: str) -> str:
    """The URL of a PostgreSQL database. Raises ImproperlyConfigured for anything else."""
    url = text(name)
    if not url.startswith(("postgresql://", "postgres://")):
        raise ImproperlyConfigured(f"{name} must be like postgresql://user:password@host/name")
    return url


def directory(name: str, default: Path) -> Path:
    return Path(text(name) or default).expanduser().resolve()
