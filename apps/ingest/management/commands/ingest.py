"""``manage.py ingest``: the venues' streams and history into the market database and Redis."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import Any

import uvloop
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.logs import get_logger
from apps.core.metrics import serve_metrics
from apps.ingest.service import IngestConfig, IngestService
from apps.ingest.sharding import Shard

logger = get_logger(__name__)


class Command(BaseCommand):
    help = "Follow the venues of this market until SIGTERM or SIGINT."
    # The checks would import every page and view into a process that serves none.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--shard", default="1/1", help="part i of n of the assets, as i/n")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            shard = Shard.parse(options["shard"])
        except ValueError as error:
            raise CommandError(str(error)) from None
        serve_metrics()
        config = IngestConfig.from_settings(shard)
        run(config)


def run(config: IngestConfig) -> None:
    """Until SIGTERM or SIGINT."""
    logger.info("ingest_starts", market=config.market, shard=config.shard.name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config))


async def _serve(config: IngestConfig) -> None:
    service = IngestService(config)
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, service.stop)
    # What was imported lives as long as the process: no need to look at it in every collection.
    gc.collect()
    gc.freeze()
    await service.run()
