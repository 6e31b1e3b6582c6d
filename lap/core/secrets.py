"""Encryption at rest with rotatable keys, and values that do not show themselves."""

import hashlib
import json
import secrets
from functools import lru_cache
from typing import Any, NoReturn

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models

MASK = "********"


class SecretMap(dict[str, str]):
    """Names and secret values; only the names appear in ``repr``, logs and tracebacks."""

    def __repr__(self) -> str:
        return f"SecretMap({', '.join(sorted(self))})"

    __str__ = __repr__

    def masked(self) -> dict[str, str]:
        return dict.fromkeys(self, MASK)


class Undecryptable:
    """A stored secret that none of our keys opens, as after a rotation that we have not seen.

    Rows that hold one can be listed, ended and saved as they are; only using the secret raises.
    """

    def __init__(self, stored: str) -> None:
        self.stored = stored

    def masked(self) -> dict[str, str]:
        return {}

    def __repr__(self) -> str:
        return "Undecryptable()"

    def _refuse(self, *_: object) -> NoReturn:
        raise ImproperlyConfigured(
            "a stored secret was encrypted with a key that is not in LAP_ENCRYPTION_KEYS"
        )

    __bool__ = __contains__ = __format__ = __getattr__ = __getitem__ = __iter__ = __str__ = _refuse


def new_token() -> str:
    """A random URL-safe token of 256 bits."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """What is stored of a random token that only has to be recognised again."""
    return hashlib.sha256(token.encode()).hexdigest()


def encrypt(value: Any) -> str:
    """Encrypt a JSON value with the first of ``LAP_ENCRYPTION_KEYS``."""
    return _cipher().encrypt(json.dumps(value).encode()).decode()


def decrypt(stored: str) -> Any:
    """Decrypt with any of ``LAP_ENCRYPTION_KEYS``; Undecryptable if none fits."""
    try:
        return json.loads(_cipher().decrypt(stored.encode()))
    except InvalidToken:
        return Undecryptable(stored)


def reencrypt(stored: str) -> str | Undecryptable:
    """The same secret under the first of ``LAP_ENCRYPTION_KEYS``; unchanged if it is already."""
    keys = tuple(settings.LAP_ENCRYPTION_KEYS)
    try:
        _cipher_of(keys[:1]).decrypt(stored.encode())
    except InvalidToken:
        pass
    else:
        return stored
    try:
        return _cipher_of(keys).rotate(stored.encode()).decode()
    except InvalidToken:
        return Undecryptable(stored)


def _cipher() -> MultiFernet:
    return _cipher_of(tuple(settings.LAP_ENCRYPTION_KEYS))


@lru_cache(maxsize=4)
def _cipher_of(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured(
            "LAP_ENCRYPTION_KEYS is not set. `manage.py up` generates one; otherwise set it to "
            "one or more Fernet keys, separated by commas."
        )
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ImproperlyConfigured(f"LAP_ENCRYPTION_KEYS: {error}") from None


class EncryptedField(models.TextField[Any, Any]):
    """A JSON value, encrypted at rest; maps of strings come back as ``SecretMap``."""

    def from_db_value(self, value: str | None, expression: object, connection: object) -> Any:
        return None if value is None else self.to_python(decrypt(value))

    def to_python(self, value: Any) -> Any:
        return SecretMap(value) if isinstance(value, dict) else value

    def get_prep_value(self, value: Any) -> str | None:
        if isinstance(value, Undecryptable):
            return value.stored
        return None if value is None else encrypt(value)
