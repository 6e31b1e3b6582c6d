"""The web process's entry point: ``uvicorn lap.asgi:application``."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import DatabaseError, connections

from lap.body_guard import BodyGuard
from lap.core.probes import Probes
from lap.static_files import with_static_files


def _require_keys() -> None:
    """End the process when it has the wrong encryption keys: it would write what nobody can read.

    A database that is away, or not migrated yet, decides nothing.
    """
    from agents.keys import WrongKeys, require_keys  # models: not before Django is set up

    try:
        require_keys()
    except WrongKeys as error:
        raise SystemExit(str(error)) from None
    except DatabaseError:
        return
    finally:
        connections.close_all()


def _application() -> Probes:
    guarded = BodyGuard(
        with_static_files(get_asgi_application()),
        limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        seconds=settings.LAP_BODY_TIMEOUT_SECONDS,
    )
    from lap.probes import with_probes  # models, too

    return with_probes(guarded)


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lap.settings")
os.environ.setdefault("LAP_DATABASE_POOL_LIMIT", "10")
application = _application()
_require_keys()
