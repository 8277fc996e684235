"""Turns market time into pushes: everything that fell due since the last tick, in batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from apps.sandbox.faces.bybit import frames, tickers
from apps.sandbox.faces.bybit.history import INTERVALS, Span, candles
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.numbering import Numbering
from apps.sandbox.faces.publishing import TickingPublisher
from apps.sandbox.faces.trades import TradeCursor
from apps.sandbox.fault_catalog import EVERYTHING
from apps.sandbox.market.book import book_difference
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import MINUTE_MS, Book, ForcedOrder, Market

_SECOND_MS: Final = 1_000
_POSITIONS_EVERY_S: Final = 5
_DAY_EVERY_S: Final = 15
_LIQUIDATIONS_MS: Final = 500
_BEST_AGAIN_MS: Final = 3_000
_MOST_STEPS: Final = 5
"""A book further behind is sent whole: its numbers may not jump."""


@dataclass(slots=True)
class Feed:
    """Where one listing's streams have got to."""

    listing: Listing
    trades: TradeCursor = field(default_factory=TradeCursor)
    book: Book | None = None
    ticker: dict[str, str] = field(default_factory=dict)
    """As every reader of the ticker knows it."""
    tick: str = "ZeroPlusTick"
    best: tuple[frames.Levels, frames.Levels] | None = None
    best_ms: int = 0
    """The touch as it was told last, and when."""
    restarts: bool = False
    """The next message is a whole book with the number 1."""


