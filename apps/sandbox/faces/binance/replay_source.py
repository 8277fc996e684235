"""REST answers of a replay: what was recorded, and otherwise what the venue says when it has nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from apps.sandbox.faces.binance.errors import not_trading
from apps.sandbox.faces.binance.exchange_info import spot_exchange_info, um_exchange_info
from apps.sandbox.faces.binance.listings import VENUE
from apps.sandbox.faces.binance.replay_memory import BinanceMemory
from apps.sandbox.faces.binance.source import Json, TimeRange
from apps.sandbox.market.listing import Listing
from apps.sandbox.replay.restamp import restamp


class ReplaySource:
    """Implements ``source.Source``. History that was not recorded is empty, never made up."""

    def __init__(
        self,
        listings: Sequence[Listing],
        memory: BinanceMemory,
        now_ms: Callable[[], int],
        shift_ms: Callable[[str], int],
        *,
        is_spot: bool,
    ) -> None:
        """``shift_ms``: how far a symbol's recorded times are moved at present."""
        self._listings = {listing.symbol: listing for listing in listings}
        self._memory = memory
        self._now_ms = now_ms
        self._shift_ms = shift_ms
        self._is_spot = is_spot

    def now_ms(self) -> int:
        return self._now_ms()

    def symbols(self) -> tuple[str, ...]:
        return tuple(self._listings)

    def has_symbol(self, symbol: str) -> bool:
        return symbol in self._listings

    def exchange_info(self) -> Json:
        build = spot_exchange_info if self._is_spot else um_exchange_info
        return build(self._listings.values(), self.now_ms())

    def coin_exchange_info(self) -> Json:
        return {"symbols": []}

    def depth(self, symbol: str, limit: int) -> Json:
        book = self._memory.books.get(symbol)
        if book is None:
            raise not_trading()
        return restamp(book.body(limit), self._shift_ms(symbol), VENUE)

    def _read(self, symbol: str, data: bytes) -> dict[str, Any]:
        return dict(orjson.loads(restamp(data, self._shift_ms(symbol), VENUE)))

    def agg_trades(self, symbol: str, from_id: int | None, span: TimeRange) -> Json:
        keys = ("a", "p", "q", "nq", "f", "l", "T", "m", "M")
        played = (self._read(symbol, data) for data in self._memory.agg_trades(symbol))
        rows = [
            {key: row[key] for key in keys if key in row}
            for row in played
            if (from_id is None or row["a"] >= from_id)
            and (span.start is None or row["T"] >= span.start)
            and (span.end is None or row["T"] <= span.end)
        ]
        newest = from_id is None and span.start is None
        return rows[-span.limit :] if newest else rows[: span.limit]

    def recent_trades(self, symbol: str, limit: int) -> Json:
        return [
            {
                "id": row["t"],
                "price": row["p"],
                "qty": row["q"],
                "quoteQty": f"{float(row['p']) * float(row['q']):.8f}",
                "time": row["T"],
                "isBuyerMaker": row["m"],
            }
            for row in (self._read(symbol, data) for data in self._memory.trades(symbol)[-limit:])
        ]

    def klines(self, series: str, symbol: str, interval: str, span: TimeRange) -> Json:
        return []

    def premium_index(self, symbol: str) -> Json | None:
        data = self._memory.mark(symbol)
        if data is None:
            return None
        mark = self._read(symbol, data)
        return {
            "symbol": symbol,
            "markPrice": mark["p"],
            "indexPrice": mark.get("i", ""),
            "estimatedSettlePrice": mark.get("P", ""),
            "lastFundingRate": mark["r"],
            "interestRate": "0.00010000",
            "nextFundingTime": mark["T"],
            "time": mark["E"],
        }

    def funding_info(self) -> Json:
        return []

    def funding_rates(self, symbol: str | None, span: TimeRange) -> Json:
        return []

    def open_interest(self, symbol: str) -> Json:
        raise not_trading()

    def open_interest_history(self, symbol: str, period_ms: int, span: TimeRange) -> Json:
        return []

    def long_short_ratio(self, series: str, symbol: str, period_ms: int, span: TimeRange) -> Json:
        return []

    def taker_ratio(self, symbol: str, period_ms: int, span: TimeRange) -> Json:
        return []

    def ticker_24h(self, symbol: str) -> Json | None:
        return None

    def book_ticker(self, symbol: str) -> Json | None:
        data = self._memory.quote(symbol)
        if data is None:
            return None
        quote = self._read(symbol, data)
        answer: dict[str, Any] = {
            "symbol": symbol,
            "bidPrice": quote["b"],
            "bidQty": quote["B"],
            "askPrice": quote["a"],
            "askQty": quote["A"],
        }
        return (
            answer
            if self._is_spot
            else answer | {"time": quote.get("T"), "lastUpdateId": quote["u"]}
        )

    def price(self, symbol: str) -> Json | None:
        rows = self._memory.trades(symbol) or self._memory.agg_trades(symbol)
        if not rows:
            return None
        last = self._read(symbol, rows[-1])
        return {"symbol": symbol, "price": last["p"], "time": last["T"]}
