"""How OKX lists the assets: single tokens, sizes in contracts, funding intervals of 1 to 8 hours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from apps.sandbox.market.assets import ASSET_MODELS, AssetModel
from apps.sandbox.market.dated import quarterlies
from apps.sandbox.market.listing import Listing, power_of_ten, quieter, usd_contract

VENUE: Final = "okx"
# Coins per contract (ctVal) where they are known; elsewhere the power of ten worth about ten dollars.
_CONTRACT: Final = {
    "BTC": 0.01, "ETH": 0.1, "BNB": 0.01, "ZEC": 0.01, "BCH": 0.1, "HYPE": 0.1, "SOL": 1.0, "SUI": 1.0,
    "LINK": 1.0, "AVAX": 1.0, "LTC": 1.0, "XRP": 100.0, "ADA": 100.0, "DOGE": 1_000.0, "BONK": 100_000.0,
    "SHIB": 1_000_000.0, "PEPE": 10_000_000.0,
}  # fmt: skip
_FUNDING_H: Final = {
    "HYPE": 4, "PEPE": 4, "BONK": 4, "WIF": 4, "FARTCOIN": 4, "PUMP": 2, "TRUMP": 4, "WLFI": 4, "PENGU": 4,
    "STRK": 1, "MORPHO": 4, "VIRTUAL": 4,
}  # fmt: skip
_TICKS: Final = {"BTC": 0.1, "ETH": 0.01, "BNB": 0.1, "ZEC": 0.01}
_BUSIEST: Final = frozenset({"BTC", "ETH", "SOL"})
DATED: Final = frozenset({"BTC", "ETH"})
INVERSE: Final = frozenset({"BTC", "ETH"})
_SHARE: Final = 0.45
"""OKX's turnover and open interest against the largest venue's."""
_LEAST_LOT_USD: Final = 0.5


def _contract(model: AssetModel) -> float:
    return _CONTRACT.get(model.asset) or power_of_ten(round(1.0 - math.log10(model.price)))


def _lot_contracts(model: AssetModel, contract: float) -> float:
    """``lotSz``: the smallest of 0.01, 0.1 and 1 contract that is worth something."""
    worth = contract * model.price
    return next((lot for lot in (0.01, 0.1) if lot * worth >= _LEAST_LOT_USD), 1.0)


def _tick(model: AssetModel) -> float:
    return _TICKS.get(model.asset) or power_of_ten(math.floor(math.log10(model.price)) - 4)


def swap_listing(model: AssetModel) -> Listing:
    contract, tick = _contract(model), _tick(model)
    lot = float(f"{_lot_contracts(model, contract) * contract:.12g}")
    busiest = model.asset in _BUSIEST
    return Listing(
        venue=VENUE,
        kind="perp",
        symbol=f"{model.asset}-USDT-SWAP",
        asset=model.asset,
        quote="USDT",
        price_mult=1.0,
        tick=tick,
        price_decimals=max(0, -math.floor(math.log10(tick) + 0.5)),
        lot=lot,
        lot_decimals=max(0, -math.floor(math.log10(lot) + 0.5)),
        daily_volume_usd=model.perp_volume_usd * _SHARE,
        open_interest_usd=model.perp_volume_usd * _SHARE * (0.8 if model.is_hot else 1.0),
        trades_per_minute=min(
            180.0, max(5.0, 200.0 * float((model.perp_volume_usd * _SHARE / 12e9) ** 0.6))
        ),
        book_step_ms=200 if busiest else 500 if model.is_hot else 2_000,
        spread_ticks=1 if model.is_hot else max(1, round(1.8e-4 * model.price / tick)),
        funding_interval_h=_FUNDING_H.get(model.asset, 8),
        contract_size=contract,
    )


def listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Swaps of the assets: OKX lists them all (GRAM in place of TON)."""
    return tuple(swap_listing(ASSET_MODELS[asset]) for asset in assets)


def other_listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Inverse swaps: ``BTC-USD-SWAP``."""
    swaps = (swap_listing(ASSET_MODELS[one]) for one in assets if one in INVERSE)
    return tuple(
        quieter(
            swap,
            f"{swap.asset}-USD-SWAP",
            "USD",
            volume=0.12,
            interest=0.15,
            least_step_ms=500,
            **usd_contract(swap.asset),
        )
        for swap in swaps
    )


def dated_listings(assets: Iterable[str], from_ms: int) -> tuple[Listing, ...]:
    """Quarterlies: ``BTC-USDT-261225``."""
    perps = [swap_listing(ASSET_MODELS[asset]) for asset in assets if asset in DATED]
    return quarterlies(
        perps, from_ms, lambda perp, day: f"{perp.symbol.removesuffix('SWAP')}{day:%y%m%d}"
    )
