"""Many cheap WebSocket clients in one process, asked by lines of JSON on standard input.

``{"do": "open", "port", "key", "channels": [[…], …]}`` opens one socket per list and waits for the first
snapshot of each channel; ``{"do": "begin"}`` counts from zero; ``{"do": "wait", "frames"}`` answers when so
many marked frames came; ``{"do": "close"}`` ends all. A marked frame has its :func:`stamp` in the field
that the command line names; with ``is_timed`` the ages of all are kept.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import resource
import sys
import time
from typing import Any, Final

import numpy as np
import uvloop

FIELD: Final = sys.argv[1] if __name__ == "__main__" else "t"
MARK: Final = f'"{FIELD}":'.encode()
_STAMP: Final = re.compile(MARK + rb"(\d+)")
_KEEP: Final = 24
_WRAP: Final = 10**12
_PONG: Final = b"\x8a\x80\0\0\0\0"
_ALIVE_S: Final = 10.0
_LONGEST_LINE: Final = 2**24
PATIENCE_S: Final = 60.0


def stamp() -> int:
    """Now in microseconds, without what a double cannot hold."""
    return time.time_ns() // 1000 % _WRAP


class Tally:
    def __init__(self) -> None:
        self.frames = 0
        self.wanted = 0
        self.last_ns = 0
        self.is_timed = False
        self.ages_us: list[int] = []
        self.reached = asyncio.Event()

    def begin(self, *, is_timed: bool) -> None:
        self.frames, self.is_timed, self.ages_us = 0, is_timed, []
        self.wanted = sys.maxsize
        self.reached.clear()

    def add(self, data: bytes) -> None:
        self.frames += data.count(MARK)
        self.last_ns = time.time_ns()
        if self.is_timed:
            now = stamp()
            self.ages_us += [(now - int(sent)) % _WRAP for sent in _STAMP.findall(data)]
        if self.frames >= self.wanted:
            self.reached.set()


def text_frame(text: bytes) -> bytes:
    """A client's frame: masked, with a mask of zeros."""
    size = len(text)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + text


class Client(asyncio.Protocol):
    """``ready`` is set once every channel has said where it stands."""

    def __init__(self, tally: Tally, key: str, channels: list[str]) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self._tally = tally
        self._key = key
        self._channels = channels
        self._snapshots = 0
        self._rest = b""
        self._is_open = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        nonce = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /v1/ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"X-API-Key: {self._key}\r\nSec-WebSocket-Key: {nonce}\r\n"
            f"Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self._is_open:
            self._open(data)
            return
        if not self.ready.done():
            self._snapshots += data.count(b'"type":"snapshot"')
            if self._snapshots >= len(self._channels):
                self.ready.set_result(None)
            return
        whole = self._rest + data
        # A stamp that the packet's end cuts is counted with the next packet.
        cut = whole.rfind(MARK[:1], max(0, len(whole) - _KEEP))
        at = len(whole) if cut < 0 else cut
        self._rest = whole[at:]
        self._tally.add(whole[:at])

    def _open(self, data: bytes) -> None:
        head, _, rest = data.partition(b"\r\n\r\n")
        if b" 101 " not in head:
            self.ready.set_exception(RuntimeError(head.decode()[:200]))
            return
        self._is_open = True
        if not self._channels:
            self.ready.set_result(None)
            return
        message = {"op": "subscribe", "channels": self._channels}
        self.transport.write(text_frame(json.dumps(message).encode()))
        if rest:
            self.data_received(rest)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("closed before it was ready"))


class Crowd:
    def __init__(self) -> None:
        self._tally = Tally()
        self._clients: list[Client] = []

    async def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        do = question.pop("do")
        answer: dict[str, Any] = await getattr(self, f"on_{do}")(**question)
        return answer

    async def on_open(
        self, port: int, key: str, channels: list[list[str]], at_once: int = 100
    ) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        for start in range(0, len(channels), at_once):
            opened: list[Client] = []
            for names in channels[start : start + at_once]:
                client = Client(self._tally, key, names)
                await loop.create_connection(lambda one=client: one, "127.0.0.1", port)  # type: ignore[misc]
                opened.append(client)
            await asyncio.wait_for(asyncio.gather(*(one.ready for one in opened)), PATIENCE_S)
            self._clients += opened
        return {"open": len(self._clients), "took_s": round(time.monotonic() - began, 2)}

    async def on_begin(self, is_timed: bool = False) -> dict[str, Any]:
        self._tally.begin(is_timed=is_timed)
        return {}

    async def on_wait(self, frames: int, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        tally = self._tally
        tally.wanted = frames
        if tally.frames < frames:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(tally.reached.wait(), patience_s)
        ages = np.asarray(tally.ages_us or [0], dtype=np.float64) / 1e3
        return {
            "frames": tally.frames,
            "last_ns": tally.last_ns,
            "p50_ms": round(float(np.percentile(ages, 50)), 2),
            "p99_ms": round(float(np.percentile(ages, 99)), 2),
            "max_ms": round(float(ages.max()), 2),
        }

    async def stay_alive(self) -> None:
        """Pings are not read: a pong now and then tells the server the same."""
        while True:
            await asyncio.sleep(_ALIVE_S)
            for one in self._clients:
                one.transport.write(_PONG)

    async def on_close(self) -> dict[str, Any]:
        clients, self._clients = self._clients, []
        for one in clients:
            one.transport.abort()
        return {"closed": len(clients)}


async def main() -> None:
    crowd, loop = Crowd(), asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    alive = asyncio.create_task(crowd.stay_alive())
    while line := await reader.readline():
        print(json.dumps(await crowd.answer(json.loads(line))), flush=True)
    alive.cancel()
    await crowd.on_close()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(main())
