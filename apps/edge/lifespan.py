"""Start and stop of the web process: the edge's connection, the market clock, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

from asgiref.sync import sync_to_async
from django.conf import settings
from django.urls import get_resolver

from apps.core.logs import get_logger
from apps.core.memory import keep_what_is_loaded
from apps.core.metrics import serve_metrics
from apps.edge.app import EdgeApplication
from apps.edge.asgi_types import Receive, Send
from apps.edge.metrics import register
from apps.marketdata.clocksync import sync_market_clock

_log = get_logger(__name__)
_CLOCK_EVERY_S: Final = 1.0


class Part(Protocol):
    """What else lives and ends with the web process."""

    metrics: Any

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Lifespan:
    """Answers the server's startup and shutdown; Django itself knows neither."""

    def __init__(self, edge: EdgeApplication, parts: Sequence[Part] = ()) -> None:
        self._edge = edge
        self._parts = parts
        self._clock: asyncio.Task[None] | None = None

    async def __call__(self, _scope: Any, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.startup()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def startup(self) -> None:
        if serve_metrics():
            for part in (self._edge, *self._parts):
                register(part.metrics)
        await self._edge.start()
        for part in self._parts:
            await part.start()
        if settings.MARKET != "live":
            self._clock = asyncio.create_task(_follow_market_clock(), name="market-clock")
        # Views are imported before the first request instead of in it.
        get_resolver().url_patterns  # noqa: B018 - read for what it imports
        keep_what_is_loaded()

    async def shutdown(self) -> None:
        clock, self._clock = self._clock, None
        if clock is not None:
            clock.cancel()
            await asyncio.gather(clock, return_exceptions=True)
        for part in self._parts:
            await part.stop()
        await self._edge.stop()


async def _follow_market_clock() -> None:
    """A replay's time is what ingest says; requests must not ask for it themselves."""
    read = sync_to_async(sync_market_clock, thread_sensitive=False)
    while True:
        try:
            await read()
        except Exception:
            _log.exception("market_clock_unreadable")
        await asyncio.sleep(_CLOCK_EVERY_S)
