"""OKX's face by itself on a free port: a seeded market, or a replay's memory, on a clock of the test's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from apps.sandbox.faces.base import FaceContext
from apps.sandbox.faces.okx.face import OkxFace, listings
from apps.sandbox.faces.okx.listings import other_listings
from apps.sandbox.faults import Faults
from apps.sandbox.market.model import SeededMarket

FEW = ("BTC", "PEPE", "STRK")
START_MS = 1_763_719_230_000
DAY_MS = 86_400_000


@dataclass
class Running:
    """The face, its clocks (market in ms, wall in s) and a client."""

    face: OkxFace
    port: int
    http: aiohttp.ClientSession
    clock: list[int]
    wall: list[float]
    faults: Faults
    subscribed: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def get(self, path: str, **query: Any) -> list[Any]:
        """Rows of an answer that must be good."""
        body, status = await self.ask(path, **query)
        assert (status, body["code"], body["msg"]) == (200, "0", "")
        rows: list[Any] = body["data"]
        return rows

    async def ask(self, path: str, **query: Any) -> tuple[dict[str, Any], int]:
        async with self.http.get(f"{self.url}/api/v5{path}", params=query) as response:
            return await response.json(), response.status

    async def socket(self, path: str, *args: dict[str, str]) -> aiohttp.ClientWebSocketResponse:
        """Connect and subscribe; returns when everything is acknowledged."""
        ws = await self.http.ws_connect(f"{self.ws_url}/ws/v5/{path}")
        if args:
            await ws.send_json({"id": "1", "op": "subscribe", "args": list(args)})
        return ws

    def tick(self, milliseconds: int) -> None:
        """Let the market go on, and publish what became due."""
        self.clock[0] += milliseconds
        publisher = self.face._publisher
        assert publisher is not None
        publisher.tick(self.clock[0])


Starter = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    """``await start()`` runs a face until the test ends. ``multiplier`` scales the limits."""
    runners: list[web.AppRunner] = []
    running: list[Running] = []

    async def begin(
        *,
        assets: tuple[str, ...] = FEW,
        multiplier: float = 10.0,
        replay: Any = None,
        others: bool = False,
    ) -> Running:
        clock, wall = [START_MS], [1_000.0]
        subscribed: set[str] = set()
        faults = Faults(lambda: wall[0])
        own = (*listings(assets), *(other_listings(assets) if others else ()))
        context = FaceContext(
            own,
            faults,
            lambda: clock[0],
            lambda: wall[0],
            multiplier,
            subscribed.update,
            market=None if replay else SeededMarket(7, own),
            replay=replay,
        )
        face = OkxFace(context)
        runner = web.AppRunner(face.ports()["main"], access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        session = aiohttp.ClientSession()
        running.append(Running(face, port, session, clock, wall, faults, subscribed))
        return running[-1]

    yield begin
    for one in running:
        await one.http.close()
        await one.face.close()
    for runner in runners:
        await runner.cleanup()
