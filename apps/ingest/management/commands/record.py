"""``manage.py record``: what the venues of this market send, as a folder that a replay plays."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.ingest.emulator import Emulator
from apps.ingest.record import RecordOptions, VenueRecorder, record
from apps.ingest.record_files import MANIFEST
from apps.ingest.setups import VenueSetup, emulator_setups, live_setups
from apps.marketdata.universe import ASSETS
from apps.venues.errors import VenueError
from apps.venues.registry import ADAPTERS


def _chosen(text: str, known: list[str], what: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CommandError(f"unknown {what} {', '.join(unknown)}: expected of {', '.join(known)}")
    return names or known


class Command(BaseCommand):
    help = (
        "Record raw frames, receive times and REST books of the sandbox or the real venues. "
        "Play the folder with FOCSAL_MARKET=replay FOCSAL_REPLAY=<folder>."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", required=True, type=Path, help="folder to write")
        parser.add_argument("--venues", default="", help="comma separated; all by default")
        parser.add_argument("--assets", default="", help="comma separated; all by default")
        parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.MARKET == "replay":
            raise CommandError("FOCSAL_MARKET=replay plays a recording: there is nothing to record")
        out: Path = options["out"]
        if (out / MANIFEST).exists():
            raise CommandError(f"{out} holds a recording already")
        if options["seconds"] <= 0:
            raise CommandError("--seconds: expected a number above 0")
        venues = _chosen(options["venues"], list(ADAPTERS), "venue")
        assets = frozenset(_chosen(options["assets"].upper(), list(ASSETS), "asset"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                recorders = runner.run(
                    _record(venues, RecordOptions(out, assets, options["seconds"]))
                )
            except (VenueError, aiohttp.ClientError, OSError) as error:
                raise CommandError(f"nothing recorded: {error}") from error
        for one in recorders:
            self.stdout.write(f"{one.venue}: {one.frames} frames")
            for trouble in dict.fromkeys(one.trouble):
                self.stderr.write(f"{one.venue}: {trouble}")


async def _setups(venues: list[str]) -> list[VenueSetup]:
    adapters = [ADAPTERS[venue] for venue in venues]
    if settings.MARKET == "live":
        return live_setups(adapters)
    emulator = Emulator(settings.SANDBOX_HOST, settings.SANDBOX_PORT)
    return await emulator_setups(adapters, emulator)


async def _record(venues: list[str], options: RecordOptions) -> list[VenueRecorder]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    return await record(await _setups(venues), options, time.time_ns, stop=stop)
