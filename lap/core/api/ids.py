"""Ids as they arrive in addresses and bodies."""

from uuid import UUID


def uuid_or_none(text: str) -> UUID | None:
    """The id written in its usual form, hyphens included; None for anything else."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
