"""The web process's probes."""

from __future__ import annotations

import asyncio
from functools import partial

from django.db import DatabaseError, connection

from lap.core.migrated import MigrationsMissing, require_migrations
from lap.core.probes import Application, Probes
from lap.core.threads import DatabaseThreads
from sessions.figures import ANSWER_SECONDS, exposition


def with_probes(application: Application) -> Probes:
    """The application, behind its probes. They ask the database from a thread of their own.

    So neither many requests nor a database that is silent can keep them from answering.
    """
    database = DatabaseThreads("probe", 1)
    return Probes(
        alive=_alive,
        ready=Readiness(database),
        metrics=partial(exposition, database),
        application=application,
    )


async def _alive() -> str:
    """It answers, so it lives. The database is no reason to restart this process."""
    return ""


class Readiness:
    """Whether requests can be served: the database answers and has every migration.

    Migrations are compared until they fit; newer ones, of the next version, do not matter.
    """

    def __init__(self, database: DatabaseThreads) -> None:
        self._database = database
        self._is_migrated = False

    async def __call__(self) -> str:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._database(self._require)
            return ""
        except TimeoutError:
            return f"the database did not answer within {ANSWER_SECONDS:g} s"
        except MigrationsMissing as error:
            return str(error)
        except DatabaseError as error:
            return f"the database cannot be used: {error}".strip()

    def _require(self) -> None:
        if self._is_migrated:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        else:
            require_migrations()
            self._is_migrated = True
