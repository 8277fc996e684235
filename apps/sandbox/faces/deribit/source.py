"""What the interfaces ask of what stands behind them."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

Json: TypeAlias = dict[str, Any]


class Source(Protocol):
    """Documents in Deribit's form. Unknown names raise ``RpcRefusal``. Times in ms."""

    def now_ms(self) -> int: ...

    def instruments(self, currency: str, kind: str | None) -> list[Json]: ...

    def summaries(self, currency: str, kind: str | None) -> list[Json]: ...

    def summary(self, name: str) -> Json: ...

    def ticker(self, name: str) -> Json: ...

    def order_book(self, name: str, depth: int) -> Json: ...

    def trades(
        self, names: list[str], start_ms: int, end_ms: int, count: int, *, oldest_first: bool
    ) -> tuple[list[Json], bool]:
        """Rows in the order asked for, and whether there are more."""
        ...

    def names(self, currency: str, kind: str | None) -> list[str]:
        """Instruments that can trade."""
        ...

    def funding_history(self, name: str, start_ms: int, end_ms: int) -> list[Json]: ...

    def chart(self, name: str, minutes: int, start_ms: int, end_ms: int) -> Json: ...

    def index_price(self, index_name: str) -> float: ...

    def volatility_index(self, currency: str, step_ms: int, start_ms: int, end_ms: int) -> Json: ...
