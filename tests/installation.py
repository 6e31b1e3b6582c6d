"""A whole LAP of its own, for commands that are run by hand. It ends with the block."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lap.postgres import Server

if TYPE_CHECKING:
    from tests.live import Web


@contextmanager
def installation(
    worker: Mapping[str, str] | None = None, web: Mapping[str, str] | None = None
) -> Iterator[Web]:
    """A database, a worker and a web process of their own; yields the last.

    ``worker`` and ``web`` are added to the processes' environments.
    """
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="lap-test-")))
        folder.chmod(0o711)  # sandboxes with user ids of their own pass through it
        server = Server(folder / "postgres", settings={"fsync": "off"})
        ending.callback(server.remove)
        os.environ |= {
            "DATABASE_URL": server.url(),
            "LAP_DATA_DIR": str(folder),
            "LAP_LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "lap.settings",
        }
        server.start()
        yield _start(folder, ending, worker or {}, web or {})


def _start(
    folder: Path, ending: ExitStack, worker: Mapping[str, str], web: Mapping[str, str]
) -> Web:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)

    from tests.live import Web
    from tests.processes import Workers

    workers = Workers(folder)
    ending.callback(workers.end)
    workers.start(**worker)
    started = Web(folder, **web)
    ending.callback(started.end)
    return started
