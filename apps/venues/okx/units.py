"""From OKX's units to ours: contracts to base units. Pure.

OKX quotes single tokens everywhere (PEPE-USDT-SWAP is one PEPE, ten million to the contract), so prices
need no multiplier. ``Instrument.contract_size`` is ``ctVal × ctMult``: coins for linear contracts, USD for
inverse ones, 1 on spot.
"""

from __future__ import annotations

from collections.abc import Iterable

from apps.marketdata.events import Levels
from apps.marketdata.instruments import Instrument
from apps.venues.okx.wire import Level


def base_qty(instrument: Instrument, size: float, price: float) -> float:
    """Base units of ``size`` contracts (coins on spot) at ``price``."""
    amount = size * instrument.contract_size
    return amount / price if instrument.is_inverse else amount


def notional_usd(instrument: Instrument, size: float, price: float) -> float:
    """Quote currency, taken as USD."""
    amount = size * instrument.contract_size
    return amount if instrument.is_inverse else amount * price


def levels(instrument: Instrument, wire_levels: Iterable[Level]) -> Levels:
    unit = instrument.contract_size
    if instrument.is_inverse:
        return [(level.price, level.size * unit / level.price) for level in wire_levels]
    if unit == 1.0:
        return [(level.price, level.size) for level in wire_levels]
    return [(level.price, level.size * unit) for level in wire_levels]
