"""Bybit's face on a port of its own, over the seeded market."""

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
from apps.sandbox.faces.bybit.face import BybitFace, listings
from apps.sandbox.faces.bybit.listings import other_listings
from apps.sandbox.faults import Faults
from apps.sandbox.market.model import SeededMarket

FEW = ("BTC", "ETH", "PEPE", "ARB")


@dataclass
class Venue:
    """A running face; ``wall_s`` moves only as the test says."""

    face: BybitFace
    url: str
    http: aiohttp.ClientSession
    faults: Faults
    wall: list[float]
    subscribed: set[str] = field(default_factory=set)

    async def get(self, path: str, **query: Any) -> Any:
        """``result`` of an answer."""
        async with self.http.get(f"{self.url}/v5/market/{path}", params=query) as response:
            body = await response.json()
        assert (response.status, body["retCode"]) == (200, 0), body
        return body["result"]

    async def refused(self, path: str, **query: Any) -> tuple[int, int]:
        async with self.http.get(f"{self.url}/v5/market/{path}", params=query) as response:
            return response.status, (await response.json())["retCode"]

    async def socket(self, path: str = "linear") -> aiohttp.ClientWebSocketResponse:
        address = f"{self.url.replace('http', 'ws')}/v5/public/{path}"
        return await self.http.ws_connect(address, max_msg_size=0)


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
        face = BybitFace(
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
