"""Answers from the market model; implements ``source.Source``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from apps.sandbox.faces.deribit import documents, history, option_trades
from apps.sandbox.faces.deribit.errors import invalid, not_found
from apps.sandbox.faces.deribit.futures import FutureDesk, change_id, sides_of
from apps.sandbox.faces.deribit.listings import currency_of, index_of
from apps.sandbox.faces.deribit.option_desk import DVOL_ASSETS, OptionDesk
from apps.sandbox.faces.deribit.settlements import Settlements
from apps.sandbox.faces.deribit.source import Json, Scope
from apps.sandbox.market.dated import is_listed
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.options.market import AssetOptions
from apps.sandbox.market.options.terms import board_day
from apps.sandbox.market.protocol import MINUTE_MS, Market

_FUTURES: Final = (None, "any", "future")
_OPTIONS: Final = (None, "any", "option")
_COMBOS: Final = (None, "any", "combo", "option_combo")


class ModelSource:
    """One instance per face. Not thread-safe: one event loop owns it."""

    def __init__(
        self, market: Market, listings: Sequence[Listing], now_ms: Callable[[], int]
    ) -> None:
        self.market = market
        self.every = {listing.symbol: listing for listing in listings}
        """Futures that are listed at some time, in the past and the coming year too."""
        self._listed: dict[str, Listing] = {}
        self._listed_day = -1
        self.by_index = {index_of(one): one for one in listings if one.is_perp}
        self._now_ms = now_ms
        self._started_minute = now_ms() // MINUTE_MS
        self.futures = FutureDesk(market, now_ms)
        self.options = OptionDesk(market, listings, now_ms)
        self._settlements = Settlements(self.futures, self.options)

    def now_ms(self) -> int:
        return self._now_ms()

    @property
    def listings(self) -> dict[str, Listing]:
        """Futures that are listed now; another object once that has changed."""
        now = self.now_ms()
        day = board_day(now)
        if day != self._listed_day:
            found = {name: one for name, one in self.every.items() if is_listed(one, now)}
            if found.keys() != self._listed.keys():
                self._listed = found
            self._listed_day = day
        return self._listed

    # --- listings -------------------------------------------------------------------------------------

    def futures_of(self, currency: str) -> list[Listing]:
        return [
            listing
            for listing in self.listings.values()
            if documents.is_in(currency, currency_of(listing))
        ]

    def instruments(self, currency: str, kind: str | None) -> list[Json]:
        rows: list[Json] = []
        if kind in _FUTURES:
            rows += [
                documents.future(listing, 1 + number)
                for number, listing in enumerate(self.every.values())
                if listing.symbol in self.listings
                and documents.is_in(currency, currency_of(listing))
            ]
        if kind in _OPTIONS:
            rows += self.options.instruments(currency)
        return rows

    def expired(self, currency: str, kind: str | None) -> list[Json]:
        return self.options.expired(currency) if kind in _OPTIONS else []

    def expirations(self, currency: str, kind: str) -> Json:
        found: Json = {}
        for options in self.options.of_currency(currency) if kind in _OPTIONS else ():
            names = [one.name for one in options.boards.at(self.now_ms()).expiries]
            own = found.setdefault(options.terms.currency.lower(), {}).setdefault("option", [])
            own += [name for name in names if name not in own]
        for listing in self.futures_of(currency) if kind in _FUTURES else ():
            own = found.setdefault(currency_of(listing).lower(), {}).setdefault("future", [])
            name = "PERPETUAL" if listing.is_perp else listing.symbol.partition("-")[2]
            own += [name] if name not in own else []
        return found

    def future(self, name: str) -> Listing:
        listing = self.listings.get(name)
        if listing is None:
            raise not_found()
        return listing

    # --- prices ---------------------------------------------------------------------------------------

    def index_price(self, index_name: str) -> float:
        listing = self.by_index.get(index_name)
        if listing is None:
            raise invalid("index_name", "unsupported index_name")
        state = self.market.mark_state(listing, self.now_ms())
        return round(state.index_price, listing.price_decimals + 2)

    def ticker(self, name: str) -> Json:
        listing = self.listings.get(name)
        if listing is None:
            return self.options.ticker(name)
        return self.futures.ticker(listing, self.futures.book(listing))

    def summaries(self, currency: str, kind: str | None) -> list[Json]:
        rows: list[Json] = []
        if kind in _FUTURES:
            rows += [self.futures.summary(listing) for listing in self.futures_of(currency)]
        if kind in _OPTIONS:
            rows += self.options.summaries(currency)
        return rows

    def summary(self, name: str) -> Json:
        listing = self.listings.get(name)
        return self.options.summary(name) if listing is None else self.futures.summary(listing)

    def order_book(self, name: str, depth: int) -> Json:
        listing = self.listings.get(name)
        if listing is None:
            return self.options.order_book(name, depth)
        book = self.futures.book(listing)
        return {
            **self.futures.ticker(listing, book),
            "timestamp": book.time_ms,
            "change_id": change_id(book.step),
            **sides_of(listing, book, depth),
        }

    # --- trades ---------------------------------------------------------------------------------------

    def trades(
        self, scope: Scope, start_ms: int, end_ms: int, count: int, *, oldest_first: bool
    ) -> tuple[list[Json], bool]:
        end_ms = min(end_ms, self.now_ms())
        start_ms = max(start_ms, documents.LISTED_MS)
        rows: list[Json] = []
        for listing in self._traded_futures(scope):
            rows += self.futures.trades(listing, start_ms, end_ms, count, oldest_first)
        for every, are_combos in self._traded_options(scope):
            rows += option_trades.trades(
                every,
                scope.name,
                (start_ms, end_ms),
                count,
                oldest_first=oldest_first,
                combos=are_combos,
            )
        rows.sort(key=lambda row: (row["timestamp"], row["trade_id"]), reverse=not oldest_first)
        return rows[:count], len(rows) > count

    def _traded_futures(self, scope: Scope) -> list[Listing]:
        if scope.name is None:
            return self.futures_of(scope.currency) if scope.kind in _FUTURES else []
        return [self.listings[scope.name]] if scope.name in self.listings else []

    def _traded_options(self, scope: Scope) -> list[tuple[list[AssetOptions], bool]]:
        """(markets, whether their combinations are meant)."""
        if scope.name is not None:
            if scope.name in self.listings:
                return []
            return [([self.options.get(scope.name).options], False)]
        every = self.options.of_currency(scope.currency)
        found = [(every, False)] if scope.kind in _OPTIONS else []
        return found + ([(every, True)] if scope.kind in _COMBOS else [])

    # --- history --------------------------------------------------------------------------------------

    def funding_history(self, name: str, start_ms: int, end_ms: int) -> list[Json]:
        return history.funding(self.market, self.future(name), start_ms, end_ms, self.now_ms())

    def chart(self, name: str, minutes: int, start_ms: int, end_ms: int) -> Json:
        return history.chart(
            self.market,
            self.future(name),
            minutes,
            (start_ms, end_ms),
            self.now_ms(),
            self._started_minute,
        )

    def _options_of(self, currency: str) -> AssetOptions:
        """Of a currency with a volatility index."""
        found = self.options.assets.get(currency) if currency in DVOL_ASSETS else None
        if found is None:
            raise invalid("currency")
        return found

    def volatility_index(self, currency: str, step_ms: int, start_ms: int, end_ms: int) -> Json:
        options = self._options_of(currency)
        return history.volatility_rows(options, step_ms, start_ms, end_ms, self.now_ms())

    def realised_volatility(self, currency: str) -> list[list[float]]:
        listing = self._options_of(currency).listing
        return history.realised_volatility(self.market, listing, self.now_ms())

    def delivery_prices(self, index_name: str, offset: int, count: int) -> Json:
        return self._settlements.delivery_prices(index_name, offset, count)

    def settlements(
        self,
        currency: str,
        name: str | None,
        kinds: tuple[str, ...],
        page: tuple[int, int],
        count: int,
    ) -> tuple[list[Json], tuple[int, int] | None]:
        futures = self.futures_of(currency)
        return self._settlements.page(futures, currency, kinds, name, *page, count)
