"""What the REST interface asks of whatever stands behind it: the market model or a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import orjson

from apps.sandbox.faces.base import ReplayMemory
from apps.sandbox.faces.bybit import frames, history
from apps.sandbox.faces.bybit.history import Span
from apps.sandbox.faces.bybit.tickers import ticker_row
from apps.sandbox.faces.numbering import Numbering
from apps.sandbox.market.dated import is_listed, listed
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import MINUTE_MS, Market

Rows: TypeAlias = Sequence[Any]
_MOST_TRADE_MINUTES: Final = 120
LINEAR: Final = "linear"
SPOT: Final = "spot"


class Source(Protocol):
    """Rows of each endpoint. ``symbol`` arguments are known (``symbols``)."""

    category: str
    listings: dict[str, Listing]
    now_ms: Callable[[], int]

    def instruments(self) -> Rows: ...

    def ticker(self, symbol: str) -> Rows: ...

    def book(self, symbol: str, depth: int) -> dict[str, Any]: ...

    def trades(self, symbol: str, limit: int) -> Rows: ...

    def candles(self, series: str, symbol: str, minutes: int, span: Span) -> Rows:
        """``series``: last, mark, index or premium."""
        ...

    def funding(self, symbol: str, span: Span) -> Rows: ...

    def open_interest(self, symbol: str, minutes: int, span: Span) -> Rows: ...

    def account_ratio(self, symbol: str, minutes: int, span: Span) -> Rows: ...


class ModelSource:
    """The seeded market."""

    def __init__(
        self,
        market: Market,
        listings: tuple[Listing, ...],
        now_ms: Callable[[], int],
        category: str = LINEAR,
        numbering: Numbering | None = None,
    ) -> None:
        """``numbering``: shared with the streams."""
        self._numbering = numbering or Numbering()
        self.category = category
        self.listings = {listing.symbol: listing for listing in listings}
        self.now_ms = now_ms
        self._market = market
        self._started_ms = now_ms()

    def instruments(self) -> Rows:
        current = listed(self.listings.values(), self.now_ms())
        row = frames.spot_row if self.category == SPOT else frames.instrument_row
        return [row(listing) for listing in current]

    def ticker(self, symbol: str) -> Rows:
        if not is_listed(self.listings[symbol], self.now_ms()):
            return []
        return [ticker_row(self._market, self.listings[symbol], self.now_ms())]

    def book(self, symbol: str, depth: int) -> dict[str, Any]:
        listing = self.listings[symbol]
        book = self._market.book(listing, self.now_ms() // listing.book_step_ms)
        number = self._numbering.of(symbol, book.step)
        sides = frames.sides(book, depth)
        data = orjson.loads(frames.book_data(listing, book.step, number, *sides))
        number, seq = data.pop("u"), data.pop("seq")
        return {**data, "ts": self.now_ms(), "u": number, "seq": seq, "cts": book.time_ms}

    def trades(self, symbol: str, limit: int) -> Rows:
        listing, now = self.listings[symbol], self.now_ms()
        rows: list[Any] = []
        minute = now // MINUTE_MS
        while len(rows) < limit and minute > now // MINUTE_MS - _MOST_TRADE_MINUTES:
            tape = self._market.tape(listing, minute)
            columns = (tape.time_ms, tape.price, tape.lots, tape.is_buy)
            made = [
                {
                    "execId": frames.trade_id(tape.first_id + at),
                    "symbol": symbol,
                    "price": listing.price(price),
                    "size": listing.size(lots),
                    "side": "Buy" if buy else "Sell",
                    "time": str(time_ms),
                    "isBlockTrade": False,
                    "isRPITrade": False,
                    "seq": str(tape.first_id + at),
                }
                for at, (time_ms, price, lots, buy) in enumerate(
                    zip(*(column.tolist() for column in columns), strict=True)
                )
                if time_ms <= now
            ]
            rows += reversed(made)
            minute -= 1
        return rows[:limit]

    def candles(self, series: str, symbol: str, minutes: int, span: Span) -> Rows:
        listing, now = self.listings[symbol], self.now_ms()
        if series == "last":
            return history.candles(self._market, listing, minutes, span, now, self._started_ms)
        return history.price_candles(self._market, listing, series, minutes, span, now)

    def funding(self, symbol: str, span: Span) -> Rows:
        return history.funding(self._market, self.listings[symbol], span, self.now_ms())

    def open_interest(self, symbol: str, minutes: int, span: Span) -> Rows:
        listing = self.listings[symbol]
        return history.open_interest(self._market, listing, minutes, span, self.now_ms())

    def account_ratio(self, symbol: str, minutes: int, span: Span) -> Rows:
        listing = self.listings[symbol]
        return history.account_ratio(self._market, listing, minutes, span, self.now_ms())


class ReplaySource:
    """A recording: what was played so far, and no history. Instruments are the recorded ones."""

    category = LINEAR

    def __init__(
        self, memory: ReplayMemory, listings: tuple[Listing, ...], now_ms: Callable[[], int]
    ) -> None:
        self.listings = {listing.symbol: listing for listing in listings}
        self.now_ms = now_ms
        self._memory = memory

    def instruments(self) -> Rows:
        body = self._memory.body("instruments")
        rows = orjson.loads(body)["result"]["list"] if body else []
        recorded = {row["symbol"]: row for row in rows}
        return [
            recorded.get(symbol) or frames.instrument_row(listing)
            for symbol, listing in self.listings.items()
        ]

    def ticker(self, symbol: str) -> Rows:
        """The parts put together, as every reader of the stream does."""
        fields: dict[str, Any] = {}
        for frame in self._memory.since_snapshot(f"tickers.{symbol}"):
            fields |= orjson.loads(frame)["data"]
        return [fields] if fields else []

    def book(self, symbol: str, depth: int) -> dict[str, Any]:
        sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        head: dict[str, Any] = {"u": 0, "seq": 0, "ts": self.now_ms(), "cts": self.now_ms()}
        for topic in ("orderbook.200", "orderbook.500", "orderbook.50"):
            played = self._memory.since_snapshot(f"{topic}.{symbol}")
            for frame in played:
                message = orjson.loads(frame)
                for name, levels in sides.items():
                    levels.update(message["data"][name])
                head |= {"u": message["data"]["u"], "ts": message["ts"]}
            if played:
                break
        best = {
            name: sorted(
                ([price, size] for price, size in levels.items() if float(size)),
                key=lambda level: float(level[0]),
                reverse=name == "b",
            )[:depth]
            for name, levels in sides.items()
        }
        return {"s": symbol, **head, **best}

    def trades(self, symbol: str, limit: int) -> Rows:
        return []

    def candles(self, series: str, symbol: str, minutes: int, span: Span) -> Rows:
        return []

    def funding(self, symbol: str, span: Span) -> Rows:
        return []

    def open_interest(self, symbol: str, minutes: int, span: Span) -> Rows:
        return []

    def account_ratio(self, symbol: str, minutes: int, span: Span) -> Rows:
        return []
