"""How Binance lists the 65 assets: symbols, ticks, lots, funding intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from apps.marketdata.universe import ASSETS
from apps.sandbox.market.assets import ASSET_MODELS, AssetModel
from apps.sandbox.market.dated import quarterlies
from apps.sandbox.market.listing import Listing, power_of_ten, quieter, usd_contract

VENUE: Final = "binance"
# Quoted per 1000 tokens on futures; spot quotes the single token.
THOUSANDS: Final = frozenset({"PEPE", "SHIB", "BONK", "FLOKI"})
# Funded every four hours; fundingInfo lists these, everything else is 8 h.
FOUR_HOURS: Final = frozenset(
    {
        "HYPE", "PEPE", "BONK", "WIF", "ONDO", "PENDLE", "TIA", "JTO", "MORPHO", "STRK", "ZRO", "ETHFI",
        "EIGEN", "PENGU", "TRUMP", "VIRTUAL", "FARTCOIN", "PUMP", "WLFI",
    }
)  # fmt: skip
_BUSIEST: Final = frozenset({"BTC", "ETH", "SOL"})
DATED: Final = frozenset({"BTC", "ETH"})
USDC: Final = frozenset({"BTC", "ETH"})
COINS: Final = frozenset({"BTC", "ETH", "SOL", "XRP", "BNB", "DOGE"})
_SPOT_SHARE: Final = 0.22
# (tick, wire decimals) where the rule of five significant digits does not give the venue's own.
_PERP_TICKS: Final = {"BTC": (0.1, 2), "ETH": (0.01, 2), "BNB": (0.01, 3), "ZEC": (0.01, 2)}
_SPOT_TICKS: Final = {"BTC": (0.01, 8), "ETH": (0.01, 8)}
SPOT_DECIMALS: Final = 8


def _price_grid(price: float) -> tuple[float, int]:
    """Tick of five significant digits and the decimals it is written with."""
    decimals = min(SPOT_DECIMALS, max(0, 4 - math.floor(math.log10(price))))
    return power_of_ten(-decimals), decimals


def _lot_grid(price: float, finest: int) -> tuple[float, int]:
    """A lot worth one to ten dollars, but never more than one unit nor finer than ``finest`` decimals."""
    decimals = min(finest, max(0, math.floor(math.log10(price))))
    return power_of_ten(-decimals), decimals


def perp_listing(model: AssetModel) -> Listing:
    mult = 1000.0 if model.asset in THOUSANDS else 1.0
    price = model.price * mult
    tick, decimals = _PERP_TICKS.get(model.asset, _price_grid(price))
    lot, lot_decimals = _lot_grid(price, 3)
    busiest = model.asset in _BUSIEST
    return Listing(
        venue=VENUE,
        kind="perp",
        symbol=f"{'1000' if mult > 1 else ''}{model.asset}USDT",
        asset=model.asset,
        quote="USDT",
        price_mult=mult,
        tick=tick,
        price_decimals=decimals,
        lot=lot,
        lot_decimals=lot_decimals,
        daily_volume_usd=model.perp_volume_usd,
        open_interest_usd=model.perp_volume_usd * (0.7 if model.is_hot else 0.9),
        trades_per_minute=_trades_per_minute(model),
        book_step_ms=100 if busiest else 250 if model.is_hot else 1_000,
        spread_ticks=1 if model.is_hot else max(1, round(1.5e-4 * price / tick)),
        funding_interval_h=4 if model.asset in FOUR_HOURS else 8,
    )


def spot_listing(model: AssetModel) -> Listing:
    tick, _ = _SPOT_TICKS.get(model.asset, _price_grid(model.price))
    lot, _ = _lot_grid(model.price, 5)
    busiest = model.asset in _BUSIEST
    return Listing(
        venue=VENUE,
        kind="spot",
        symbol=f"{model.asset}USDT",
        asset=model.asset,
        quote="USDT",
        price_mult=1.0,
        tick=tick,
        price_decimals=SPOT_DECIMALS,
        lot=lot,
        lot_decimals=SPOT_DECIMALS,
        daily_volume_usd=model.perp_volume_usd * _SPOT_SHARE,
        open_interest_usd=0.0,
        trades_per_minute=max(5.0, 0.5 * _trades_per_minute(model)),
        book_step_ms=200 if busiest else 500 if model.is_hot else 2_000,
        spread_ticks=1 if model.is_hot else max(1, round(2e-4 * model.price / tick)),
    )


def dated_listings(assets: Iterable[str], from_ms: int) -> tuple[Listing, ...]:
    """Quarterlies: ``BTCUSDT_261225``."""
    perps = [perp_listing(ASSET_MODELS[asset]) for asset in assets if asset in DATED]
    return quarterlies(perps, from_ms, lambda perp, day: f"{perp.symbol}_{day:%y%m%d}")


def other_listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Perpetuals quoted in USDC, and coin-margined ones, which share the all-market streams."""
    wanted = set(assets)
    perps = {one: perp_listing(ASSET_MODELS[one]) for one in sorted(wanted & (USDC | COINS))}
    usdc = (
        quieter(perps[one], f"{one}USDC", "USDC", volume=0.05, interest=0.05, least_step_ms=250)
        for one in sorted(wanted & USDC)
    )
    coins = (_coin_margined(perps[one]) for one in sorted(wanted & COINS))
    return (*usdc, *coins)


def _coin_margined(perp: Listing) -> Listing:
    """``BTCUSD_PERP``."""
    return quieter(
        perp,
        f"{perp.asset}USD_PERP",
        "USD",
        volume=0.08,
        interest=0.1,
        least_step_ms=500,
        funding_interval_h=8,
        **usd_contract(perp.asset),
    )


def _trades_per_minute(model: AssetModel) -> float:
    rate: float = 300.0 * (model.perp_volume_usd / 12e9) ** 0.6
    return min(300.0, max(8.0, rate))


def binance_listings(assets: Iterable[str] = ASSETS) -> tuple[Listing, ...]:
    """Futures and spot listings of the assets."""
    models = [ASSET_MODELS[asset] for asset in assets]
    return tuple(perp_listing(model) for model in models) + tuple(
        spot_listing(model) for model in models
    )
