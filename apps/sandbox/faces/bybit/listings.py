"""How Bybit lists the assets: coins, thousands of cheap tokens, funding intervals of 1 to 8 hours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from apps.sandbox.market.assets import ASSET_MODELS, AssetModel
from apps.sandbox.market.dated import quarterlies
from apps.sandbox.market.listing import Listing, power_of_ten

VENUE: Final = "bybit"
# The multiple stands before the token, except for SHIB.
_BASES: Final = {
    "PEPE": "1000PEPE", "SHIB": "SHIB1000", "BONK": "1000BONK", "FLOKI": "1000FLOKI",
}  # fmt: skip
_FUNDING_H: Final = {
    "HYPE": 1, "WIF": 4, "FARTCOIN": 4, "PUMP": 4, "TRUMP": 4, "WLFI": 4, "PENGU": 4, "STRK": 4,
    "MORPHO": 4, "VIRTUAL": 4, "ETHFI": 4, "EIGEN": 4, "JTO": 4, "ZRO": 4, "TAO": 4,
}  # fmt: skip
_TICKS: Final = {"BTC": 0.1, "ETH": 0.01}
_LOTS: Final = {"BTC": 0.001, "ETH": 0.01, "SOL": 0.1}
_BUSIEST: Final = frozenset({"BTC", "ETH", "SOL"})
DATED: Final = frozenset({"BTC", "ETH"})
_SHARE: Final = 0.5
"""Bybit's turnover and open interest against the largest venue's."""


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 0.5))


def perpetual_listing(model: AssetModel) -> Listing:
    base = _BASES.get(model.asset, model.asset)
    mult = 1.0 if base == model.asset else 1_000.0
    price = model.price * mult
    tick = _TICKS.get(model.asset) or power_of_ten(math.floor(math.log10(price)) - 4)
    lot = _LOTS.get(model.asset) or power_of_ten(round(-math.log10(price)))
    volume = model.perp_volume_usd * _SHARE
    return Listing(
        venue=VENUE,
        kind="perp",
        symbol=f"{base}USDT",
        asset=model.asset,
        quote="USDT",
        price_mult=mult,
        tick=tick,
        price_decimals=_decimals(tick),
        lot=lot,
        lot_decimals=_decimals(lot),
        daily_volume_usd=volume,
        open_interest_usd=volume * (0.8 if model.is_hot else 1.0),
        trades_per_minute=min(180.0, max(5.0, 220.0 * float((volume / 12e9) ** 0.6))),
        book_step_ms=200 if model.asset in _BUSIEST else 500 if model.is_hot else 2_000,
        spread_ticks=1 if model.is_hot else max(1, round(1.8e-4 * price / tick)),
        funding_interval_h=_FUNDING_H.get(model.asset, 8),
    )


def listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Perpetuals of the assets: Bybit lists them all."""
    return tuple(perpetual_listing(ASSET_MODELS[asset]) for asset in assets)


def other_listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Spot, in single tokens."""
    return tuple(_spot_listing(ASSET_MODELS[asset]) for asset in assets)


def _spot_listing(model: AssetModel) -> Listing:
    perp = perpetual_listing(model)
    tick = (
        0.01
        if model.asset in ("BTC", "ETH")
        else power_of_ten(math.floor(math.log10(model.price)) - 4)
    )
    lot = power_of_ten(min(0, round(-math.log10(model.price)) - 1))
    return replace(
        perp,
        kind="spot",
        symbol=f"{model.asset}USDT",
        price_mult=1.0,
        tick=tick,
        price_decimals=_decimals(tick),
        lot=lot,
        lot_decimals=_decimals(lot),
        daily_volume_usd=perp.daily_volume_usd * 0.15,
        open_interest_usd=0.0,
        trades_per_minute=max(3.0, perp.trades_per_minute * 0.3),
        book_step_ms=max(500, perp.book_step_ms),
        spread_ticks=1 if model.is_hot else max(1, round(2e-4 * model.price / tick)),
        funding_interval_h=None,
    )


def dated_listings(assets: Iterable[str], from_ms: int) -> tuple[Listing, ...]:
    """Quarterlies: ``BTCUSDT-25DEC26``."""
    perps = [perpetual_listing(ASSET_MODELS[asset]) for asset in assets if asset in DATED]
    return quarterlies(perps, from_ms, lambda perp, day: f"{perp.symbol}-{day:%d%b%y}".upper())
