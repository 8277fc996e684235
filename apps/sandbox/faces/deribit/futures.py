"""Futures in Deribit's form: tickers, summaries, prints, books."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from apps.sandbox.faces.deribit import history
from apps.sandbox.faces.deribit.listings import amount_of, price_of
from apps.sandbox.faces.deribit.source import Json
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import MINUTE_MS, Book, Market, MarkState, Tape

STATS: Final = ("high", "low", "price_change", "volume", "volume_usd")
_STATS_EVERY_MS: Final = 10_000
_HOURS_OF_RATE: Final = 8.0
CHANGES_PER_STEP: Final = 37


def change_id(step: int) -> int:
    """A pure function of a book's step, so that every channel and REST agree, also after a restart."""
    return step * CHANGES_PER_STEP


class FutureDesk:
    """What the venue says of its futures. Not thread-safe: one event loop owns it."""

    def __init__(self, market: Market, now_ms: Callable[[], int]) -> None:
        self.market = market
        self.now_ms = now_ms
        self._stats: dict[str, tuple[int, Json]] = {}
        self._forced: dict[tuple[str, int], dict[tuple[int, int, int], int]] = {}

    def book(self, listing: Listing) -> Book:
        return self.market.book(listing, self.now_ms() // listing.book_step_ms)

    def ticker(self, listing: Listing, book: Book) -> Json:
        now = self.now_ms()
        state = self.market.mark_state(listing, now)
        bid, ask = max(book.bids), min(book.asks)
        stats = self.stats(listing)
        mark = round(state.mark_price, listing.price_decimals + 1)
        index = round(state.index_price, listing.price_decimals + 1)
        return {
            "timestamp": now,
            "state": "open",
            "stats": {key: stats[key] for key in (*STATS, "volume_notional")},
            "index_price": index,
            "instrument_name": listing.symbol,
            "last_price": self.last_price(listing),
            "settlement_price": mark,
            "min_price": round(mark * 0.985, listing.price_decimals),
            "max_price": round(mark * 1.015, listing.price_decimals),
            "open_interest": self.open_interest(listing, mark),
            "mark_price": mark,
            "interest_value": 0.0,
            "best_ask_price": price_of(listing, ask),
            "best_bid_price": price_of(listing, bid),
            "estimated_delivery_price": index,
            "best_ask_amount": amount_of(listing, ask, book.asks[ask]),
            "best_bid_amount": amount_of(listing, bid, book.bids[bid]),
            **self._funding(listing, state, now),
        }

    def _funding(self, listing: Listing, state: MarkState, now: int) -> Json:
        """Only perpetuals have any. The model's rate is of one hour, the venue's of eight."""
        if not listing.is_perp:
            return {}
        return {
            "current_funding": round(state.funding_rate * _HOURS_OF_RATE, 8),
            "funding_8h": history.eight_hours(self.market, listing, now),
        }

    def last_price(self, listing: Listing) -> float:
        now = self.now_ms()
        tape = self.market.tape(listing, now // MINUTE_MS)
        at = int(np.searchsorted(tape.time_ms, now, side="right")) - 1
        if at < 0:
            tape = self.market.tape(listing, now // MINUTE_MS - 1)
        return price_of(listing, int(tape.price[at]))

    def open_interest(self, listing: Listing, mark: float) -> float:
        lots = float(self.market.open_interest(listing, np.array([self.now_ms()]))[0])
        coins = lots * listing.lot
        if not listing.is_inverse:
            return round(coins, listing.lot_decimals)
        return round(coins * mark / listing.contract_size) * listing.contract_size

    def stats(self, listing: Listing) -> Json:
        """24 h figures, worked out anew every few seconds."""
        now = self.now_ms()
        known = self._stats.get(listing.symbol)
        if known is None or now - known[0] > _STATS_EVERY_MS:
            known = (now, history.day_stats(self.market, listing, now))
            self._stats[listing.symbol] = known
        return known[1]

    def summary(self, listing: Listing) -> Json:
        ticker, stats = self.ticker(listing, self.book(listing)), self.stats(listing)
        bid, ask = ticker["best_bid_price"], ticker["best_ask_price"]
        return {
            "high": stats["high"],
            "low": stats["low"],
            "last": ticker["last_price"],
            "instrument_name": listing.symbol,
            "bid_price": bid,
            "ask_price": ask,
            "mid_price": (bid + ask) / 2,
            "open_interest": ticker["open_interest"],
            "mark_price": ticker["mark_price"],
            "creation_timestamp": ticker["timestamp"],
            "price_change": stats["price_change"],
            "volume": stats["volume"],
            "volume_usd": stats["volume_usd"],
            "volume_notional": stats["volume_notional"],
            "estimated_delivery_price": ticker["estimated_delivery_price"],
            "base_currency": listing.asset,
            "quote_currency": listing.quote,
            **{name: ticker[name] for name in ("current_funding", "funding_8h") if name in ticker},
        }

    def trades(
        self, listing: Listing, start_ms: int, end_ms: int, count: int, oldest_first: bool
    ) -> list[Json]:
        """At least ``count`` + 1 rows where there are so many."""
        first, last = start_ms // MINUTE_MS, end_ms // MINUTE_MS
        minutes = range(first, last + 1) if oldest_first else range(last, first - 1, -1)
        rows: list[Json] = []
        for minute in minutes:
            tape = self.market.tape(listing, minute)
            times = tape.time_ms
            begin = int(np.searchsorted(times, start_ms, side="left"))
            end = int(np.searchsorted(times, end_ms, side="right"))
            rows += self.trade_rows(listing, minute, tape, begin, end)
            if len(rows) > count:
                break
        return rows

    def trade_rows(
        self, listing: Listing, minute: int, tape: Tape, begin: int, end: int
    ) -> list[Json]:
        """Trades ``begin`` … ``end`` of a minute; mark and index are of the minute's start."""
        if begin >= end:
            return []
        state = self.market.mark_state(listing, minute * MINUTE_MS)
        mark = round(state.mark_price, listing.price_decimals + 1)
        index = round(state.index_price, listing.price_decimals + 1)
        forced = self._forced_in(listing, minute)
        family = listing.symbol.partition("-")[0]
        prefix = "" if family == "BTC" else f"{family}-"
        rows: list[Json] = []
        for at in range(begin, end):
            time, ticks, lots = int(tape.time_ms[at]), int(tape.price[at]), int(tape.lots[at])
            amount, number = amount_of(listing, ticks, lots), tape.first_id + at
            row: Json = {
                "timestamp": time,
                "price": price_of(listing, ticks),
                "amount": amount,
                "direction": "buy" if tape.is_buy[at] else "sell",
                "index_price": index,
                "instrument_name": listing.symbol,
                "trade_seq": number,
                "mark_price": mark,
                "tick_direction": at % 4,
                "contracts": round(amount / listing.contract_size, 6),
                "trade_id": f"{prefix}{number}",
            }
            if (time, ticks, lots) in forced:
                row["liquidation"] = _flag(number)
                if row["liquidation"] == "M":
                    # The closing order rested: the taker is on the other side of it.
                    row["direction"] = "sell" if tape.is_buy[at] else "buy"
            rows.append(row)
        return rows

    def _forced_in(self, listing: Listing, minute: int) -> dict[tuple[int, int, int], int]:
        slot = (listing.symbol, minute)
        if slot not in self._forced:
            if len(self._forced) > 64:
                self._forced.clear()
            self._forced[slot] = {
                (order.time_ms, order.price, order.lots): 1
                for order in self.market.liquidations(listing, minute)
            }
        return self._forced[slot]


def sides_of(listing: Listing, book: Book, depth: int) -> dict[str, Any]:
    """The best levels as [price, amount]."""
    bids = sorted(book.bids.items(), reverse=True)[:depth]
    asks = sorted(book.asks.items())[:depth]
    return {
        name: [[price_of(listing, ticks), amount_of(listing, ticks, lots)] for ticks, lots in side]
        for name, side in (("bids", bids), ("asks", asks))
    }


def _flag(trade_number: int) -> str:
    """Mostly the taker is liquidated, now and then the maker, seldom both."""
    if trade_number % 20 == 0:
        return "MT"
    return "M" if trade_number % 7 == 0 else "T"
