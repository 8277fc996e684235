"""What the REST interface asks of whatever stands behind it: the market model or a recording."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

Json: TypeAlias = Any
"""A value that orjson encodes, or ready-made ``bytes``."""


class TimeRange(NamedTuple):
    """A history query; times in ms, None where the caller gave none."""

    start: int | None
    end: int | None
    limit: int


class Source(Protocol):
    """Answers of one market type (futures or spot). Raises ``VenueError``.

    ``symbol`` arguments are upper case and known (``has_symbol``).
    """

    def now_ms(self) -> int: ...

    def symbols(self) -> tuple[str, ...]: ...

    def has_symbol(self, symbol: str) -> bool: ...

    def exchange_info(self) -> Json: ...

    def coin_exchange_info(self) -> Json:
        """Coin-margined contracts."""
        ...

    def depth(self, symbol: str, limit: int) -> Json: ...

    def agg_trades(self, symbol: str, from_id: int | None, span: TimeRange) -> Json: ...

    def recent_trades(self, symbol: str, limit: int) -> Json: ...

    def klines(self, series: str, symbol: str, interval: str, span: TimeRange) -> Json:
        """``series``: last, mark, index or premium."""
        ...

    def premium_index(self, symbol: str) -> Json: ...

    def funding_info(self) -> Json: ...

    def funding_rates(self, symbol: str | None, span: TimeRange) -> Json: ...

    def open_interest(self, symbol: str) -> Json: ...

    def open_interest_history(self, symbol: str, period_ms: int, span: TimeRange) -> Json: ...

    def long_short_ratio(self, series: str, symbol: str, period_ms: int, span: TimeRange) -> Json:
        """``series``: accounts, top_accounts or top_positions."""
        ...

    def taker_ratio(self, symbol: str, period_ms: int, span: TimeRange) -> Json: ...

    def ticker_24h(self, symbol: str) -> Json | None: ...

    def book_ticker(self, symbol: str) -> Json | None: ...

    def price(self, symbol: str) -> Json | None: ...
