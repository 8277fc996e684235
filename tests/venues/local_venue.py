"""A WebSocket server on loopback that plays a venue's part, one script per connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Script = Callable[["Peer"], Awaitable[None]]


@dataclass
class Peer:
    """One client connection as the server sees it."""

    socket: ServerConnection
    path: str
    number: int
    requests: list[dict[str, Any]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def channels(self) -> list[str]:
        return [
            name
            for request in self.requests
            if request["method"] == "SUBSCRIBE"
            for name in request["params"]
        ]

    async def request(self) -> dict[str, Any]:
        request: dict[str, Any] = json.loads(await self.socket.recv())
        self.requests.append(request)
        self.asked.set()
        return request

    async def ack(self, request: dict[str, Any]) -> None:
        await self.socket.send(json.dumps({"result": None, "id": request["id"]}))

    async def refuse(self, request: dict[str, Any], msg: str) -> None:
        error = {"code": 2, "msg": msg}
        await self.socket.send(json.dumps({"error": error, "id": request["id"]}))

    async def accept(self, channels: int) -> None:
        """Acknowledge until so many channels are subscribed."""
        while len(self.channels) < channels:
            await self.ack(await self.request())

    async def accept_for_ever(self) -> None:
        while True:
            await self.ack(await self.request())


@dataclass
class LocalVenue:
    """``scripts`` play in order of connection; the last one plays for all later connections."""

    scripts: list[Script]
    peers: list[Peer] = field(default_factory=list)
    server: Server | None = None
    connected: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"ws://127.0.0.1:{next(iter(self.server.sockets)).getsockname()[1]}"

    async def play(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        peer = Peer(socket, socket.request.path, len(self.peers))
        self.peers.append(peer)
        async with self.connected:
            self.connected.notify_all()
        with suppress(ConnectionClosed):
            await self.scripts[min(peer.number, len(self.scripts) - 1)](peer)

    async def wait_for_peers(self, count: int) -> None:
        async with self.connected:
            await self.connected.wait_for(lambda: len(self.peers) >= count)


@asynccontextmanager
async def local_venue(*scripts: Script) -> AsyncIterator[LocalVenue]:
    venue = LocalVenue(list(scripts))
    async with serve(venue.play, "127.0.0.1", 0, compression=None) as server:
        venue.server = server
        yield venue
