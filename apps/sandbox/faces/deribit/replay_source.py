"""Answers beside a replay: what was recorded, and emptiness where nothing was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from apps.sandbox.faces.base import ReplayMemory
from apps.sandbox.faces.deribit import documents
from apps.sandbox.faces.deribit.errors import RpcRefusal, not_found
from apps.sandbox.faces.deribit.listings import INDEX_NAMES, currency_of
from apps.sandbox.faces.deribit.source import Json, Scope
from apps.sandbox.market.listing import Listing

_BODIES: Final = ("instruments", "instruments_BTC", "instruments_ETH", "instruments_USDC")
_PACES: Final = ("100ms", "raw", "agg2")


class ReplaySource:
    """Implements ``source.Source``."""

    def __init__(
        self, listings: Sequence[Listing], memory: ReplayMemory, now_ms: Callable[[], int]
    ) -> None:
        self._listings = {listing.symbol: listing for listing in listings}
        self._memory = memory
        self._now_ms = now_ms
        self._recorded = [row for name in _BODIES for row in _rows(memory.body(name))]

    def now_ms(self) -> int:
        return self._now_ms()

    def instruments(self, currency: str, kind: str | None) -> list[Json]:
        rows = self._recorded or [
            documents.future(listing, 1 + number)
            for number, listing in enumerate(self._listings.values())
            if listing.is_perp and listing.asset in INDEX_NAMES
        ]
        return [row for row in rows if _is_asked_for(row, currency, kind)]

    def expired(self, currency: str, kind: str | None) -> list[Json]:
        return []

    def expirations(self, currency: str, kind: str) -> Json:
        return {}

    def names(self, currency: str, kind: str | None) -> list[str]:
        return [
            name
            for name, listing in self._listings.items()
            if documents.is_in(currency, currency_of(listing))
            and kind in (None, "any", "future" if listing.is_perp else "option")
        ]

    def ticker(self, name: str) -> Json:
        for pace in _PACES:
            frame = self._memory.last(f"ticker.{name}.{pace}")
            if frame is not None:
                data: Json = orjson.loads(frame)["params"]["data"]
                return data
        raise not_found()

    def summary(self, name: str) -> Json:
        ticker = self.ticker(name)
        return ticker | {
            "creation_timestamp": ticker["timestamp"],
            "bid_price": ticker.get("best_bid_price"),
            "ask_price": ticker.get("best_ask_price"),
        }

    def summaries(self, currency: str, kind: str | None) -> list[Json]:
        rows = []
        for name in self.names(currency, kind):
            try:
                rows.append(self.summary(name))
            except RpcRefusal:
                continue
        return rows

    def order_book(self, name: str, depth: int) -> Json:
        raise not_found()

    def trades(
        self, scope: Scope, start_ms: int, end_ms: int, count: int, *, oldest_first: bool
    ) -> tuple[list[Json], bool]:
        return [], False

    def funding_history(self, name: str, start_ms: int, end_ms: int) -> list[Json]:
        return []

    def chart(self, name: str, minutes: int, start_ms: int, end_ms: int) -> Json:
        columns = ("ticks", "open", "high", "low", "close", "volume", "cost")
        return {**{column: [] for column in columns}, "status": "no_data"}

    def index_price(self, index_name: str) -> float:
        asset = index_name.partition("_")[0].upper()
        for name, listing in self._listings.items():
            if listing.asset == asset:
                return float(self.ticker(name)["index_price"])
        raise not_found()

    def volatility_index(self, currency: str, step_ms: int, start_ms: int, end_ms: int) -> Json:
        return {"data": [], "continuation": None}

    def realised_volatility(self, currency: str) -> list[list[float]]:
        return []

    def delivery_prices(self, index_name: str, offset: int, count: int) -> Json:
        return {"data": [], "records_total": 0}

    def settlements(
        self,
        currency: str,
        name: str | None,
        kinds: tuple[str, ...],
        page: tuple[int, int],
        count: int,
    ) -> tuple[list[Json], tuple[int, int] | None]:
        return [], None


def _rows(body: bytes | None) -> list[Json]:
    """Listed instruments of a recorded ``get_instruments`` answer."""
    document: Any = orjson.loads(body) if body else {}
    recorded = document.get("result", ()) if isinstance(document, dict) else ()
    return [row for row in recorded if isinstance(row, dict)]


def _is_asked_for(row: Json, currency: str, kind: str | None) -> bool:
    settled = row.get("settlement_currency", row.get("base_currency"))
    return currency in ("any", settled) and kind in (None, "any", row.get("kind"))
