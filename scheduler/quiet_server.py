"""An HTTP server inside somebody else's event loop."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

GOODBYE_SECONDS: Final = 1


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers, its logging and its access log."""

    def __init__(self, application: Any) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=GOODBYE_SECONDS,
            )
        )

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to the worker: it has to answer probes while it drains."""
        yield
