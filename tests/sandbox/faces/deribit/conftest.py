"""Deribit's face alone, on a free port inside the test's own event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from apps.sandbox.faces.base import FaceContext
from apps.sandbox.faces.deribit.face import DeribitFace, listings
from apps.sandbox.faces.deribit.listings import other_listings
from apps.sandbox.faults import Faults
from apps.sandbox.market.model import SeededMarket

ASSETS = ("BTC", "ETH", "SOL", "XRP")


@dataclass
class Wall:
    """The clocks of a face: wall time plus what a test adds to it."""

    ahead_s: float = 0.0
    market_ahead_ms: int = 0

    def wall_s(self) -> float:
        return time.time() + self.ahead_s

    def now_ms(self) -> int:
        """Market time."""
        return time.time_ns() // 1_000_000 + self.market_ahead_ms


@dataclass
class Served:
    """A running face and ways to talk to it."""

    face: DeribitFace
    market: SeededMarket
    faults: Faults
    wall: Wall
    port: int
    http: aiohttp.ClientSession
    subscribed: set[str] = field(default_factory=set)

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def get(self, method: str, **params: Any) -> Any:
        url = f"{self.rest}/api/v2/public/{method}"
        async with self.http.get(url, params=params) as response:
            body = await response.json()
            assert response.status == 200, body
            return body["result"]

    async def refused(self, method: str, **params: Any) -> tuple[int, int]:
        url = f"{self.rest}/api/v2/public/{method}"
        async with self.http.get(url, params=params) as response:
            return response.status, (await response.json())["error"]["code"]

    async def socket(self) -> Socket:
        return Socket(await self.http.ws_connect(f"{self.ws}/ws/api/v2", max_msg_size=0))


@dataclass
class Socket:
    ws: aiohttp.ClientWebSocketResponse
    number: int = 0
    frames: list[Any] = field(default_factory=list)

    async def call(self, method: str, **params: Any) -> Any:
        """The whole answer; data frames that come before it are kept."""
        self.number += 1
        request = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        await self.ws.send_json(request)
        while True:
            frame = await self.ws.receive_json(timeout=5)
            if frame.get("id") == self.number:
                return frame
            self.frames.append(frame)

    async def data(self, channel: str) -> Any:
        """The next message of a channel."""
        while True:
            frame = self.frames.pop(0) if self.frames else await self.ws.receive_json(timeout=5)
            if frame.get("params", {}).get("channel") == channel:
                return frame["params"]["data"]


async def serve(multiplier: float) -> AsyncIterator[Served]:
    wall = Wall()
    faults = Faults(wall.wall_s)
    own = (*listings(ASSETS), *other_listings(ASSETS))
    subscribed: set[str] = set()
    market = SeededMarket(7, own)
    context = FaceContext(
        listings=own,
        faults=faults,
        now_ms=wall.now_ms,
        wall_s=wall.wall_s,
        limit_multiplier=multiplier,
        on_subscribed=subscribed.update,
        market=market,
    )
    face = DeribitFace(context)
    runner = web.AppRunner(face.ports()["main"], access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = runner.addresses[0][1]
    tasks = [asyncio.ensure_future(work) for work in face.work()]
    async with aiohttp.ClientSession() as http:
        yield Served(face, market, faults, wall, port, http, subscribed)
    await face.close()
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await runner.cleanup()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Limits wide enough for a test in a hurry."""
    async for one in serve(50.0):
        yield one


@pytest.fixture
async def strict() -> AsyncIterator[Served]:
    """The venue's own limits."""
    async for one in serve(1.0):
        yield one
