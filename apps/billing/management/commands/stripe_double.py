"""``manage.py stripe_double``: a small Stripe on loopback, for rehearsal where no Stripe key is set."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.billing.double.server import DoubleConfig, serve


class Command(BaseCommand):
    help = "Run the local double of Stripe (never in production)."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.IS_PRODUCTION:
            raise CommandError("the double of Stripe is not for production; set STRIPE_SECRET_KEY")
        config = DoubleConfig(
            port=settings.STRIPE_DOUBLE_PORT,
            api_key=settings.STRIPE_SECRET_KEY,
            webhook_url=f"{settings.PUBLIC_BASE_URL}/billing/webhook/",
            webhook_secret=settings.STRIPE_WEBHOOK_SECRET,
            state_path=settings.STRIPE_DOUBLE_STATE,
        )
        asyncio.run(_run(config))


async def _run(config: DoubleConfig) -> None:
    task = asyncio.create_task(serve(config))
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
