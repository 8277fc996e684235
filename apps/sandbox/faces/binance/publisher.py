"""Turns market time into stream messages: everything that fell due since the last tick, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from apps.sandbox.faces.binance import frames
from apps.sandbox.faces.binance.exchange_info import LISTED_MS
from apps.sandbox.faces.binance.history import klines, rolling_day
from apps.sandbox.faces.binance.plan import (
    CONTRACTS,
    FORCE_ALL,
    MARK_ALL,
    MINI_ALL,
    QUOTE_ALL,
    TICKER_ALL,
    Wanted,
    plan,
)
from apps.sandbox.faces.binance.source import TimeRange
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.publishing import TickingPublisher
from apps.sandbox.faces.trades import TradeCursor
from apps.sandbox.market.book import book_difference
from apps.sandbox.market.dated import is_listed, listed
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import MINUTE_MS, Book, ForcedOrder, Market

_SECOND_MS: Final = 1_000
_KLINE_EVERY_MS: Final = 250


@dataclass(slots=True)
class Feed:
    """Where one listing's streams have got to."""

    listing: Listing
    trades: TradeCursor = field(default_factory=TradeCursor)
    step: int = -1
    books: dict[int, Book] | None = None
    quote: tuple[int, int, int, int] | None = None

    def forget(self) -> None:
        self.trades.restart()
        self.step = -1
        self.books = self.quote = None


