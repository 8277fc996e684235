"""What an instrument is, in the terms that every venue is normalised to. Pure, no Django."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class InstrumentKind(StrEnum):
    PERP = "perp"
    SPOT = "spot"
    FUTURE = "future"
    OPTION = "option"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable listing of one venue.

    ``price_mult`` is the number of base units in one quoted unit (1000 for ``1000PEPEUSDT``), so that
    price per base unit = venue price / price_mult and base quantity = venue quantity × price_mult ×
    ``contract_size``. ``contract_size`` is in quoted units for linear contracts (OKX BTC 0.01) and in
    USD for inverse ones.
    """

    venue: str
    symbol: str
    asset: str
    kind: InstrumentKind
    quote: str
    price_mult: float = 1.0
    contract_size: float = 1.0
    is_inverse: bool = False
    tick_size: float | None = None
    lot_size: float | None = None
    funding_interval_h: float | None = None
    expiry_ms: int | None = None
    strike: float | None = None
    option_type: str | None = None
    """``call`` or ``put``."""
    is_active: bool = True

    @property
    def key(self) -> str:
        """Unique across venues, and the field name in live state: ``binance:perp:BTCUSDT``."""
        return f"{self.venue}:{self.kind.value}:{self.symbol}"
