"""A small HTTP load generator: one process, keep-alive connections, one request in flight on each.

``python -m tests.bench.load HOST PORT CONNECTIONS SECONDS PATH KEY…`` prints JSON: requests per second,
latencies in milliseconds, statuses.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import cast

import uvloop


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the last answer is complete."""

    def __init__(self, request: bytes, deadline: float, done: asyncio.Future[None]) -> None:
        self.request = request
        self.deadline = deadline
        self.done = done
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.buffer = b""
        self.started = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        assert self.transport is not None
        self.started = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self.buffer = buffer
            return
        place = buffer.find(b"content-length: ", 0, end)
        length = int(buffer[place + 16 : buffer.index(b"\r", place)])
        if len(buffer) < end + 4 + length:
            self.buffer = buffer
            return
        now = time.perf_counter()
        self.latencies.append(now - self.started)
        self.statuses[int(buffer[9:12])] += 1
        self.buffer = b""
        if now < self.deadline:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def run(
    host: str, port: int, connections: int, seconds: float, path: str, keys: list[str]
) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    clients = []
    for number in range(connections):
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: */*\r\n"
            f"User-Agent: focsal-bench\r\nX-API-Key: {keys[number % len(keys)]}\r\n\r\n"
        ).encode()
        client = Connection(request, begun + seconds, loop.create_future())
        clients.append(client)
        await loop.create_connection(lambda client=client: client, host, port)  # type: ignore[misc]  # a default argument binds the loop variable
    await asyncio.gather(*(client.done for client in clients))
    elapsed = time.perf_counter() - begun
    latencies = sorted(value for client in clients for value in client.latencies)
    statuses: Counter[int] = sum((client.statuses for client in clients), Counter())
    for client in clients:
        if client.transport is not None:
            client.transport.close()
    return {
        "requests_per_s": len(latencies) / elapsed,
        "p50_ms": percentile(latencies, 0.50) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
        "statuses": {str(status): count for status, count in statuses.items()},
    }


def main(arguments: list[str]) -> None:
    host, port, connections, seconds, path, *keys = arguments
    result = uvloop.run(run(host, int(port), int(connections), float(seconds), path, keys))
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
