"""Turns market time into pushes: everything that fell due since the last tick, in batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.numbering import Numbering
from apps.sandbox.faces.okx import frames
from apps.sandbox.faces.okx.channels import BOOK, CANDLES, INDEX, LIQUIDATIONS
from apps.sandbox.faces.okx.frames import Wire
from apps.sandbox.faces.okx.history import Page, candles
from apps.sandbox.faces.okx.source import LIVE, live_row, ticker_row
from apps.sandbox.faces.publishing import TickingPublisher
from apps.sandbox.faces.trades import TradeCursor
from apps.sandbox.fault_catalog import EVERYTHING
from apps.sandbox.market.book import book_difference
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import MINUTE_MS, Book, ForcedOrder, Market, MarkState

_SECOND_MS: Final = 1_000
_FUNDING_EVERY_S: Final = 60
_OPEN_INTEREST_EVERY_S: Final = 5
_CANDLE_EVERY_MS: Final = 500
_TICKER_EVERY_S: Final = 1
_IDLE_MS: Final = 60_000
_TOPS: Final = {"bbo-tbt": 1, "books5": 5}


@dataclass(slots=True)
class Feed:
    """Where one listing's streams have got to."""

    wire: Wire
    trades: TradeCursor = field(default_factory=TradeCursor)
    step: int = -1
    book: Book | None = None
    told_step: int = -1
    told_ms: int = 0
    """Where the chain of the book's stream is, and since when."""
    restarts: bool = False
    """The next change has the first number."""


class Fill(NamedTuple):
    """A trade: a taker's order against one maker's."""

    number: int
    time_ms: int
    price: int
    lots: int
    is_buy: bool


def merge(fills: Sequence[Fill]) -> list[tuple[Fill, int]]:
    """What one taker's order filled at one price is one row, under the last fill's number; and how many
    fills it is."""
    merged: list[tuple[Fill, int]] = []
    for one in fills:
        last, count = merged[-1] if merged else (one, 0)
        alike = (last.time_ms, last.price, last.is_buy) == (one.time_ms, one.price, one.is_buy)
        if merged and alike:
            merged[-1] = (one._replace(lots=last.lots + one.lots), count + 1)
        else:
            merged.append((one, 1))
    return merged


