"""What the interfaces ask of what stands behind them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

Json: TypeAlias = dict[str, Any]


class Scope(NamedTuple):
    """Whose trades are asked for: those of one instrument, or of a currency and kind (None: any)."""

    name: str | None = None
    currency: str = "any"
    kind: str | None = None


class Source(Protocol):
    """Documents in Deribit's form. Unknown names raise ``RpcRefusal``. Times in ms."""

    def now_ms(self) -> int: ...

    def instruments(self, currency: str, kind: str | None) -> list[Json]: ...

    def expired(self, currency: str, kind: str | None) -> list[Json]:
        """Listed no more since the last settlement."""
        ...

    def expirations(self, currency: str, kind: str) -> Json: ...

    def summaries(self, currency: str, kind: str | None) -> list[Json]: ...

    def summary(self, name: str) -> Json: ...

    def ticker(self, name: str) -> Json: ...

    def order_book(self, name: str, depth: int) -> Json: ...

    def trades(
        self, scope: Scope, start_ms: int, end_ms: int, count: int, *, oldest_first: bool
    ) -> tuple[list[Json], bool]:
        """Rows in the order asked for, and whether there are more."""
        ...

    def funding_history(self, name: str, start_ms: int, end_ms: int) -> list[Json]: ...

    def chart(self, name: str, minutes: int, start_ms: int, end_ms: int) -> Json: ...

    def index_price(self, index_name: str) -> float: ...

    def volatility_index(self, currency: str, step_ms: int, start_ms: int, end_ms: int) -> Json: ...

    def realised_volatility(self, currency: str) -> list[list[float]]: ...

    def delivery_prices(self, index_name: str, offset: int, count: int) -> Json: ...

    def settlements(
        self,
        currency: str,
        name: str | None,
        kinds: tuple[str, ...],
        page: tuple[int, int],
        count: int,
    ) -> tuple[list[Json], tuple[int, int] | None]:
        """Newest first from ``page`` (time, rows of it to skip) on, and the next page."""
        ...