class Publisher(TickingPublisher):
    """Streams of the listings of one face."""

    def __init__(
        self, market: Market, listings: Sequence[Listing], hub: Hub, now_ms: Callable[[], int]
    ) -> None:
        super().__init__(hub, now_ms)
        self._market = market
        self._by_symbol = {listing.symbol.lower(): listing for listing in listings}
        self._feeds = {symbol: Feed(listing) for symbol, listing in self._by_symbol.items()}
        self._plan: dict[str, Wanted] = {}
        self._started_ms = self._last_ms
        self._last_second = self._last_ms // _SECOND_MS
        self._candles: dict[str, tuple[list[object], bool]] = {}
        self._klines_ms = 0
        self._forced: dict[tuple[str, int], list[ForcedOrder]] = {}
        self._listed = self._names_at(self._last_ms)

    def _names_at(self, now_ms: int) -> frozenset[str]:
        return frozenset(one.symbol for one in listed(self._by_symbol.values(), now_ms))

    def _go_on_from_now(self) -> None:
        for feed in self._feeds.values():
            feed.forget()

    def _publish(self, now_ms: int) -> None:
        for symbol, wanted in self._plan.items():
            feed = self._feeds[symbol]
            if wanted.has_trades:
                self._publish_trades(feed, wanted, now_ms)
            if wanted.has_book or self._hub.wants(QUOTE_ALL):
                self._publish_book(feed, wanted, now_ms)
        second = now_ms // _SECOND_MS
        if second != self._last_second:
            self._publish_second(
                max(second - 10, self._last_second) * _SECOND_MS, second * _SECOND_MS, now_ms
            )
            self._last_second = second
        self._publish_klines(now_ms)

    def _replan(self) -> None:
        self._plan = plan(self._hub.channels(), self._by_symbol)
        for symbol, feed in self._feeds.items():
            wanted = self._plan.get(symbol)
            if wanted is None or not wanted.has_trades:
                feed.trades.restart()
            if wanted is None or not (wanted.has_book or self._hub.wants(QUOTE_ALL)):
                feed.step, feed.books = -1, None

    def _publish_trades(self, feed: Feed, wanted: Wanted, now_ms: int) -> None:
        for _, tape, due in feed.trades.due(self._market, feed.listing, now_ms):
            for at in due:
                self._publish_trade(feed.listing, wanted, tape.first_id + at, (
                    int(tape.time_ms[at]), int(tape.price[at]), int(tape.lots[at]), bool(tape.is_buy[at])
                ), now_ms)  # fmt: skip

    def _publish_trade(
        self,
        listing: Listing,
        wanted: Wanted,
        number: int,
        row: tuple[int, int, int, bool],
        now_ms: int,
    ) -> None:
        if wanted.agg_trade:
            self._hub.publish(wanted.agg_trade, frames.agg_trade(listing, number, *row, now_ms))
        if wanted.trade:
            self._hub.publish(wanted.trade, frames.trade(listing, number, *row, now_ms))

    def _publish_book(self, feed: Feed, wanted: Wanted, now_ms: int) -> None:
        listing = feed.listing
        newest = now_ms // listing.book_step_ms
        if feed.books is None:
            feed.step = newest
            feed.books = {}
        while feed.step < newest:
            feed.step += 1
            self._publish_step(feed, wanted, feed.step, now_ms)

    def _publish_step(self, feed: Feed, wanted: Wanted, step: int, now_ms: int) -> None:
        listing = feed.listing
        due = [channel for channel in wanted.depth if step % channel.every == 0]
        quoted = wanted.quote or self._hub.wants(QUOTE_ALL)
        if not due and not quoted:
            return
        books = feed.books if feed.books is not None else {}
        book = self._market.book(listing, step)
        for channel in due:
            if channel.levels:
                data = frames.top_levels(listing, book, channel.levels, now_ms)
            else:
                before = step - channel.every
                old = books.get(channel.every)
                if old is None or old.step != before:
                    old = self._market.book(listing, before)
                bids = book_difference(old.bids, book.bids)
                asks = book_difference(old.asks, book.asks)
                data = frames.depth_update(listing, book, before, bids, asks, now_ms)
                books[channel.every] = book
            self._hub.publish(channel.channel, data)
        if quoted:
            self._publish_quote(feed, wanted, book, now_ms)

    def _publish_quote(self, feed: Feed, wanted: Wanted, book: Book, now_ms: int) -> None:
        bid, ask = max(book.bids), min(book.asks)
        quote = (bid, book.bids[bid], ask, book.asks[ask])
        if quote == feed.quote:
            return
        feed.quote = quote
        data = frames.book_ticker(feed.listing, book, now_ms)
        if wanted.quote:
            self._hub.publish(wanted.quote, data)
        self._hub.publish(QUOTE_ALL, data)

    def _publish_second(self, from_ms: int, to_ms: int, now_ms: int) -> None:
        self._publish_marks(to_ms)
        self._publish_forced(from_ms, to_ms, now_ms)
        self._publish_tickers(now_ms)
        self._publish_contracts(now_ms)

    def _publish_marks(self, at_ms: int) -> None:
        whole = {name for name in MARK_ALL if self._hub.wants(name) and _is_mark_due(name, at_ms)}
        rows = []
        for symbol, listing in self._by_symbol.items():
            wanted = self._plan.get(symbol)
            own = [name for name in wanted.marks if _is_mark_due(name, at_ms)] if wanted else []
            if listing.kind == "spot" or not (own or whole) or not is_listed(listing, at_ms):
                continue
            data = frames.mark_price(listing, self._market.mark_state(listing, at_ms), at_ms)
            if not listing.is_inverse:
                rows.append(data)
            for channel in own:
                self._hub.publish(channel, data)
        for channel in whole:
            self._hub.publish(channel, b"[%b]" % b",".join(rows))

    def _publish_forced(self, from_ms: int, to_ms: int, now_ms: int) -> None:
        """At most one order per symbol and second, the largest (VENUES section 8)."""
        everyone = self._hub.wants(FORCE_ALL)
        for symbol, listing in self._by_symbol.items():
            wanted = self._plan.get(symbol)
            channel = wanted.force if wanted else ""
            if not listing.is_perp or not (everyone or channel):
                continue
            for order in self._largest(listing, from_ms, to_ms):
                data = frames.force_order(listing, order, now_ms)
                self._hub.publish(FORCE_ALL, data)
                self._hub.publish(channel, data)

    def _largest(self, listing: Listing, from_ms: int, to_ms: int) -> list[ForcedOrder]:
        best: dict[int, ForcedOrder] = {}
        for minute in range(from_ms // MINUTE_MS, (to_ms - 1) // MINUTE_MS + 1):
            for order in self._forced_orders(listing, minute):
                second = order.time_ms // _SECOND_MS
                if from_ms <= order.time_ms < to_ms and (
                    second not in best or order.lots > best[second].lots
                ):
                    best[second] = order
        return [best[second] for second in sorted(best)]

    def _forced_orders(self, listing: Listing, minute: int) -> list[ForcedOrder]:
        slot = (listing.symbol, minute)
        if slot not in self._forced:
            if len(self._forced) > 4 * len(self._by_symbol):
                self._forced.clear()
            self._forced[slot] = self._market.liquidations(listing, minute)
        return self._forced[slot]

    def _publish_tickers(self, now_ms: int) -> None:
        whole: dict[str, list[bytes]] = {
            name: [] for name in (TICKER_ALL, MINI_ALL) if self._hub.wants(name)
        }
        for symbol, listing in self._by_symbol.items():
            wanted = self._plan.get(symbol)
            ticker, mini = (wanted.ticker, wanted.mini) if wanted else ("", "")
            if not (whole or ticker or mini) or not is_listed(listing, now_ms):
                continue
            day = rolling_day(self._market, listing, now_ms)
            for channel, every, make in (
                (ticker, TICKER_ALL, self._ticker),
                (mini, MINI_ALL, frames.mini_ticker),
            ):
                if channel or every in whole:
                    data = make(listing, day, now_ms)
                    self._hub.publish(channel, data)
                    whole.get(every, []).append(data)
        for name, rows in whole.items():
            self._hub.publish(name, b"[%b]" % b",".join(rows))

    def _ticker(self, listing: Listing, day: dict[str, object], now_ms: int) -> bytes:
        touch = self._market.touch(listing, now_ms)
        quote = (
            listing.price(touch.bid),
            listing.size(1),
            listing.price(touch.ask),
            listing.size(1),
        )
        return frames.ticker(listing, day, now_ms, quote)

    def _publish_contracts(self, now_ms: int) -> None:
        """A dated contract came or went."""
        if not self._hub.wants(CONTRACTS):
            return
        before, self._listed = self._listed, self._names_at(now_ms)
        for listing in self._by_symbol.values():
            was, is_there = listing.symbol in before, listing.symbol in self._listed
            if was != is_there:
                status = "TRADING" if is_there else "SETTLING"
                data = frames.contract_info(listing, status, LISTED_MS, now_ms)
                self._hub.publish(CONTRACTS, data)

    def _publish_klines(self, now_ms: int) -> None:
        """The candle in the making when it changed, and each candle once more when it has closed."""
        if now_ms - self._klines_ms < _KLINE_EVERY_MS:
            return
        self._klines_ms = now_ms
        for symbol, wanted in self._plan.items():
            listing = self._by_symbol[symbol]
            for channel, interval in wanted.klines:
                rows = klines(
                    self._market,
                    listing,
                    interval,
                    TimeRange(None, None, 2),
                    now_ms,
                    self._started_ms,
                )
                self._publish_candle(listing, channel, interval, rows, now_ms)

    def _publish_candle(
        self,
        listing: Listing,
        channel: str,
        interval: str,
        rows: Sequence[list[object]],
        now_ms: int,
    ) -> None:
        last = self._candles.get(channel, (None, False))[0]
        for row in rows:
            if last is not None and int(str(row[0])) < int(str(last[0])):
                continue
            closed = now_ms > int(str(row[6]))
            # A first subscriber is not told of the candle that closed before it came.
            if (last is None and closed) or (row, closed) == self._candles.get(channel):
                continue
            minute = int(str(row[0])) // MINUTE_MS
            first_id = int(self._market.minute_bars(listing, minute, minute).first_trade_id[0])
            self._hub.publish(channel, frames.kline(listing, row, interval, first_id, now_ms))
            self._candles[channel] = (row, closed)
            last = row


def _is_mark_due(channel: str, at_ms: int) -> bool:
    """Without ``@1s`` a mark stream speaks every three seconds."""
    return channel.endswith("@1s") or at_ms // _SECOND_MS % 3 == 0
