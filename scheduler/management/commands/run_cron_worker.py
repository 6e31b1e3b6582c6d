from __future__ import annotations

import asyncio
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from scheduler.worker import CronWorker, Options


class Command(BaseCommand):
    help = "Open a session at every scheduled instant and carry sessions to their end."

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
        asyncio.run(_work(Options(options["tick_seconds"], options["concurrency"]), once))


async def _work(options: Options, once: bool) -> None:
    # A proxy of the environment must not see what goes to sandboxes.
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as http:
        worker = CronWorker(options, http)
        await (worker.run_once() if once else worker.run())
