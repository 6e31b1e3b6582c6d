"""Secrets of an installation that nobody configured: generated once, kept in private files."""

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet

_GENERATORS = {
    "master.key": lambda: secrets.token_urlsafe(32),
    "secret.key": lambda: secrets.token_urlsafe(48),
    "encryption.key": lambda: Fernet.generate_key().decode(),
}


def ensure(data_dir: Path, name: str) -> str:
    """The secret of that name, generated on first use into a file of mode 0600.

    A link is made from a finished temporary file, so that of two first starts at once one wins
    and both read the same secret.
    """
    path = data_dir / name
    if not path.exists():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path, _GENERATORS[name]())
    return path.read_text().strip()


def _create(path: Path, secret: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secret + "\n")
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
