"""Turns market time into stream messages: everything that fell due since the last tick, in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from apps.sandbox.faces.deribit.channels import Channel, TickerChanges, frame, parse_channel
from apps.sandbox.faces.deribit.futures import change_id, sides_of
from apps.sandbox.faces.deribit.listings import amount_of, currency_of, price_of
from apps.sandbox.faces.deribit.model_source import ModelSource
from apps.sandbox.faces.deribit.option_publisher import OptionPublisher
from apps.sandbox.faces.deribit.rpc import RESOLUTIONS
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.publishing import TickingPublisher
from apps.sandbox.faces.trades import TradeCursor
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import MINUTE_MS, Book

_SECOND_MS: Final = 1_000
# Tickers speak when something changes: more often for the busy ones.
_TICKER_MS: Final = {"BTC": 500, "ETH": 500}
_TICKER_OTHERS_MS: Final = 1_000


@dataclass(slots=True)
class _Plan:
    """The channels that someone reads."""

    trades: dict[str, list[str]] = field(default_factory=dict)
    books: list[Channel] = field(default_factory=list)
    tickers: list[Channel] = field(default_factory=list)
    seconds: list[Channel] = field(default_factory=list)


class Publisher(TickingPublisher):
    """Streams of one face."""

    tick_s = 0.1

    def __init__(self, source: ModelSource, hub: Hub, now_ms: Callable[[], int]) -> None:
        super().__init__(hub, now_ms)
        self._source = source
        self._plan = _Plan()
        self._trades = {name: TradeCursor() for name in source.every}
        self._listed = source.listings
        self._books: dict[str, Book] = {}
        """The last book told on each book channel: the next message continues it."""
        self._newest: dict[str, Book] = {}
        self._ticker_slots: dict[str, int] = {}
        self._changes = TickerChanges()
        self._quotes: dict[str, tuple[int, int, int, int]] = {}
        self._second = self._last_ms // _SECOND_MS
        self._options = OptionPublisher(source.options, hub)

    def first_frames(self, channel: Channel) -> list[bytes]:
        """What a new reader of a channel is told at once: a book from its beginning."""
        listing = self._source.listings.get(channel.name)
        if listing is not None and channel.family == "changes of ticker":
            data = self._changes.whole(channel.channel, lambda: self._ticker(listing))
            return [frame(channel.channel, orjson.dumps(data))]
        if channel.family not in ("book", "changes of ticker"):
            return []
        if listing is None:
            return self._options.first_frames(channel)
        book = self._books.get(channel.channel)
        if book is None:
            step = self._now_ms() // listing.book_step_ms
            book = self._books[channel.channel] = self._book(listing, step)
        levels = [
            (side, price_of(listing, ticks), amount_of(listing, ticks, lots))
            for side, found in (("bids", book.bids), ("asks", book.asks))
            for ticks, lots in sorted(found.items(), reverse=side == "bids")
        ]
        data = {
            "type": "snapshot",
            "timestamp": book.time_ms,
            "instrument_name": listing.symbol,
            "change_id": change_id(book.step),
            **{
                side: [["new", price, amount] for own, price, amount in levels if own == side]
                for side in ("bids", "asks")
            },
        }
        return [frame(channel.channel, orjson.dumps(data))]

    def tick(self, now_ms: int) -> None:
        if self._source.listings is not self._listed:
            self._tell_listings(now_ms)
        super().tick(now_ms)

    def _go_on_from_now(self) -> None:
        for cursor in self._trades.values():
            cursor.restart()

    def _publish(self, now_ms: int) -> None:
        for name, channels in self._plan.trades.items():
            self._publish_trades(self._source.every[name], channels, now_ms)
        for channel in self._plan.books:
            self._publish_book(channel, now_ms)
        for channel in self._plan.tickers:
            self._publish_ticker(channel, now_ms)
        self._options.tick(now_ms)
        second = now_ms // _SECOND_MS
        if second != self._second:
            self._second = second
            for channel in self._plan.seconds:
                self._publish_second(channel)

    def _tell_listings(self, now_ms: int) -> None:
        """A future was delivered or a new one listed."""
        old, self._listed = self._listed, self._source.listings
        self._is_stale = True
        told = [(name, ("settled", "closed")) for name in old if name not in self._listed]
        told += [(name, ("created", "started")) for name in self._listed if name not in old]
        for name, states in told:
            currency = currency_of(self._source.every[name])
            for kind in ("future", "any"):
                for channel in (f"instrument.state.{kind}.{one}" for one in (currency, "any")):
                    for state in states:
                        row = {"timestamp": now_ms, "state": state, "instrument_name": name}
                        self._hub.publish(channel, frame(channel, orjson.dumps(row)))

    # --- what is wanted -------------------------------------------------------------------------------

    def _replan(self) -> None:
        plan = _Plan()
        for name in sorted(self._hub.channels()):
            channel = parse_channel(name)
            if channel is not None:
                self._add(plan, channel)
        self._plan = plan
        self._options.plan([one for one in map(parse_channel, self._hub.channels()) if one])
        self._changes.keep({channel.channel for channel in plan.tickers})
        wanted = {channel.channel for channel in plan.books}
        self._books = {name: book for name, book in self._books.items() if name in wanted}
        for name, cursor in self._trades.items():
            if name not in plan.trades:
                cursor.restart()

    def _add(self, plan: _Plan, channel: Channel) -> None:
        listings = self._source.listings
        if channel.family == "all trades" and channel.kind in ("future", "any"):
            for name, listing in listings.items():
                if channel.name in ("any", currency_of(listing)):
                    plan.trades.setdefault(name, []).append(channel.channel)
        elif channel.family == "index":
            plan.seconds.append(channel)
        elif channel.name not in listings:
            return
        elif channel.family == "trades":
            plan.trades.setdefault(channel.name, []).append(channel.channel)
        elif channel.family in ("book", "grouped book", "quote"):
            plan.books.append(channel)
        elif channel.family in ("ticker", "changes of ticker"):
            plan.tickers.append(channel)
        elif channel.family in ("perpetual", "chart"):
            plan.seconds.append(channel)

    # --- trades ---------------------------------------------------------------------------------------

    def _publish_trades(self, listing: Listing, channels: list[str], now_ms: int) -> None:
        rows: list[dict[str, Any]] = []
        cursor = self._trades[listing.symbol]
        for minute, tape, due in cursor.due(self._source.market, listing, now_ms):
            rows += self._source.futures.trade_rows(listing, minute, tape, due.start, due.stop)
        if rows:
            data = orjson.dumps(rows)
            for channel in channels:
                self._hub.publish(channel, frame(channel, data))

    # --- books and quotes -----------------------------------------------------------------------------

    def _book(self, listing: Listing, step: int) -> Book:
        """Several channels show the same book: it is made once a step."""
        known = self._newest.get(listing.symbol)
        if known is None or known.step != step:
            known = self._newest[listing.symbol] = self._source.market.book(listing, step)
        return known

    def _publish_book(self, channel: Channel, now_ms: int) -> None:
        listing = self._source.listings.get(channel.name)
        if listing is None:
            return
        every = max(1, round(channel.pace_ms / (listing.book_step_ms * listing.pace)))
        step = now_ms // listing.book_step_ms // every * every
        old = self._books.get(channel.channel)
        if old is not None and step <= old.step:
            return
        book = self._books[channel.channel] = self._book(listing, step)
        if channel.family == "grouped book":
            data = {
                "timestamp": book.time_ms,
                "instrument_name": listing.symbol,
                "change_id": change_id(step),
                **sides_of(listing, book, channel.depth),
            }
            self._hub.publish(channel.channel, frame(channel.channel, orjson.dumps(data)))
        elif channel.family == "quote":
            self._publish_quote(channel, listing, book)
        elif old is not None:
            data_bytes = (
                f'{{"type":"change","timestamp":{book.time_ms},"prev_change_id":{change_id(old.step)},'
                f'"instrument_name":"{listing.symbol}","change_id":{change_id(step)},'
                f'"bids":[{_changes(listing, old.bids, book.bids)}],'
                f'"asks":[{_changes(listing, old.asks, book.asks)}]}}'
            ).encode()
            self._hub.publish(channel.channel, frame(channel.channel, data_bytes))

    def _publish_quote(self, channel: Channel, listing: Listing, book: Book) -> None:
        bid, ask = max(book.bids), min(book.asks)
        quote = (bid, book.bids[bid], ask, book.asks[ask])
        if self._quotes.get(channel.channel) == quote:
            return
        self._quotes[channel.channel] = quote
        data = {
            "timestamp": book.time_ms,
            "instrument_name": listing.symbol,
            "best_bid_price": price_of(listing, bid),
            "best_bid_amount": amount_of(listing, bid, book.bids[bid]),
            "best_ask_price": price_of(listing, ask),
            "best_ask_amount": amount_of(listing, ask, book.asks[ask]),
        }
        self._hub.publish(channel.channel, frame(channel.channel, orjson.dumps(data)))

    # --- tickers and what speaks every second ---------------------------------------------------------

    def _publish_ticker(self, channel: Channel, now_ms: int) -> None:
        listing = self._source.every[channel.name]
        slot = now_ms // _TICKER_MS.get(listing.asset, _TICKER_OTHERS_MS)
        if self._ticker_slots.get(channel.channel) == slot:
            return
        self._ticker_slots[channel.channel] = slot
        data = self._ticker(listing)
        if channel.family == "changes of ticker":
            data = self._changes.change(channel.channel, data)
        self._hub.publish(channel.channel, frame(channel.channel, orjson.dumps(data)))

    def _ticker(self, listing: Listing) -> dict[str, Any]:
        book = self._book(listing, self._now_ms() // listing.book_step_ms)
        return self._source.futures.ticker(listing, book)

    def _publish_second(self, channel: Channel) -> None:
        data = self._second_data(channel)
        if data is not None:
            self._hub.publish(channel.channel, frame(channel.channel, orjson.dumps(data)))

    def _second_data(self, channel: Channel) -> Any:
        source, now, name = self._source, self._now_ms(), channel.name
        listing = source.listings.get(name)
        if channel.family == "index":
            if name not in source.by_index:
                return None
            return {"timestamp": now, "price": source.index_price(name), "index_name": name}
        if listing is None:
            return None
        if channel.family == "perpetual":
            state = source.market.mark_state(listing, now)
            index = round(state.index_price, listing.price_decimals + 1)
            rate = round(state.funding_rate * 8.0, 8)
            return {"timestamp": now, "interest": rate, "index_price": index}
        return self._candle(listing, channel.width, now)

    def _candle(self, listing: Listing, resolution: str, now: int) -> dict[str, Any] | None:
        width = RESOLUTIONS.get(resolution)
        if width is None:
            return None
        start = now // MINUTE_MS // width * width * MINUTE_MS
        columns = self._source.chart(listing.symbol, width, start, now)
        if not columns["ticks"]:
            return None
        names = ("open", "high", "low", "close", "volume", "cost")
        return {"tick": columns["ticks"][-1], **{name: columns[name][-1] for name in names}}


def _changes(listing: Listing, old: dict[int, int], new: dict[int, int]) -> str:
    """Levels that differ, as ``["new"|"change"|"delete", price, amount]``."""
    price = listing.price
    rows = [
        f'["{"change" if ticks in old else "new"}",{price(ticks)},{amount_of(listing, ticks, lots)}]'
        for ticks, lots in new.items() - old.items()
    ]
    rows += [f'["delete",{price(ticks)},0.0]' for ticks in old.keys() - new.keys()]
    return ",".join(rows)
