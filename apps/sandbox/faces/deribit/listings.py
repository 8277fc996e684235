"""How Deribit lists perpetuals: inverse ones in USD for BTC and ETH, linear ones in USDC for SOL and XRP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.dated import quarterlies
from apps.sandbox.market.listing import Listing

VENUE: Final = "deribit"
INDEX_NAMES: Final = {"BTC": "btc_usd", "ETH": "eth_usd", "SOL": "sol_usdc", "XRP": "xrp_usdc"}

DATED: Final = ("BTC", "ETH")
LINEAR: Final = ("BTC", "ETH")
"""Coins with a linear perpetual beside the inverse one."""


class _Grid(NamedTuple):
    """``lot`` is in coins also for inverse listings: the model counts coins, the face USD."""

    symbol: str
    tick: float
    decimals: int
    lot: float
    lot_decimals: int
    contract_size: float
    is_inverse: bool
    step_ms: int
    trades_per_minute: float


_GRIDS: Final = {
    "BTC": _Grid("BTC-PERPETUAL", 0.5, 1, 0.0001, 4, 10.0, True, 100, 60.0),
    "ETH": _Grid("ETH-PERPETUAL", 0.05, 2, 0.001, 3, 1.0, True, 100, 50.0),
    "SOL": _Grid("SOL_USDC-PERPETUAL", 0.01, 2, 0.1, 1, 0.1, False, 250, 15.0),
    "XRP": _Grid("XRP_USDC-PERPETUAL", 0.0001, 4, 1.0, 0, 1.0, False, 250, 12.0),
}
# Of the largest venue's turnover.
_SHARE: Final = {"BTC": 0.06, "ETH": 0.05, "SOL": 0.01, "XRP": 0.01}


def index_of(listing: Listing) -> str:
    """The index that a future is priced on: ``btc_usd``, but ``btc_usdc`` of a linear one."""
    name = INDEX_NAMES[listing.asset]
    is_linear = listing.asset in LINEAR and not listing.is_inverse
    return f"{name}c" if is_linear else name


def is_main(listing: Listing) -> bool:
    """The perpetual that stands for its asset: inverse where there is one."""
    return listing.is_perp and index_of(listing) == INDEX_NAMES[listing.asset]


def other_listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Linear perpetuals of the coins that have inverse ones: ``BTC_USDC-PERPETUAL``."""
    return tuple(
        replace(
            one,
            symbol=f"{one.asset}_USDC-PERPETUAL",
            quote="USDC",
            contract_size=one.lot,
            daily_volume_usd=one.daily_volume_usd * 0.1,
            open_interest_usd=one.open_interest_usd * 0.05,
            trades_per_minute=one.trades_per_minute * 0.2,
            book_step_ms=250,
            is_inverse=False,
        )
        for one in (_listing(asset, _GRIDS[asset]) for asset in assets if asset in LINEAR)
    )


def listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Perpetuals of those assets that Deribit has."""
    return tuple(_listing(asset, _GRIDS[asset]) for asset in assets if asset in _GRIDS)


def dated_listings(assets: Iterable[str], from_ms: int) -> tuple[Listing, ...]:
    """Quarterlies, inverse: ``BTC-25DEC26``, and ``BTC-5JUN26`` without a leading zero."""
    perps = [_listing(asset, _GRIDS[asset]) for asset in assets if asset in DATED]
    return quarterlies(
        perps, from_ms, lambda perp, day: f"{perp.asset}-{day.day}{day:%b%y}".upper()
    )


def _listing(asset: str, grid: _Grid) -> Listing:
    volume = ASSET_MODELS[asset].perp_volume_usd * _SHARE[asset]
    return Listing(
        venue=VENUE,
        kind="perp",
        symbol=grid.symbol,
        asset=asset,
        quote="USD" if grid.is_inverse else "USDC",
        price_mult=1.0,
        tick=grid.tick,
        price_decimals=grid.decimals,
        lot=grid.lot,
        lot_decimals=grid.lot_decimals,
        daily_volume_usd=volume,
        open_interest_usd=volume * 1.5,
        trades_per_minute=grid.trades_per_minute,
        book_step_ms=grid.step_ms,
        spread_ticks=1,
        # Funding is continuous; its history is kept by the hour.
        funding_interval_h=1,
        contract_size=grid.contract_size,
        is_inverse=grid.is_inverse,
    )


def currency_of(listing: Listing) -> str:
    return listing.asset if listing.is_inverse else "USDC"


def price_of(listing: Listing, ticks: float) -> float:
    return round(ticks * listing.tick, listing.price_decimals)


def amount_of(listing: Listing, ticks: float, lots: float) -> float:
    """USD in whole contracts (inverse) or coins."""
    if not listing.is_inverse:
        return round(lots * listing.lot, listing.lot_decimals)
    contracts = round(ticks * listing.tick * lots * listing.lot / listing.contract_size)
    return max(contracts, 1) * listing.contract_size
