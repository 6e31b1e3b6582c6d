from __future__ import annotations

import asyncio
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.keys import WrongKeys
from scheduler.worker import CronWorker, Options
from scheduler.worker_probes import PortUnavailable
from sessions import checks
from sessions.harness_client import http_client
from sessions.sandboxes.base import SandboxError


class Command(BaseCommand):
    help = "Open a session at every scheduled instant and carry sessions to their end."
    # The rest imports every page, and a worker has none.
    requires_system_checks = [checks.TAG]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="settle what is due, then leave")
        parser.add_argument(
            "--concurrency",
            type=int,
            default=settings.LAP_BRINGUP_CONCURRENCY,
            help="sessions brought up at the same time (%(default)s)",
        )
        parser.add_argument(
            "--tick-seconds",
            type=float,
            default=settings.LAP_CRON_TICK_SECONDS,
            help="longest sleep between two looks at the schedules (%(default)s)",
        )

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        try:
            asyncio.run(_work(Options(options["tick_seconds"], options["concurrency"]), once))
        except (WrongKeys, PortUnavailable, SandboxError) as error:
            raise CommandError(str(error)) from None


async def _work(options: Options, once: bool) -> None:
    async with http_client(limits=httpx.Limits(max_connections=None)) as http:
        worker = CronWorker(options, http)
        await (worker.run_once() if once else worker.run())
