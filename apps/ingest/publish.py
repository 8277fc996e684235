"""Events that streaming passes on as they happen, appended to their channels.

A live engine of ingest (``features``): told of every event, it hands on what a channel carries. Writing
never waits; what Redis does not take at once is kept and sent when it is back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from apps.core.jsonout import dumps
from apps.core.redis import new_async_redis
from apps.feed.registry import resolve
from apps.feed.writer import FeedWriter
from apps.ingest.features import Books
from apps.ingest.publish_demand import DemandPublisher
from apps.ingest.state import MarketState
from apps.marketdata.events import Liquidation, MarketEvent

NS_PER_MS: Final = 1_000_000
_REMEMBERED: Final = 20_000


class SeenIds:
    """Ids of the last events: a venue repeats some of them after a reconnect."""

    def __init__(self, size: int = _REMEMBERED) -> None:
        self._ids: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._size = size

    def is_new(self, instrument: str, event_id: str) -> bool:
        identity = (instrument, event_id)
        if identity in self._ids:
            return False
        self._ids[identity] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
        return True


def liquidation_data(event: Liquidation) -> bytes:
    """The ``data`` of a ``liquidations`` frame."""
    instrument = event.instrument
    return dumps(
        {
            "asset": instrument.asset,
            "side": event.position_side.value,
            "amount_usd": round(event.notional_usd, 2),
            "price": event.price,
            "exchange": instrument.venue,
            "symbol": instrument.symbol,
            "qty_base": event.qty_base,
            "quality": event.quality.value,
            "id": event.event_id,
        }
    )


class FeedPublisher:
    """Belongs to the event loop of ingest, which ends its tasks with itself."""

    def __init__(self, writer: FeedWriter | None = None) -> None:
        self._writer = writer
        self._demand: DemandPublisher | None = None
        self._state: MarketState | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._seen = SeenIds()

    def attach(self, state: MarketState) -> None:
        """Where tickers are read from."""
        self._state = state

    def on_event(self, event: MarketEvent) -> None:
        if isinstance(event, Liquidation):
            self._on_liquidation(event)

    def on_second(self, now_ms: int, books: Books) -> None:
        """Takes note of the books; the channels that need them are written by themselves."""
        if self._demand is None:
            self._demand = DemandPublisher(self.writer, self._state)
            self._tasks.append(
                asyncio.get_running_loop().create_task(self._demand.run(), name="feed-demand")
            )
        self._demand.see(books)

    def _on_liquidation(self, event: Liquidation) -> None:
        name = f"liquidations.{event.instrument.asset}"
        if resolve(name) is None or not self._seen.is_new(event.instrument.key, event.event_id):
            return
        self.writer.put(name, liquidation_data(event), event.ts_event // NS_PER_MS)

    @property
    def writer(self) -> FeedWriter:
        """Made with the first event: before that there may be no event loop."""
        if self._writer is None:
            client = new_async_redis()
            self._writer = FeedWriter(client)
            self._tasks.append(
                asyncio.get_running_loop().create_task(self._writer.run(), name="feed-writer")
            )
        return self._writer
