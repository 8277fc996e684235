"""Many sockets for a while: 2,000 with mixed channels, then 10,000 that come and go, without growth."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from typing import Any, Final

import redis.asyncio as aredis

from apps.feed.writer import FeedWriter
from apps.marketdata.universe import ASSETS
from tests.bench.stream_clients import stamp
from tests.bench.stream_world import Server, Sockets, server, sockets, world

SOCKETS: Final = int(os.environ.get("FOCSAL_SOAK_SOCKETS", "2000"))
CYCLES: Final = int(os.environ.get("FOCSAL_SOAK_CYCLES", "10000"))
AT_ONCE: Final = 500
WARM_ROUNDS: Final = 4
EVENTS_PER_S: Final = 200
MOST_GROWTH_MB: Final = 12.0
"""Of the web process between the first rounds of coming and going and the last."""
_KINDS: Final = ("liquidations", "ticker", "orderbook")
_CHECK_S: Final = 10.0


class Publishing:
    """Events on all channels of a kind in turn, from a thread with a loop of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Publishing:
        self._thread.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        client = aredis.Redis.from_url(self._url)
        writer = FeedWriter(client)
        names = itertools.cycle([f"{kind}.{asset}" for asset in ASSETS for kind in _KINDS])
        while not self._stop.is_set():
            for name in itertools.islice(names, EVENTS_PER_S // 20):
                data = b'{"t":%d,"asset":"X","venues":{},"books":{}}' % stamp()
                writer.put(name, data, time.time_ns() // 1_000_000, data)
                self.sent += 1
            await writer.flush()
            await asyncio.sleep(0.05)
        await client.aclose()


def mixed(count: int) -> list[list[str]]:
    """One to three channels each, over all assets."""
    return [
        [f"{kind}.{ASSETS[number % len(ASSETS)]}" for kind in _KINDS[: 1 + number % len(_KINDS)]]
        for number in range(count)
    ]


def crowd_at_work(crowd: Sockets, port: int, key: str) -> dict[str, Any]:
    opened = crowd.ask(do="open", port=port, key=key, channels=mixed(SOCKETS))
    assert opened["open"] == SOCKETS
    crowd.ask(do="begin", is_timed=True)
    time.sleep(_CHECK_S)
    found = crowd.ask(do="wait", frames=0)
    assert found["frames"] > SOCKETS, f"expected frames to {SOCKETS} sockets, got {found['frames']}"
    crowd.ask(do="close")
    return {"frames_per_s": round(found["frames"] / _CHECK_S), "p99_ms": found["p99_ms"]}


def come_and_go(crowd: Sockets, web: Server, key: str) -> dict[str, Any]:
    sizes: list[float] = []
    for _ in range(CYCLES // AT_ONCE):
        crowd.ask(do="open", port=web.port, key=key, channels=mixed(AT_ONCE))
        crowd.ask(do="close")
        sizes.append(web.rss_kb / 1024)
    growth = sizes[-1] - sizes[min(WARM_ROUNDS, len(sizes) - 1)]
    assert growth < MOST_GROWTH_MB, f"the web process grew by {growth:.1f} MB: {sizes}"
    return {"cycles": CYCLES, "growth_mb": round(growth, 1), "rss_mb": round(sizes[-1], 1)}


def run() -> dict[str, Any]:
    with world() as ours, server(ours.url) as web, sockets() as crowd, Publishing(ours.url):
        empty_mb = web.rss_kb / 1024
        at_work = crowd_at_work(crowd, web.port, ours.key)
        full_mb = web.rss_kb / 1024
        cycles = come_and_go(crowd, web, ours.key)
    return {"sockets": SOCKETS, "mb": round(full_mb - empty_mb, 1), **at_work, **cycles}
