"""REST answers from the market model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from apps.sandbox.faces.binance import history
from apps.sandbox.faces.binance.exchange_info import (
    cm_exchange_info,
    spot_exchange_info,
    um_exchange_info,
)
from apps.sandbox.faces.binance.sequence import last_id, snapshot_id
from apps.sandbox.faces.binance.source import Json, TimeRange
from apps.sandbox.market.dated import is_listed, listed
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import MINUTE_MS, Book, Market, Tape

_HOUR_MS: Final = 3_600_000
_RECENT_MS: Final = 6 * _HOUR_MS
_KEPT_MS: Final = 48 * _HOUR_MS
"""How far back aggregated trades of futures are served."""


class ModelSource:
    """Implements ``source.Source`` for the listings of one market type."""

    def __init__(
        self,
        market: Market,
        listings: Sequence[Listing],
        now_ms: Callable[[], int],
        coin_margined: Sequence[Listing] = (),
    ) -> None:
        self._market = market
        self._listings = {listing.symbol: listing for listing in listings}
        self._coin_margined = tuple(coin_margined)
        self._now_ms = now_ms
        self._started_ms = now_ms()
        self.is_spot = not any(listing.is_perp for listing in listings)

    def now_ms(self) -> int:
        return self._now_ms()

    def symbols(self) -> tuple[str, ...]:
        return tuple(one.symbol for one in listed(self._listings.values(), self.now_ms()))

    def has_symbol(self, symbol: str) -> bool:
        return symbol in self._listings and is_listed(self._listings[symbol], self.now_ms())

    def exchange_info(self) -> Json:
        build = spot_exchange_info if self.is_spot else um_exchange_info
        return build(listed(self._listings.values(), self.now_ms()), self.now_ms())

    def coin_exchange_info(self) -> Json:
        return cm_exchange_info(self._coin_margined, self.now_ms())

    def _book(self, listing: Listing) -> Book:
        return self._market.book(listing, self.now_ms() // listing.book_step_ms)

    def depth(self, symbol: str, limit: int) -> Json:
        listing = self._listings[symbol]
        book = self._book(listing)
        answer: dict[str, Json] = {"lastUpdateId": snapshot_id(listing, book.step)}
        if not self.is_spot:
            answer |= {"E": self.now_ms(), "T": book.time_ms}
        bids = sorted(book.bids.items(), reverse=True)[:limit]
        asks = sorted(book.asks.items())[:limit]
        answer["bids"] = [[listing.price(price), listing.size(lots)] for price, lots in bids]
        answer["asks"] = [[listing.price(price), listing.size(lots)] for price, lots in asks]
        return answer

    def agg_trades(self, symbol: str, from_id: int | None, span: TimeRange) -> Json:
        listing = self._listings[symbol]
        now = self.now_ms()
        if from_id is not None:
            start, end = now - _KEPT_MS, now
        elif span.start is None and span.end is None:
            return self._latest(listing, span.limit)
        else:
            start = span.start if span.start is not None else (span.end or now) - _HOUR_MS
            end = min(now, span.end if span.end is not None else start + _HOUR_MS)
            if not self.is_spot:
                start = max(start, now - _KEPT_MS)
        rows: list[Json] = []
        for minute in self._minutes_with(listing, start, end, from_id):
            rows += [
                row
                for row in self._trade_rows(listing, self._market.tape(listing, minute))
                if start <= row["T"] <= end and (from_id is None or row["a"] >= from_id)
            ]
            if len(rows) >= span.limit:
                break
        return rows[: span.limit]

    def _minutes_with(self, listing: Listing, start: int, end: int, from_id: int | None) -> range:
        first, last = start // MINUTE_MS, end // MINUTE_MS
        if from_id is not None and last > first:
            ids = self._market.minute_bars(listing, first, last).first_trade_id
            first += max(0, int(np.searchsorted(ids, from_id, side="right")) - 1)
        return range(first, last + 1)

    def _latest(self, listing: Listing, limit: int) -> list[Json]:
        now = self.now_ms()
        rows: list[Json] = []
        minute = now // MINUTE_MS
        while len(rows) < limit and minute > (now - _RECENT_MS) // MINUTE_MS:
            made = self._trade_rows(listing, self._market.tape(listing, minute))
            rows = [row for row in made if row["T"] <= now] + rows
            minute -= 1
        return rows[-limit:]

    def _trade_rows(self, listing: Listing, tape: Tape) -> list[dict[str, Json]]:
        rows = []
        columns = (tape.time_ms, tape.price, tape.lots, tape.is_buy)
        for number, (time, price, lots, is_buy) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            trade = tape.first_id + number
            row: dict[str, Json] = {
                "a": trade,
                "p": listing.price(price),
                "q": listing.size(lots),
                "f": trade,
                "l": trade,
                "T": time,
                "m": not is_buy,
            }
            row |= {"M": True} if self.is_spot else {"nq": row["q"]}
            rows.append(row)
        return rows

    def recent_trades(self, symbol: str, limit: int) -> Json:
        return [
            {
                "id": row["a"],
                "price": row["p"],
                "qty": row["q"],
                "quoteQty": f"{float(row['p']) * float(row['q']):.8f}",
                "time": row["T"],
                "isBuyerMaker": row["m"],
            }
            for row in self._latest(self._listings[symbol], limit)
        ]

    def klines(self, series: str, symbol: str, interval: str, span: TimeRange) -> Json:
        listing = self._listings[symbol]
        if series == "last":
            return history.klines(
                self._market, listing, interval, span, self.now_ms(), self._started_ms
            )
        return history.price_klines(self._market, listing, series, interval, span, self.now_ms())

    def premium_index(self, symbol: str) -> Json:
        now = self.now_ms()
        listing = self._listings[symbol]
        state = self._market.mark_state(listing, now)
        return {
            "symbol": symbol,
            "markPrice": f"{state.mark_price:.8f}",
            "indexPrice": f"{state.index_price:.8f}",
            "estimatedSettlePrice": f"{state.settle_price:.8f}",
            "lastFundingRate": f"{state.funding_rate:.8f}" if listing.is_perp else "",
            "interestRate": "0.00010000" if listing.is_perp else "",
            "nextFundingTime": state.next_funding_ms,
            "time": now,
        }

    def funding_info(self) -> Json:
        return [
            {
                "symbol": listing.symbol,
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": listing.funding_interval_h,
                "disclaimer": False,
                "updateTime": None,
            }
            for listing in self._listings.values()
            if listing.funding_interval_h not in (None, 8)
        ]

    def funding_rates(self, symbol: str | None, span: TimeRange) -> Json:
        chosen = [self._listings[symbol]] if symbol else list(self._listings.values())
        return history.funding_rates(self._market, chosen, span, self.now_ms())

    def open_interest(self, symbol: str) -> Json:
        listing = self._listings[symbol]
        now = self.now_ms()
        lots = float(self._market.open_interest(listing, np.array([now], dtype=np.int64))[0])
        return {"symbol": symbol, "openInterest": listing.size(lots), "time": now}

    def open_interest_history(self, symbol: str, period_ms: int, span: TimeRange) -> Json:
        listing = self._listings[symbol]
        return history.open_interest(self._market, listing, period_ms, span, self.now_ms())

    def long_short_ratio(self, series: str, symbol: str, period_ms: int, span: TimeRange) -> Json:
        listing = self._listings[symbol]
        return history.long_short(self._market, listing, series, period_ms, span, self.now_ms())

    def taker_ratio(self, symbol: str, period_ms: int, span: TimeRange) -> Json:
        listing = self._listings[symbol]
        return history.taker_ratio(self._market, listing, period_ms, span, self.now_ms())

    def ticker_24h(self, symbol: str) -> Json:
        listing = self._listings[symbol]
        now = self.now_ms()
        answer = {"symbol": symbol, **history.rolling_day(self._market, listing, now)}
        if self.is_spot:
            touch = self._market.touch(listing, now)
            answer |= {
                "bidPrice": listing.price(touch.bid),
                "bidQty": listing.size(1),
                "askPrice": listing.price(touch.ask),
                "askQty": listing.size(1),
            }
        return answer

    def book_ticker(self, symbol: str) -> Json:
        listing = self._listings[symbol]
        book = self._book(listing)
        bid, ask = max(book.bids), min(book.asks)
        answer: dict[str, Json] = {
            "symbol": symbol,
            "bidPrice": listing.price(bid),
            "bidQty": listing.size(book.bids[bid]),
            "askPrice": listing.price(ask),
            "askQty": listing.size(book.asks[ask]),
        }
        if not self.is_spot:
            answer |= {"time": book.time_ms, "lastUpdateId": last_id(listing, book.step)}
        return answer

    def price(self, symbol: str) -> Json:
        listing = self._listings[symbol]
        now = self.now_ms()
        row = self._latest(listing, 1)[-1]
        return {"symbol": symbol, "price": row["p"], "time": now}
