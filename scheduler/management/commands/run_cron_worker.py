from __future__ import annotations

import asyncio
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.keys import WrongKeys, require_keys
from scheduler.worker import CronWorker, Options
from sessions.harness_client import http_client


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
        try:
            require_keys()
        except WrongKeys as error:
            raise CommandError(str(error)) from None
        asyncio.run(_work(Options(options["tick_seconds"], options["concurrency"]), once))


async def _work(options: Options, once: bool) -> None:
    async with http_client(limits=httpx.Limits(max_connections=None)) as http:
        worker = CronWorker(options, http)
        await (worker.run_once() if once else worker.run())
