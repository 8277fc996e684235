"""Order books and tickers for streaming, written only while somebody listens.

Ten times a second the wanted channels are asked for; of those only what changed is written. Once a second
an unchanged channel says so, from which readers see that its writer lives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from apps.core.clock import market_clock
from apps.core.logs import get_logger
from apps.core.outages import Outage
from apps.feed.ending import is_ending
from apps.feed.reader import AWAY
from apps.feed.writer import FeedWriter
from apps.ingest.features import Books
from apps.ingest.state import Listing, MarketState
from apps.ingest.tickers import AssetTicker
from apps.marketdata.bookframes import AssetBooks, BookEvent
from apps.marketdata.books import BookSynchroniser
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.preference import preference

_log = get_logger(__name__)
TICK_S: Final = 0.1
REPEAT_S: Final = 1.0
ORDERBOOK: Final = "orderbook."
TICKER: Final = "ticker."
_TICKER_EVERY: Final = 3
_LISTINGS_EVERY: Final = 10
"""In ticks, like the ticker's."""
_REST: Final = 3.0
"""After a tick this many times its length is left to everything else: with very many books the ticks grow
longer instead of ingest slower."""
_Teller = TypeVar("_Teller", AssetBooks, AssetTicker)


class DemandPublisher:
    """``tick`` writes what changed of the wanted channels; ``run`` calls it until cancelled."""

    def __init__(self, writer: FeedWriter, state: MarketState | None = None) -> None:
        self.state = state
        """What is known beside books: without it there are no tickers."""
        self._writer = writer
        self._main_books: dict[str, dict[str, BookSynchroniser]] = {}
        self._main_listings: dict[str, dict[str, Listing]] = {}
        self._books: dict[str, AssetBooks] = {}
        self._tickers: dict[str, AssetTicker] = {}
        self._said_s: dict[str, float] = {}
        self._ticks = 0

    def see(self, books: Books) -> None:
        """The books of one venue; called once a second, for they may be others."""
        for one in sorted(books.values(), key=lambda one: preference(one.instrument), reverse=True):
            instrument = one.instrument
            if instrument.kind is InstrumentKind.PERP:
                # The best of the preferred ones comes last and stays.
                self._main_books.setdefault(instrument.asset, {})[instrument.venue] = one

    def see_listings(self) -> None:
        """What is listed now; called once a second."""
        found: dict[str, dict[str, Listing]] = {}
        listings = self.state.listings.values() if self.state is not None else ()
        for one in sorted(listings, key=lambda one: preference(one.instrument), reverse=True):
            if one.instrument.kind is InstrumentKind.PERP:
                found.setdefault(one.instrument.asset, {})[one.instrument.venue] = one
        self._main_listings = found
        for asset, books in self._main_books.items():
            for venue in [one for one in books if found and one not in found.get(asset, {})]:
                del books[venue]

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        outage = Outage(_log, "feed_demand_unknown")
        while not is_ending():
            try:
                wanted = await self._writer.refresh_wanted()
                outage.over()
            except AWAY as error:
                outage.failed(error)
                await asyncio.sleep(REPEAT_S)
                due_s = loop.time()
                continue
            used_s = 0.0
            for step in self.tick(wanted, loop.time()):
                used_s += step
                # Market data goes first: between two assets the loop takes what has come.
                await asyncio.sleep(0)
            due_s = max(due_s + TICK_S, loop.time(), loop.time() + _REST * used_s)
            await asyncio.sleep(due_s - loop.time())

    def tick(self, wanted: frozenset[str], now_s: float) -> Iterator[float]:
        """One step per channel, each with the seconds it took; ``now_s`` is any steady clock."""
        self._ticks += 1
        if self._ticks % _LISTINGS_EVERY == 1:
            self.see_listings()
        yield from self._write(self._books, ORDERBOOK, AssetBooks, wanted, now_s, self._of_books)
        if self._ticks % _TICKER_EVERY == 0 and self.state is not None:
            yield from self._write(
                self._tickers, TICKER, AssetTicker, wanted, now_s, self._of_ticker
            )

    def _write(
        self,
        tellers: dict[str, _Teller],
        prefix: str,
        make: Callable[[str], _Teller],
        wanted: frozenset[str],
        now_s: float,
        event_of: Callable[[_Teller, str], BookEvent | None],
    ) -> Iterator[float]:
        names = {name for name in wanted if name.startswith(prefix)}
        for name in [one for one in tellers if one not in names]:
            # The next listener begins with the whole.
            del tellers[name]
            self._said_s.pop(name, None)
        for name in names:
            began_s = time.perf_counter()
            asset = name.removeprefix(prefix)
            teller = tellers.get(name)
            if teller is None:
                teller = tellers[name] = make(asset)
            try:
                event = event_of(teller, asset)
            except Exception:
                # One asset's defect must not end the channels of all; its listeners begin anew.
                _log.exception("feed_demand_failed", channel=name)
                del tellers[name]
                continue
            if event is None and now_s - self._said_s.get(name, 0.0) >= REPEAT_S:
                event = teller.repeat()
            if event is not None:
                self._said_s[name] = now_s
                ts_ms = event.ts_ms or market_clock.now_ms()
                self._writer.put(name, event.data, ts_ms, event.state)
            yield time.perf_counter() - began_s

    def _of_books(self, teller: AssetBooks, asset: str) -> BookEvent | None:
        return teller.update(self._main_books.get(asset, {}))

    def _of_ticker(self, teller: AssetTicker, asset: str) -> BookEvent | None:
        return teller.update(self._main_listings.get(asset, {}), self._main_books.get(asset, {}))
