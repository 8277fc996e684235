"""How one venue lists an asset: the grid of prices and sizes, and how busy its market is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument of one emulated venue.

    Prices are whole numbers of ``tick`` and sizes whole numbers of ``lot`` everywhere inside the model:
    sums are exact and wire strings are made at the edge only.
    """

    venue: str
    kind: str
    symbol: str
    asset: str
    quote: str
    price_mult: float
    tick: float
    price_decimals: int
    lot: float
    lot_decimals: int
    daily_volume_usd: float
    open_interest_usd: float
    trades_per_minute: float
    book_step_ms: int
    spread_ticks: int
    funding_interval_h: int | None = None
    contract_size: float = 1.0
    """As in ``marketdata.instruments``: base units (USD for inverse ones) per contract."""
    is_inverse: bool = False
    expiry_ms: int | None = None
    strike: float | None = None
    option_type: str | None = None
    pace: float = 1.0
    """So many times the venue's own number of trades and book updates, for load."""

    @property
    def is_perp(self) -> bool:
        return self.kind == "perp"

    @property
    def name(self) -> str:
        """Unique across venues; names this listing's random series."""
        return f"{self.venue}:{self.kind}:{self.symbol}"

    def price(self, ticks: float) -> str:
        return f"{ticks * self.tick:.{self.price_decimals}f}"

    def size(self, lots: float) -> str:
        return f"{lots * self.lot:.{self.lot_decimals}f}"


def power_of_ten(exponent: int) -> float:
    return round(10.0**exponent, max(0, -exponent))


def quieter(
    main: Listing,
    symbol: str,
    quote: str,
    *,
    volume: float,
    interest: float,
    least_step_ms: int,
    **changes: Any,
) -> Listing:
    """Another contract of the same asset on its venue: shares of the main one's volume and open interest,
    and a fifth of its trades."""
    return replace(
        main,
        symbol=symbol,
        quote=quote,
        daily_volume_usd=main.daily_volume_usd * volume,
        open_interest_usd=main.open_interest_usd * interest,
        trades_per_minute=max(5.0, main.trades_per_minute * 0.2),
        book_step_ms=max(least_step_ms, main.book_step_ms),
        **changes,
    )


def usd_contract(asset: str) -> dict[str, Any]:
    """Of coin-margined perpetuals, whose quantities are contracts of 100 (BTC) or 10 USD."""
    return {"contract_size": 100.0 if asset == "BTC" else 10.0, "is_inverse": True}