class Publisher(TickingPublisher):
    """Pushes of every listing of the face."""

    def __init__(
        self,
        market: Market,
        listings: Sequence[Listing],
        hub: Hub,
        now_ms: Callable[[], int],
        prefix: str = "",
        numbering: Numbering | None = None,
    ) -> None:
        """``prefix``: what this market's channels begin with in the hub, which both markets share;
        ``numbering``: shared with REST."""
        super().__init__(hub, now_ms)
        self._numbering = numbering or Numbering()
        self._prefix = prefix
        self._market = market
        self._feeds = {listing.symbol: Feed(listing) for listing in listings}
        self._wanted: dict[str, set[str]] = {}
        """Topics without the symbol, by symbol, that someone reads."""
        self._started_ms = self._last_ms
        self._last_second = self._last_ms // _SECOND_MS
        self._last_half = self._last_ms // _LIQUIDATIONS_MS
        self._candles: dict[str, list[str]] = {}
        self._forced: dict[tuple[str, int], list[ForcedOrder]] = {}

    def _go_on_from_now(self) -> None:
        for feed in self._feeds.values():
            feed.trades.restart()

    def _publish(self, now_ms: int) -> None:
        for symbol, topics in self._wanted.items():
            feed = self._feeds[symbol]
            if "publicTrade" in topics:
                self._publish_trades(feed, now_ms)
            if feed.book is not None:
                self._publish_book(feed, topics, now_ms)
        half = now_ms // _LIQUIDATIONS_MS
        if half != self._last_half:
            since_ms = max(half - 20, self._last_half) * _LIQUIDATIONS_MS
            self._last_half = half
            for symbol, topics in self._wanted.items():
                if "allLiquidation" in topics:
                    listing = self._feeds[symbol].listing
                    self._publish_forced(listing, since_ms, half * _LIQUIDATIONS_MS)
        second = now_ms // _SECOND_MS
        if second != self._last_second:
            self._last_second = second
            self._publish_second(second, now_ms)

    def _replan(self) -> None:
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for channel in self._hub.channels():
            if not channel.startswith(self._prefix):
                continue
            topic, _, symbol = channel.removeprefix(self._prefix).rpartition(".")
            if symbol in self._feeds:
                wanted[symbol].add(topic)
        self._wanted = dict(sorted(wanted.items()))
        for symbol, feed in self._feeds.items():
            topics = self._wanted.get(symbol, set())
            if "publicTrade" not in topics:
                feed.trades.restart()
            if not any(topic.startswith("orderbook.") for topic in topics):
                feed.book = None
            if "tickers" not in topics:
                feed.ticker = {}

    def first_frames(self, channel: str) -> list[bytes]:
        """What a new reader gets at once: the whole book, the whole ticker."""
        topic, _, symbol = channel.removeprefix(self._prefix).rpartition(".")
        feed = self._feeds[symbol]
        if topic.startswith("orderbook."):
            book = feed.book
            if book is None:
                step = self._now_ms() // feed.listing.book_step_ms
                book = feed.book = self._market.book(feed.listing, step)
            return [self._whole(feed.listing, int(topic.partition(".")[2]), book)]
        if topic == "tickers":
            now_ms = self._now_ms()
            if not feed.ticker:
                feed.ticker = self._ticker_fields(feed.listing, now_ms)
            return [tickers.ticker_push(feed.listing, "snapshot", now_ms, feed.ticker)]
        return []

    def _ticker_fields(self, listing: Listing, now_ms: int) -> dict[str, str]:
        fields = tickers.spot_streamed if listing.kind == "spot" else tickers.ticker_fields
        return fields(self._market, listing, now_ms)

    def _send(self, channel: str, data: bytes) -> None:
        self._hub.publish(f"{self._prefix}{channel}", data)

    def _whole(self, listing: Listing, depth: int, book: Book) -> bytes:
        return self._book_push(listing, depth, "snapshot", book, *frames.sides(book, depth))

    def _book_push(
        self,
        listing: Listing,
        depth: int,
        kind: str,
        book: Book,
        bids: frames.Levels,
        asks: frames.Levels,
    ) -> bytes:
        number = self._numbering.of(listing.symbol, book.step)
        data = frames.book_data(listing, book.step, number, bids, asks)
        return frames.book_push(listing, depth, kind, book.time_ms, data)

    # --- trades and books -------------------------------------------------------------------------

    def _publish_trades(self, feed: Feed, now_ms: int) -> None:
        listing = feed.listing
        rows: list[str] = []
        for _, tape, due in feed.trades.due(self._market, listing, now_ms):
            for at in due:
                price = int(tape.price[at])
                feed.tick = frames.direction(price, int(tape.price[max(at - 1, 0)]), feed.tick)
                rows.append(
                    frames.trade_row(
                        listing,
                        tape.first_id + at,
                        int(tape.time_ms[at]),
                        price,
                        int(tape.lots[at]),
                        bool(tape.is_buy[at]),
                        feed.tick,
                    )
                )
        if rows:
            data = frames.push("publicTrade", listing.symbol, now_ms, ",".join(rows))
            self._send(f"publicTrade.{listing.symbol}", data)

    def _publish_book(self, feed: Feed, topics: set[str], now_ms: int) -> None:
        listing, old = feed.listing, feed.book
        newest = now_ms // listing.book_step_ms
        if old is None or old.step >= newest:
            return
        depths = [depth for depth in frames.DEPTHS if f"orderbook.{depth}" in topics]
        if 1 in depths and not feed.restarts:
            self._publish_best(feed, newest)
            depths.remove(1)
        if feed.restarts:
            self._numbering.begin(listing.symbol, newest)
        if feed.restarts or newest - old.step > _MOST_STEPS:
            feed.restarts = False
            feed.book = self._market.book(listing, newest)
            for depth in depths:
                self._send_book(listing, depth, self._whole(listing, depth, feed.book))
            return
        for step in range(old.step + 1, newest + 1):
            book = self._market.book(listing, step)
            for depth in depths:
                self._send_book(listing, depth, self._change(listing, depth, old, book))
            feed.book = old = book

    def restart(self, symbol: str) -> int:
        """Numbers of a symbol's books, or of all for ``*``, begin anew, each with a whole book."""
        feeds = [feed for name, feed in self._feeds.items() if symbol in (EVERYTHING, name)]
        for feed in feeds:
            feed.restarts = True
        return len(feeds)

    def _publish_best(self, feed: Feed, step: int) -> None:
        """The touch is told whole when it changes, and again after three seconds without a change."""
        book = self._market.book(feed.listing, step)
        best = frames.sides(book, 1)
        if best != feed.best or book.time_ms - feed.best_ms >= _BEST_AGAIN_MS:
            feed.best, feed.best_ms = best, book.time_ms
            self._send_book(feed.listing, 1, self._whole(feed.listing, 1, book))

    def _send_book(self, listing: Listing, depth: int, data: bytes) -> None:
        self._send(f"orderbook.{depth}.{listing.symbol}", data)

    def _change(self, listing: Listing, depth: int, old: Book, book: Book) -> bytes:
        if depth >= max(len(book.bids), len(old.bids), len(book.asks), len(old.asks)):
            bids = book_difference(old.bids, book.bids)
            asks = book_difference(old.asks, book.asks)
        else:
            before, after = frames.sides(old, depth), frames.sides(book, depth)
            bids = book_difference(dict(before[0]), dict(after[0]))
            asks = book_difference(dict(before[1]), dict(after[1]))
        return self._book_push(listing, depth, "delta", book, bids, asks)

    # --- once a second ----------------------------------------------------------------------------

    def _publish_second(self, second: int, now_ms: int) -> None:
        for number, (symbol, topics) in enumerate(self._wanted.items()):
            feed = self._feeds[symbol]
            if "tickers" in topics and feed.ticker:
                # Spread over the period, so that no second carries everyone's.
                self._publish_ticker(feed, second + number, now_ms)
            for topic in topics:
                if topic.startswith("kline."):
                    self._publish_candle(feed.listing, topic, now_ms)

    def _publish_ticker(self, feed: Feed, turn: int, now_ms: int) -> None:
        """What has changed since the last one."""
        market, listing = self._market, feed.listing
        if listing.kind == "spot":
            self._publish_spot_ticker(feed, now_ms)
            return
        state = market.mark_state(listing, now_ms)
        now = tickers.price_fields(listing, *tickers.last_price(market, listing, now_ms), state)
        if turn % _POSITIONS_EVERY_S == 0:
            now |= tickers.position_fields(market, listing, state, now_ms)
        if turn % _DAY_EVERY_S == 0:
            now |= tickers.day_fields(market, listing, now_ms)
        changed = {name: text for name, text in now.items() if feed.ticker.get(name) != text}
        if changed:
            feed.ticker |= changed
            data = tickers.ticker_push(listing, "delta", now_ms, tickers.streamed(changed))
            self._send(f"tickers.{listing.symbol}", data)

    def _publish_spot_ticker(self, feed: Feed, now_ms: int) -> None:
        """Spot's is whole each time."""
        fields = self._ticker_fields(feed.listing, now_ms)
        if fields != feed.ticker:
            feed.ticker = fields
            data = tickers.ticker_push(feed.listing, "snapshot", now_ms, fields)
            self._send(f"tickers.{feed.listing.symbol}", data)

    def _publish_forced(self, listing: Listing, from_ms: int, to_ms: int) -> None:
        rows = [
            frames.liquidation_row(listing, order)
            for minute in range(from_ms // MINUTE_MS, (to_ms - 1) // MINUTE_MS + 1)
            for order in self._forced_orders(listing, minute)
            if from_ms <= order.time_ms < to_ms
        ]
        if rows:
            data = frames.push("allLiquidation", listing.symbol, to_ms, ",".join(rows))
            self._send(f"allLiquidation.{listing.symbol}", data)

    def _forced_orders(self, listing: Listing, minute: int) -> list[ForcedOrder]:
        slot = (listing.symbol, minute)
        if slot not in self._forced:
            if len(self._forced) > 4 * len(self._feeds):
                self._forced.clear()
            self._forced[slot] = self._market.liquidations(listing, minute)
        return self._forced[slot]

    def _publish_candle(self, listing: Listing, topic: str, now_ms: int) -> None:
        """The candle in the making when it changed, and each candle once more when it has closed."""
        name = topic.partition(".")[2]
        width_ms = INTERVALS[name] * MINUTE_MS
        span = Span(None, None, 2)
        found = candles(self._market, listing, INTERVALS[name], span, now_ms, self._started_ms)
        channel = f"{topic}.{listing.symbol}"
        last = self._candles.get(channel)
        for row in reversed(found):
            start = int(row[0])
            is_closed = start + width_ms <= now_ms
            told = [*row, str(is_closed)]
            # A first reader is not told of the candle that closed before it came.
            if (last is None and is_closed) or told == last:
                continue
            if last is not None and start < int(last[0]):
                continue
            self._candles[channel] = last = told
            end = start + width_ms - 1
            text = frames.candle_row(name, start, end, row[1:], is_closed, now_ms)
            self._send(channel, frames.candle_push(topic, listing.symbol, now_ms, text))
