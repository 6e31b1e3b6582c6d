"""Whether the database has every migration that this version of the code knows."""

from __future__ import annotations

from django.db import connection
from django.db.migrations.loader import MigrationLoader


class MigrationsMissing(Exception):
    """The database is older than the code: ``manage.py migrate`` has to run first."""


def require_migrations() -> None:
    """Newer ones, of the next version, do not matter. Raises MigrationsMissing, DatabaseError."""
    loader = MigrationLoader(connection)
    missing = loader.graph.nodes.keys() - loader.applied_migrations.keys()
    if missing:
        names = ", ".join(sorted(".".join(key) for key in missing))
        raise MigrationsMissing(f"migrations are missing: {names}")
