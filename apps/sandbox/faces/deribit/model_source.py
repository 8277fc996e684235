"""Answers from the market model; implements ``source.Source``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from apps.sandbox.faces.deribit import documents, history
from apps.sandbox.faces.deribit.errors import invalid, not_found
from apps.sandbox.faces.deribit.futures import FutureDesk, change_id, sides_of
from apps.sandbox.faces.deribit.listings import (
    INDEX_NAMES,
    VENUE,
    currency_of,
)
from apps.sandbox.faces.deribit.options import (
    OptionListing,
    OptionState,
    expiry_name,
    open_interest,
    option_listings,
    option_state,
    volatility_level,
)
from apps.sandbox.faces.deribit.source import Json
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import MINUTE_MS, Market, MarkState

_NULL_STATS: Final = {
    "high": None, "low": None, "price_change": None, "volume": 0.0, "volume_usd": 0.0,
}  # fmt: skip


class ModelSource:
    """One instance per face. Not thread-safe: one event loop owns it."""

    def __init__(
        self, market: Market, listings: Sequence[Listing], now_ms: Callable[[], int]
    ) -> None:
        self.market = market
        self.listings = {listing.symbol: listing for listing in listings}
        self.by_index = {INDEX_NAMES[one.asset]: one for one in listings}
        self._assets = tuple(one.asset for one in listings)
        self._now_ms = now_ms
        self._started_minute = now_ms() // MINUTE_MS
        self.futures = FutureDesk(market, now_ms)

    def now_ms(self) -> int:
        return self._now_ms()

    # --- listings -------------------------------------------------------------------------------------

    def options(self) -> tuple[OptionListing, ...]:
        return option_listings(self._assets, self.now_ms())

    def names(self, currency: str, kind: str | None) -> list[str]:
        return [
            name
            for name, listing in self.listings.items()
            if kind in (None, "any", "future") and documents.is_in(currency, currency_of(listing))
        ]

    def instruments(self, currency: str, kind: str | None) -> list[Json]:
        rows: list[Json] = []
        if kind in (None, "any", "future"):
            rows += [
                documents.perpetual(listing, 1 + number)
                for number, listing in enumerate(self.listings.values())
                if documents.is_in(currency, currency_of(listing))
            ]
        if kind in (None, "any", "option"):
            rows += [
                documents.option(listing, 1_000 + number)
                for number, listing in enumerate(self.options())
                if documents.is_in(currency, listing.currency)
            ]
        return rows

    def perpetual(self, name: str) -> Listing:
        listing = self.listings.get(name)
        if listing is None:
            raise not_found()
        return listing

    def _option(self, name: str) -> OptionListing:
        found = next((one for one in self.options() if one.symbol == name), None)
        if found is None:
            raise not_found()
        return found

    # --- prices ---------------------------------------------------------------------------------------

    def index_price(self, index_name: str) -> float:
        listing = self.by_index.get(index_name)
        if listing is None:
            raise invalid("index_name", "unsupported index_name")
        return round(self.mark(listing).index_price, listing.price_decimals + 2)

    def mark(self, listing: Listing) -> MarkState:
        return self.market.mark_state(listing, self.now_ms())

    def ticker(self, name: str) -> Json:
        if name not in self.listings:
            return self.option_ticker(self._option(name))
        listing = self.listings[name]
        return self.futures.ticker(listing, self.futures.book(listing))

    def option_state(self, option: OptionListing) -> tuple[OptionState, float]:
        """(state, underlying price)."""
        underlying = self.index_price(INDEX_NAMES[option.asset])
        level = volatility_level(VENUE, option.asset, self.now_ms())
        return option_state(option, underlying, level, self.now_ms()), underlying

    def option_ticker(self, option: OptionListing) -> Json:
        state, underlying = self.option_state(option)
        bid, ask = _touch(option, state)
        name = f"SYN.{option.symbol.split('-')[0]}-{expiry_name(option.expiry_ms)}"
        amount = option.min_amount * 10
        return {
            "timestamp": self.now_ms(),
            "state": "open",
            "stats": dict(_NULL_STATS),
            "greeks": {
                "delta": round(state.delta, 5),
                "gamma": round(state.gamma, 8),
                "vega": round(state.vega, 5),
                "theta": round(state.theta, 5),
                "rho": 0.0,
            },
            "index_price": underlying,
            "instrument_name": option.symbol,
            "last_price": None,
            "min_price": option.tick,
            "max_price": round(state.mark_price + 1.0, 4),
            "open_interest": open_interest(option),
            "mark_price": state.mark_price,
            "mark_iv": round(state.iv * 100, 2),
            "bid_iv": round(state.iv * 98, 2) if bid else 0.0,
            "ask_iv": round(state.iv * 102, 2),
            "best_bid_price": bid,
            "best_bid_amount": amount if bid else 0.0,
            "best_ask_price": ask,
            "best_ask_amount": amount,
            "underlying_price": underlying,
            "underlying_index": name,
            "estimated_delivery_price": underlying,
            "interest_rate": 0.0,
        }

    # --- summaries ------------------------------------------------------------------------------------

    def summaries(self, currency: str, kind: str | None) -> list[Json]:
        rows = [self.summary(name) for name in self.names(currency, kind)]
        if kind in (None, "any", "option"):
            rows += [
                self._option_summary(one)
                for one in self.options()
                if documents.is_in(currency, one.currency)
            ]
        return rows

    def summary(self, name: str) -> Json:
        if name not in self.listings:
            return self._option_summary(self._option(name))
        return self.futures.summary(self.listings[name])

    def _option_summary(self, option: OptionListing) -> Json:
        ticker = self.option_ticker(option)
        bid, ask = ticker["best_bid_price"] or None, ticker["best_ask_price"]
        money = option.asset if option.is_inverse else "USDC"
        return {
            "high": None,
            "low": None,
            "last": None,
            "instrument_name": option.symbol,
            "bid_price": bid,
            "ask_price": ask,
            "mid_price": (bid + ask) / 2 if bid else None,
            "open_interest": ticker["open_interest"],
            "mark_price": ticker["mark_price"],
            "mark_iv": ticker["mark_iv"],
            "creation_timestamp": ticker["timestamp"],
            "price_change": None,
            "volume": 0.0,
            "volume_usd": 0.0,
            "underlying_price": ticker["underlying_price"],
            "underlying_index": ticker["underlying_index"],
            "estimated_delivery_price": ticker["estimated_delivery_price"],
            "interest_rate": 0.0,
            "base_currency": option.asset,
            "quote_currency": money,
        }

    def option_marks(self, index_name: str) -> list[Json]:
        """``markprice.options``: here the volatility is a fraction."""
        now = self.now_ms()
        rows: list[Json] = []
        for option in self.options():
            if INDEX_NAMES[option.asset] != index_name:
                continue
            state, _ = self.option_state(option)
            rows.append(
                {
                    "timestamp": now,
                    "instrument_name": option.symbol,
                    "mark_price": state.mark_price,
                    "iv": round(state.iv, 4),
                }
            )
        return rows

    def volatility(self, index_name: str) -> float | None:
        """DVOL in percent; BTC and ETH only."""
        asset = index_name.partition("_")[0].upper()
        if asset not in ("BTC", "ETH") or asset not in self._assets:
            return None
        return round(volatility_level(VENUE, asset, self.now_ms()) * 100, 2)

    # --- books and trades -----------------------------------------------------------------------------

    def order_book(self, name: str, depth: int) -> Json:
        if name not in self.listings:
            ticker = self.option_ticker(self._option(name))
            sides = {
                "bids": [[ticker["best_bid_price"], ticker["best_bid_amount"]]]
                if ticker["best_bid_price"]
                else [],
                "asks": [[ticker["best_ask_price"], ticker["best_ask_amount"]]],
            }
            return {**ticker, **sides, "change_id": self.now_ms()}
        listing = self.listings[name]
        book = self.futures.book(listing)
        return {
            **self.futures.ticker(listing, book),
            "timestamp": book.time_ms,
            "change_id": change_id(book.step),
            **sides_of(listing, book, depth),
        }

    def trades(
        self, names: list[str], start_ms: int, end_ms: int, count: int, *, oldest_first: bool
    ) -> tuple[list[Json], bool]:
        end_ms = min(end_ms, self.now_ms())
        start_ms = max(start_ms, documents.LISTED_MS)
        rows: list[Json] = []
        for name in names:
            rows += self.futures.trades(self.perpetual(name), start_ms, end_ms, count, oldest_first)
        rows.sort(key=lambda row: (row["timestamp"], row["trade_id"]), reverse=not oldest_first)
        return rows[:count], len(rows) > count

    # --- history --------------------------------------------------------------------------------------

    def funding_history(self, name: str, start_ms: int, end_ms: int) -> list[Json]:
        return history.funding(self.market, self.perpetual(name), start_ms, end_ms, self.now_ms())

    def chart(self, name: str, minutes: int, start_ms: int, end_ms: int) -> Json:
        listing = self.perpetual(name)
        return history.chart(
            self.market, listing, minutes, (start_ms, end_ms), self.now_ms(), self._started_minute
        )

    def volatility_index(self, currency: str, step_ms: int, start_ms: int, end_ms: int) -> Json:
        if currency not in ("BTC", "ETH") or currency not in self._assets:
            raise invalid("currency")
        return history.volatility_rows(currency, step_ms, start_ms, min(end_ms, self.now_ms()))


def _touch(option: OptionListing, state: OptionState) -> tuple[float, float]:
    ticks = state.mark_price / option.tick
    bid = max(np.floor(ticks * 0.98 - 0.5), 0.0) * option.tick
    ask = (np.ceil(ticks * 1.02 + 0.5)) * option.tick
    return round(float(bid), 6), round(float(ask), 6)
