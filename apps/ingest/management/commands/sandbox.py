"""``manage.py sandbox``: the venue emulator of the sandbox and replay markets."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.sandbox.config import SandboxConfig
from apps.sandbox.faces.registry import urls
from apps.sandbox.replay.catalog import RecordingError
from apps.sandbox.server import run


def sandbox_config() -> SandboxConfig:
    """The emulator's configuration from the settings."""
    return SandboxConfig(
        mode="replay" if settings.MARKET == "replay" else "sandbox",
        host=settings.SANDBOX_HOST,
        port=settings.SANDBOX_PORT,
        seed=settings.SANDBOX_SEED,
        captures=settings.CAPTURES_DIR,
        recordings=tuple(settings.REPLAY_RECORDINGS),
        speed=settings.REPLAY_SPEED,
        clock=settings.REPLAY_CLOCK,
        end=settings.REPLAY_END,
    )


class Command(BaseCommand):
    help = "Emulate the venues on loopback: a market model, or recordings (FOCSAL_MARKET=replay)."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--print-urls", action="store_true", help="print the venues' addresses as JSON and exit"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        config = sandbox_config()
        if options["print_urls"]:
            self.stdout.write(json.dumps(urls(config.host, config.port)))
            return
        if settings.MARKET == "live":
            raise CommandError(
                "FOCSAL_MARKET=live talks to the real venues: there is no emulator to run"
            )
        try:
            run(config)
        except RecordingError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"cannot listen on {config.host}:{config.port}: {error}") from error
