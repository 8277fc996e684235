"""How Hyperliquid lists our assets: coins' names, grids, activity."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from apps.marketdata.universe import ASSETS
from apps.sandbox.market.assets import ASSET_MODELS, AssetModel
from apps.sandbox.market.listing import Listing

VENUE: Final = "hyperliquid"
# Quoted per 1000 tokens.
THOUSANDS: Final = frozenset({"PEPE", "SHIB", "BONK", "FLOKI"})
# The venue's market of the token's old name is not this asset.
NOT_LISTED: Final = frozenset({"GRAM"})
_SIZE_DECIMALS: Final = {"ETH": 4, "BTC": 5}
_MOST_DECIMALS: Final = 6
_SHARE: Final = 0.3
"""Of the largest venue's turnover."""
BUILDER_DEX: Final = "hyna"
ON_BUILDERS: Final = frozenset({"BTC", "ETH"})
BOOK_STEP_MS: Final = 500


def hyperliquid_listings(assets: Iterable[str] = ASSETS) -> tuple[Listing, ...]:
    return tuple(_listing(ASSET_MODELS[asset]) for asset in assets if asset not in NOT_LISTED)


def other_listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Coins of a builder's dex, which are other markets of the same coins."""
    return tuple(
        replace(
            one,
            symbol=f"{BUILDER_DEX}:{one.asset}",
            daily_volume_usd=one.daily_volume_usd * 0.02,
            open_interest_usd=one.open_interest_usd * 0.02,
            trades_per_minute=max(3.0, one.trades_per_minute * 0.1),
        )
        for one in (_listing(ASSET_MODELS[asset]) for asset in assets if asset in ON_BUILDERS)
    )


def _listing(model: AssetModel) -> Listing:
    mult = 1000.0 if model.asset in THOUSANDS else 1.0
    price = model.price * mult
    size_decimals = _SIZE_DECIMALS.get(model.asset, min(5, max(0, round(math.log10(price)))))
    # Five significant digits, and no more decimals than size and price may have together.
    decimals = min(_MOST_DECIMALS - size_decimals, max(0, 4 - math.floor(math.log10(price))))
    tick = round(10.0**-decimals, decimals)
    volume = model.perp_volume_usd * _SHARE
    return Listing(
        venue=VENUE,
        kind="perp",
        symbol=f"{'k' if mult > 1 else ''}{model.asset}",
        asset=model.asset,
        quote="USDC",
        price_mult=mult,
        tick=tick,
        price_decimals=decimals,
        lot=round(10.0**-size_decimals, size_decimals),
        lot_decimals=size_decimals,
        daily_volume_usd=volume,
        open_interest_usd=volume * (0.8 if model.is_hot else 0.9),
        trades_per_minute=min(120.0, max(3.0, 250.0 * (volume / 12e9) ** 0.6)),
        book_step_ms=BOOK_STEP_MS,
        spread_ticks=1 if model.is_hot else max(1, round(2e-4 * price / tick)),
        funding_interval_h=1,
    )