class Publisher(TickingPublisher):
    """Pushes of every listing of the face."""

    def __init__(
        self,
        market: Market,
        listings: Sequence[Listing],
        hub: Hub,
        now_ms: Callable[[], int],
        numbering: Numbering | None = None,
    ) -> None:
        """``numbering``: shared with REST."""
        super().__init__(hub, now_ms)
        self._market = market
        self._feeds = {listing.symbol: Feed(Wire(listing)) for listing in listings}
        self._wanted: dict[str, set[str]] = {}
        """Channel names by symbol that someone reads."""
        self._started_ms = self._last_ms
        self._last_second = self._last_ms // _SECOND_MS
        self._candle_ms = 0
        self._candles: dict[str, list[str]] = {}
        self._forced: dict[tuple[str, int], list[ForcedOrder]] = {}
        self._settled: dict[str, tuple[int, float]] = {}
        self.numbering = numbering or Numbering(frames.SEQS_PER_STEP)

    def _go_on_from_now(self) -> None:
        for feed in self._feeds.values():
            feed.trades.restart()

    def _publish(self, now_ms: int) -> None:
        for symbol, names in self._wanted.items():
            feed = self._feeds[symbol]
            if "trades" in names or "trades-all" in names:
                self._publish_trades(feed, names, now_ms)
            if BOOK in names or not names.isdisjoint(_TOPS):
                self._publish_book(feed, names, now_ms)
        second = now_ms // _SECOND_MS
        if second != self._last_second:
            since_ms = max(second - 10, self._last_second) * _SECOND_MS
            self._last_second = second
            self._publish_second(since_ms, second, now_ms)
        if now_ms - self._candle_ms >= _CANDLE_EVERY_MS:
            self._candle_ms = now_ms
            self._publish_candles(now_ms)

    def _replan(self) -> None:
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for channel in self._hub.channels():
            name, _, subject = channel.partition(":")
            symbol = f"{subject}-SWAP" if name == "index-tickers" else subject
            if symbol in self._feeds:
                wanted[symbol].add(name)
        self._wanted = dict(sorted(wanted.items()))
        for symbol, feed in self._feeds.items():
            names = self._wanted.get(symbol, set())
            if "trades" not in names and "trades-all" not in names:
                feed.trades.restart()
            if BOOK not in names and names.isdisjoint(_TOPS):
                feed.step, feed.book = -1, None
            if BOOK not in names:
                feed.told_step = -1

    # --- trades and books -------------------------------------------------------------------------

    def _publish_trades(self, feed: Feed, names: set[str], now_ms: int) -> None:
        listing = feed.wire.listing
        rows: list[Fill] = []
        for _, tape, due in feed.trades.due(self._market, listing, now_ms):
            rows += [
                Fill(
                    tape.first_id + at,
                    int(tape.time_ms[at]),
                    int(tape.price[at]),
                    int(tape.lots[at]),
                    bool(tape.is_buy[at]),
                )
                for at in due
            ]
        symbol = listing.symbol
        if "trades-all" in names:
            for one in rows:
                text = frames.trade_row(feed.wire, *one)
                self._hub.publish(f"trades-all:{symbol}", frames.push("trades-all", symbol, text))
        if "trades" in names:
            for merged, count in merge(rows):
                text = frames.trade_row(feed.wire, *merged, count)
                self._hub.publish(f"trades:{symbol}", frames.push("trades", symbol, text))

    def first_frames(self, channel: str) -> list[bytes]:
        """What a new reader gets at once: the whole book, or the newest price, rate or interest."""
        name, _, subject = channel.partition(":")
        if name == BOOK:
            return [self._whole_book(subject)]
        if name not in LIVE:
            return []
        feed = self._feeds[f"{subject}-SWAP" if name == INDEX else subject]
        row = live_row(self._market, feed.wire, name, self._now_ms())
        return [frames.push(name, subject, row)]

    def _whole_book(self, symbol: str) -> bytes:
        """At the step that its stream has reached."""
        feed = self._feeds[symbol]
        if feed.book is None:
            feed.step = self._now_ms() // feed.wire.listing.book_step_ms
            feed.book = self._market.book(feed.wire.listing, feed.step)
        if feed.told_step < 0:
            feed.told_step, feed.told_ms = feed.step, feed.book.time_ms
        seq = self.numbering.of(symbol, feed.told_step)
        row = frames.book_row(feed.wire, feed.book.time_ms, seq, -1, *frames.sides(feed.book, 400))
        return frames.push(BOOK, symbol, row, "snapshot")

    def _publish_book(self, feed: Feed, names: set[str], now_ms: int) -> None:
        wire, listing = feed.wire, feed.wire.listing
        newest = now_ms // listing.book_step_ms
        if feed.book is not None and feed.step >= newest:
            return
        old, book = feed.book, self._market.book(listing, newest)
        if BOOK in names and old is not None:
            self._publish_changes(feed, old, book)
        feed.step, feed.book = newest, book
        for name, depth in _TOPS.items():
            if name in names:
                seq = self.numbering.of(listing.symbol, newest)
                row = frames.top_row(wire, book, depth, seq)
                data = frames.push(name, listing.symbol, row)
                self._hub.publish(f"{name}:{listing.symbol}", data)

    def restart(self, symbol: str) -> int:
        """Sequences of a symbol's book, or of all for ``*``, begin anew: the next change follows the last
        one told and has a smaller number than it."""
        feeds = [feed for name, feed in self._feeds.items() if symbol in (EVERYTHING, name)]
        for feed in feeds:
            feed.restarts = True
        return len(feeds)

    def _publish_changes(self, feed: Feed, old: Book, book: Book) -> None:
        """After a pause one push carries all that changed: the chain goes on from what was told last. A
        minute without a change is told by a push without levels and with both numbers alike."""
        symbol = feed.wire.listing.symbol
        bids, asks = book_difference(old.bids, book.bids), book_difference(old.asks, book.asks)
        if not (bids or asks) and book.time_ms - feed.told_ms < _IDLE_MS:
            return
        told = feed.told_step if feed.told_step >= 0 else feed.step
        before = self.numbering.of(symbol, told)
        if bids or asks:
            if feed.restarts:
                feed.restarts = False
                self.numbering.begin(symbol, book.step)
            feed.told_step = book.step
        elif feed.told_step < 0:
            feed.told_step = feed.step
        feed.told_ms = book.time_ms
        seq = self.numbering.of(symbol, feed.told_step)
        row = frames.book_row(feed.wire, book.time_ms, seq, before, bids, asks)
        self._hub.publish(f"{BOOK}:{symbol}", frames.push(BOOK, symbol, row, "update"))

    # --- once a second ----------------------------------------------------------------------------

    def _publish_second(self, since_ms: int, second: int, now_ms: int) -> None:
        at_ms = second * _SECOND_MS
        for number, (symbol, names) in enumerate(self._wanted.items()):
            wire = self._feeds[symbol].wire
            # Spread over the period, so that no second carries everyone's.
            funding = "funding-rate" in names and (second + number) % _FUNDING_EVERY_S == 0
            interest = "open-interest" in names and (second + number) % _OPEN_INTEREST_EVERY_S == 0
            mark, index = "mark-price" in names, "index-tickers" in names
            if mark or index or funding or interest:
                state = self._market.mark_state(wire.listing, at_ms)
                self._publish_prices(wire, state, at_ms, mark=mark, index=index)
                if funding:
                    self._publish_funding(wire, state, at_ms)
                if interest:
                    self._publish_interest(wire, state, at_ms)
            if "tickers" in names and (second + number) % _TICKER_EVERY_S == 0:
                self._publish_ticker(wire, now_ms)
        if self._hub.wants(LIQUIDATIONS):
            self._publish_forced(since_ms, at_ms)

    def _publish_prices(
        self, wire: Wire, state: MarkState, at_ms: int, *, mark: bool, index: bool
    ) -> None:
        symbol = wire.listing.symbol
        if mark:
            data = frames.push("mark-price", symbol, frames.mark_row(wire, state, at_ms))
            self._hub.publish(f"mark-price:{symbol}", data)
        if index:
            data = frames.push("index-tickers", wire.index, frames.index_row(wire, state, at_ms))
            self._hub.publish(f"index-tickers:{wire.index}", data)

    def _publish_funding(self, wire: Wire, state: MarkState, at_ms: int) -> None:
        symbol = wire.listing.symbol
        settled = self._settlement(wire.listing, at_ms, state.next_funding_ms)
        data = frames.push("funding-rate", symbol, frames.funding_row(wire, state, settled, at_ms))
        self._hub.publish(f"funding-rate:{symbol}", data)

    def _settlement(self, listing: Listing, at_ms: int, next_ms: int) -> tuple[int, float]:
        interval_ms = (listing.funding_interval_h or 8) * frames.HOUR_MS
        due = next_ms - interval_ms
        known = self._settled.get(listing.symbol)
        if known is None or known[0] != due:
            last = self._market.settlements(listing, due, at_ms)[-1]
            known = self._settled[listing.symbol] = (last.funding_ms, last.rate)
        return known

    def _publish_interest(self, wire: Wire, state: MarkState, at_ms: int) -> None:
        symbol = wire.listing.symbol
        times = np.array([at_ms], dtype=np.int64)
        lots = float(self._market.open_interest(wire.listing, times)[0])
        row = frames.open_interest_row(wire, lots, state.mark_price, at_ms)
        self._hub.publish(f"open-interest:{symbol}", frames.push("open-interest", symbol, row))

    def _publish_ticker(self, wire: Wire, now_ms: int) -> None:
        symbol = wire.listing.symbol
        row = ticker_row(self._market, wire, now_ms)
        text = "{" + ",".join(f'"{name}":"{value}"' for name, value in row.items()) + "}"
        self._hub.publish(f"tickers:{symbol}", frames.push("tickers", symbol, text))

    def _publish_forced(self, from_ms: int, to_ms: int) -> None:
        """Per instrument, everything since the last second, newest first (the venue keeps no order)."""
        for feed in self._feeds.values():
            orders = [
                order
                for minute in range(from_ms // MINUTE_MS, (to_ms - 1) // MINUTE_MS + 1)
                for order in self._forced_orders(feed.wire.listing, minute)
                if from_ms <= order.time_ms < to_ms
            ]
            if orders:
                self._hub.publish(LIQUIDATIONS, frames.liquidation_push(feed.wire, orders[::-1]))

    def _forced_orders(self, listing: Listing, minute: int) -> list[ForcedOrder]:
        slot = (listing.symbol, minute)
        if slot not in self._forced:
            if len(self._forced) > 4 * len(self._feeds):
                self._forced.clear()
            self._forced[slot] = self._market.liquidations(listing, minute)
        return self._forced[slot]

    # --- candles ----------------------------------------------------------------------------------

    def _publish_candles(self, now_ms: int) -> None:
        """The candle in the making when it changed, and each candle once more when it has closed."""
        for symbol, names in self._wanted.items():
            for name in names & CANDLES.keys():
                rows = candles(
                    self._market,
                    self._feeds[symbol].wire,
                    CANDLES[name],
                    Page(None, None, 2),
                    now_ms,
                    self._started_ms,
                )
                for row in reversed(rows):
                    self._publish_candle(name, symbol, row)

    def _publish_candle(self, name: str, symbol: str, row: list[str]) -> None:
        channel = f"{name}:{symbol}"
        last = self._candles.get(channel)
        # A first reader is not told of the candle that closed before it came.
        if (last is None and row[-1] == "1") or row == last:
            return
        if last is not None and int(row[0]) < int(last[0]):
            return
        self._candles[channel] = row
        self._hub.publish(channel, frames.push(name, symbol, frames.candle_row(row)))
