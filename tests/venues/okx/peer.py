"""OKX's side of a connection, for :mod:`tests.venues.local_venue`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.venues.local_venue import Peer, Script


@dataclass
class OkxPeer:
    """Answers as the venue does: an ack per channel, ``pong`` to ``ping``."""

    peer: Peer
    answers_pings: bool = True
    requests: list[dict[str, Any]] = field(default_factory=list)
    pings: int = 0

    def asked(self, op: str) -> list[str]:
        return [
            f"{arg['channel']}:{arg.get('instId') or arg.get('instType')}"
            for request in self.requests
            if request["op"] == op
            for arg in request["args"]
        ]

    async def say(self, *frames: bytes) -> None:
        for frame in frames:
            await self.peer.socket.send(frame, text=True)

    async def next(self) -> dict[str, Any]:
        """The next subscribe or unsubscribe request; pings are answered on the way."""
        while True:
            raw = await self.peer.socket.recv(decode=False)
            if raw != b"ping":
                request: dict[str, Any] = json.loads(raw)
                self.requests.append(request)
                return request
            self.pings += 1
            if self.answers_pings:
                await self.say(b"pong")

    async def accept(self, request: dict[str, Any]) -> None:
        for arg in request["args"]:
            answer = {"id": request["id"], "event": request["op"], "arg": arg, "connId": "a4d3ae55"}
            await self.say(json.dumps(answer).encode())

    async def refuse(self, request: dict[str, Any], arg: dict[str, Any]) -> None:
        what = f"channel:{arg['channel']},instId:{arg['instId']}"
        answer = {
            "id": request["id"],
            "event": "error",
            "code": "60018",
            "msg": f"Wrong URL or {what} doesn't exist. Please use the correct URL.",
            "connId": "a4d3ae55",
        }
        await self.say(json.dumps(answer).encode())

    async def accept_for_ever(self) -> None:
        while True:
            await self.accept(await self.next())


def script_of(play: Callable[[OkxPeer], Any], **options: Any) -> Script:
    async def script(peer: Peer) -> None:
        await play(OkxPeer(peer, **options))

    return script


def then_accept(*frames: bytes) -> Script:
    """Accept the first request, say something, accept whatever follows."""

    async def play(peer: OkxPeer) -> None:
        await peer.accept(await peer.next())
        await peer.say(*frames)
        await peer.accept_for_ever()

    return script_of(play)


@asynccontextmanager
async def background(work: Any) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
