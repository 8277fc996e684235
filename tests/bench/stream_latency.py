"""From a venue's message on the wire to the frame in a client's hands, at 500 and 5,000 events a second.

Binance's liquidation orders as bytes go through ingest's own parser and publisher, through Redis, the hub
of a web process and real sockets: 65 of them, one asset each, and one that listens to everything. Sender,
web process and clients are three processes on one machine; a frame's age is from the moment at which its
bytes were handed to the parser.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django.setup()

import redis.asyncio as aredis  # noqa: E402 - after the settings

from apps.core.memory import keep_what_is_loaded  # noqa: E402 - needs loaded apps
from apps.feed.writer import FeedWriter  # noqa: E402 - needs loaded apps
from apps.ingest.publish import FeedPublisher  # noqa: E402 - needs loaded apps
from apps.marketdata.instruments import Instrument, InstrumentKind  # noqa: E402 - needs loaded apps
from apps.marketdata.universe import ASSETS  # noqa: E402 - needs loaded apps
from apps.venues.parsing import ParserStats  # noqa: E402 - needs loaded apps
from apps.venues.registry import ADAPTERS  # noqa: E402 - needs loaded apps
from tests.bench.stream_clients import stamp  # noqa: E402 - needs loaded apps
from tests.bench.stream_world import server, sockets, world  # noqa: E402 - needs loaded apps

RATES: Final = (500, 5_000)
SECONDS: Final = 5.0
CASCADE: Final = ((2.0, 100), (3.0, 2_000), (1.0, 8_000), (2.0, 2_000), (2.0, 100))
"""(seconds, events a second): calm, the fall, its worst second, and back."""
_TICK_S: Final = 0.002
_GOAL_MS: Final = 100.0
_CASCADE_GOAL_MS: Final = 200.0


def instruments() -> list[Instrument]:
    return [
        Instrument(
            venue="binance", symbol=f"{asset}USDT", asset=asset, kind=InstrumentKind.PERP,
            quote="USDT",
        )
        for asset in ASSETS
    ]  # fmt: skip


def wire(number: int) -> bytes:
    """A liquidation order as Binance sends it; its price carries the moment to the client."""
    asset = ASSETS[number % len(ASSETS)]
    now_ms = time.time_ns() // 1_000_000
    order = (
        f'"s":"{asset}USDT","S":"SELL","o":"LIMIT","f":"IOC","q":"1","p":"9910","ap":"{stamp()}",'
        f'"X":"FILLED","l":"1","z":"1","T":{now_ms}'
    )
    event = f'"e":"forceOrder","E":{now_ms},"o":{{{order}}}'
    return f'{{"stream":"!forceOrder@arr","data":{{{event}}}}}'.encode()


class Venue:
    """The sending side: parser, publisher, writer."""

    def __init__(self, client: aredis.Redis) -> None:
        stats = ParserStats("binance", lambda issue: None)
        self._parser = ADAPTERS["binance"].make_parser("market", instruments(), stats)
        self.writer = FeedWriter(client)
        self._publisher = FeedPublisher(self.writer)
        self.sent = 0

    def tell(self) -> None:
        self.sent += 1
        for event in self._parser.parse(wire(self.sent), time.time_ns()):
            self._publisher.on_event(event)  # type: ignore[arg-type]  # no controls among these

    async def send(self, rate: int, seconds: float) -> float:
        """Evenly, in steps of two milliseconds; the share of a core that it took."""
        loop = asyncio.get_running_loop()
        began, cpu, count = loop.time(), time.process_time(), 0
        while (passed := loop.time() - began) < seconds:
            while count < passed * rate:
                self.tell()
                count += 1
            await asyncio.sleep(_TICK_S)
        return (time.process_time() - cpu) / seconds


async def measured(crowd: Any, url: str, steps: tuple[tuple[float, int], ...]) -> dict[str, Any]:
    client = aredis.Redis.from_url(url)
    venue = Venue(client)
    writing = asyncio.create_task(venue.writer.run())
    crowd.ask(do="begin", is_timed=True)
    shares = [await venue.send(rate, seconds) for seconds, rate in steps]
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    # What was under way is sent again and added once.
    await venue.writer.flush()
    # Each event has two listeners: its asset's, and the one of everything.
    found = await asyncio.to_thread(crowd.ask, do="wait", frames=2 * venue.sent, patience_s=20)
    await client.aclose()
    if found["frames"] != 2 * venue.sent:
        raise RuntimeError(f"expected {2 * venue.sent} frames, clients have {found['frames']}")
    return {**found, "events": venue.sent, "sender_cpu": round(max(shares), 3)}


def measure() -> dict[str, dict[str, Any]]:
    names = [f"liquidations.{asset}" for asset in ASSETS]
    with world() as ours, server(ours.url) as hub, sockets(stamp="price") as crowd:
        channels = [*([name] for name in names), names]
        # As ingest does once it has started.
        keep_what_is_loaded()
        crowd.ask(do="open", port=hub.port, key=ours.key, channels=channels)
        asyncio.run(measured(crowd, ours.url, ((1.0, 200),)))
        found = {
            str(rate): asyncio.run(measured(crowd, ours.url, ((SECONDS, rate),))) for rate in RATES
        }
        found["cascade"] = asyncio.run(measured(crowd, ours.url, CASCADE))
    return found


def run() -> dict[str, Any]:
    """Goals: P99 under 100 ms at either rate, under 200 ms in the cascade."""
    found = measure()
    figures = []
    for name, one in found.items():
        what = "scripted cascade" if name == "cascade" else f"{int(name):,} events/s"
        goal = _CASCADE_GOAL_MS if name == "cascade" else _GOAL_MS
        figures += [
            {"what": f"wire → client P50, {what}", "measured": one["p50_ms"], "unit": "ms",
             "goal": None, "stretch": None, "better": "lower"},
            {"what": f"wire → client P99, {what}", "measured": one["p99_ms"], "unit": "ms",
             "goal": goal, "stretch": goal / 2, "better": "lower"},
        ]  # fmt: skip
    return {"name": "stream latency", "figures": figures, "details": found}
