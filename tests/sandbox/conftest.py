"""An emulator on free ports inside the test's own event loop."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from apps.sandbox.config import SandboxConfig
from apps.sandbox.control import TOKEN_HEADER
from apps.sandbox.faces.binance.face import BinanceFace
from apps.sandbox.faces.registry import PORTS, FaceKey
from apps.sandbox.server import Sandbox

Starter = Callable[..., Awaitable["Client"]]
FEW = ("BTC", "ETH", "PEPE", "ARB")


def free_ports(count: int, first: int | None = None) -> int:
    """The first of ``count`` consecutive free ports, not below ``first``.

    Test runs beside this one begin to look elsewhere: between looking and listening another could come.
    """
    if first is None:
        first = 21_400 + os.getpid() % 600 * 14
    for base in range(first, 32_000, 7):
        taken = []
        try:
            for port in range(base, base + count):
                one = socket.socket()
                taken.append(one)
                one.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for one in taken:
                one.close()
        return base
    raise RuntimeError("no free ports")


class Client:
    """REST and WebSocket access to one emulator."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.http = http
        self.config = sandbox.config

    def url(self, face: str, path: str, scheme: str = "http") -> str:
        offset = {"control": 0, "um": 1, "spot": 2}[face]
        return f"{scheme}://127.0.0.1:{self.config.port + offset}{path}"

    def binance(self, connection: str) -> BinanceFace:
        """``um`` or ``spot``."""
        face = self.sandbox.faces[FaceKey("binance", connection)]
        assert isinstance(face, BinanceFace)
        return face

    async def get(self, face: str, path: str, **query: Any) -> Any:
        async with self.http.get(self.url(face, path), params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def refused(self, face: str, path: str, **query: Any) -> tuple[int, int]:
        async with self.http.get(self.url(face, path), params=query) as response:
            return response.status, (await response.json())["code"]

    async def post(self, path: str, body: Any = None) -> Any:
        headers = {TOKEN_HEADER: self.sandbox.token}
        url = self.url("control", path)
        async with self.http.post(url, json=body, headers=headers) as response:
            return await response.json()

    async def socket(self, face: str, path: str, *channels: str) -> aiohttp.ClientWebSocketResponse:
        """Connect and subscribe; returns when the subscription is acknowledged."""
        ws = await self.http.ws_connect(self.url(face, path, "ws"), max_msg_size=0)
        if channels:
            await ws.send_json({"method": "SUBSCRIBE", "params": list(channels), "id": 1})
            assert await ws.receive_json(timeout=5) == {"result": None, "id": 1}
        return ws


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    """``await start(mode=…, …)`` runs an emulator until the test ends."""
    sandboxes: list[Sandbox] = []
    sessions: list[aiohttp.ClientSession] = []

    async def begin(**changes: Any) -> Client:
        config = replace(SandboxConfig(port=free_ports(PORTS), assets=FEW, seed=7), **changes)
        sandbox = Sandbox(config)
        await sandbox.start()
        sandboxes.append(sandbox)
        sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        return Client(sandbox, sessions[-1])

    yield begin
    for session in sessions:
        await session.close()
    for sandbox in sandboxes:
        await sandbox.stop()
