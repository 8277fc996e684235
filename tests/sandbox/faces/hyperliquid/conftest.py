"""Hyperliquid's face on a port of its own, over the seeded market."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from apps.sandbox.faces.base import FaceContext
from apps.sandbox.faces.hyperliquid.face import HyperliquidFace, listings
from apps.sandbox.faces.hyperliquid.listings import other_listings
from apps.sandbox.faults import Faults
from apps.sandbox.market.model import SeededMarket

FEW = ("BTC", "ETH", "PEPE", "ARB")


@dataclass
class Venue:
    """A running face; ``wall_s`` moves only as the test says."""

    face: HyperliquidFace
    url: str
    http: aiohttp.ClientSession
    faults: Faults
    wall: list[float]
    subscribed: set[str] = field(default_factory=set)

    async def info(self, **question: Any) -> Any:
        async with self.http.post(f"{self.url}/info", json=question) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def refused(self, **question: Any) -> tuple[int, str]:
        async with self.http.post(f"{self.url}/info", json=question) as response:
            return response.status, await response.text()

    async def socket(self) -> aiohttp.ClientWebSocketResponse:
        return await self.http.ws_connect(f"{self.url.replace('http', 'ws')}/ws", max_msg_size=0)

    async def subscribe(
        self, socket: aiohttp.ClientWebSocketResponse, **subscription: Any
    ) -> list[dict[str, Any]]:
        """The ack and the first frame."""
        await socket.send_json({"method": "subscribe", "subscription": subscription})
        return [await socket.receive_json(timeout=5) for _ in range(2)]


Starter = Callable[..., Awaitable[Venue]]


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    """``await start(assets=…, multiplier=…)`` runs a face until the test ends."""
    running: list[tuple[Venue, web.AppRunner, list[asyncio.Task[None]]]] = []

    async def begin(assets: tuple[str, ...] = FEW, multiplier: float = 100.0) -> Venue:
        listed = (*listings(assets), *other_listings(assets))
        wall = [time.time()]
        faults = Faults(lambda: wall[0])
        subscribed: set[str] = set()
        face = HyperliquidFace(
            FaceContext(
                listings=listed,
                faults=faults,
                now_ms=lambda: int(time.time() * 1000),
                wall_s=lambda: wall[0],
                limit_multiplier=multiplier,
                on_subscribed=subscribed.update,
                market=SeededMarket(7, listed),
            )
        )
        runner = web.AppRunner(face.ports()["main"], access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        venue = Venue(
            face,
            f"http://127.0.0.1:{runner.addresses[0][1]}",
            aiohttp.ClientSession(),
            faults,
            wall,
            subscribed,
        )
        tasks = [asyncio.ensure_future(work) for work in face.work()]
        running.append((venue, runner, tasks))
        return venue

    yield begin
    for venue, runner, tasks in running:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await venue.http.close()
        await venue.face.close()
        await runner.cleanup()
