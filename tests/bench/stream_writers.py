"""What streaming costs ingest: µs of its event loop per event, and the share of a core with 65 × 5 books.

Books of a thousand levels a side change ten times a second, by twenty levels each. Redis is not in it: its
part is another process'.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any, Final, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django.setup()

from apps.feed.writer import FeedWriter  # noqa: E402 - needs loaded apps
from apps.ingest.publish import FeedPublisher  # noqa: E402 - needs loaded apps
from apps.ingest.publish_demand import TICK_S, DemandPublisher  # noqa: E402 - needs loaded apps
from apps.marketdata.books import BYBIT, BookSynchroniser  # noqa: E402 - needs loaded apps
from apps.marketdata.events import (  # noqa: E402 - needs loaded apps
    BookDelta,
    BookSnapshot,
    Levels,
    Liquidation,
    PositionSide,
    Quality,
    Side,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind  # noqa: E402 - needs loaded apps
from apps.marketdata.universe import ASSETS, VENUES  # noqa: E402 - needs loaded apps

EVENTS: Final = 20_000
TICKS: Final = 5
LISTENED: Final = (5, 65)
_LEVELS: Final = 1000
_CHANGED: Final = 10


class _Writer:
    """Takes what is put and keeps nothing."""

    def put(self, *_event: object) -> None:
        """Redis is not part of this."""


def _perp(venue: str, asset: str) -> Instrument:
    return Instrument(
        venue=venue, symbol=f"{asset}USDT", asset=asset, kind=InstrumentKind.PERP, quote="USDT"
    )


def _side(start: float, step: float, places: list[int], rng: random.Random) -> Levels:
    return [(start + step * place, rng.random()) for place in places]


def events_us() -> tuple[float, float]:
    """µs of one liquidation, and of any other event."""
    publisher = FeedPublisher(cast(FeedWriter, _Writer()))
    one = _perp("binance", "BTC")
    liquidations = [
        Liquidation(one, number, number, PositionSide.LONG, 67_120.0, 78.07, 5_240_058.4, Quality.SAMPLED,
                    str(number))
        for number in range(EVENTS)
    ]  # fmt: skip
    trade = Trade(one, 1, 1, 67_120.0, 1.0, Side.BUY, "1")
    found = []
    for many in (liquidations, [trade] * EVENTS):
        began = time.process_time()
        for event in many:
            publisher.on_event(event)
        found.append((time.process_time() - began) / EVENTS * 1e6)
    return found[0], found[1]


def book_share(assets: int) -> float:
    """Share of a core for the order books of so many assets on five venues."""
    rng = random.Random(7)
    books = {}
    whole = list(range(_LEVELS))
    for venue in VENUES:
        for asset in ASSETS[:assets]:
            book = BookSynchroniser(_perp(venue, asset), BYBIT)
            bids, asks = _side(1000.0, -0.1, whole, rng), _side(1000.1, 0.1, whole, rng)
            book.on_snapshot(BookSnapshot(book.instrument, 1, 1, 1, bids, asks))
            books[book.instrument.key] = book
    demand = DemandPublisher(cast(FeedWriter, _Writer()))
    for venue in VENUES:
        demand.see({key: one for key, one in books.items() if one.instrument.venue == venue})
    wanted = frozenset(f"orderbook.{asset}" for asset in ASSETS[:assets])
    list(demand.tick(wanted, 0.0))
    used = 0.0
    for seq in range(2, TICKS + 2):
        for book in books.values():
            places = [int(rng.expovariate(1 / 60)) % _LEVELS for _ in range(_CHANGED)]
            bids, asks = _side(1000.0, -0.1, places, rng), _side(1000.1, 0.1, places, rng)
            book.on_delta(BookDelta(book.instrument, seq, seq, seq, seq, seq - 1, bids, asks))
        began = time.process_time()
        list(demand.tick(wanted, seq * TICK_S))
        used += time.process_time() - began
    return used / TICKS / TICK_S


def run() -> dict[str, Any]:
    """No goals of their own: they are part of what ingest carries."""
    liquidation_us, other_us = events_us()
    figures: list[dict[str, Any]] = [
        {"what": "a liquidation", "measured": round(liquidation_us, 2), "unit": "µs"},
        {"what": "any other event", "measured": round(other_us, 3), "unit": "µs"},
    ]
    for assets in LISTENED:
        share = round(100 * book_share(assets), 1)
        what = f"CPU of a core, books of {assets} assets × {len(VENUES)} venues listened to"
        figures.append({"what": what, "measured": share, "unit": "%"})
    for one in figures:
        one |= {"goal": None, "stretch": None, "better": "lower"}
    return {"name": "stream writers in ingest", "figures": figures}
