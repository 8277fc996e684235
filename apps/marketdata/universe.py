"""The 65 assets, in two refresh tiers. Pure data, no Django."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class AssetTier(StrEnum):
    HOT = "hot"
    COLD = "cold"


HOT: Final[tuple[str, ...]] = (
    "BTC",
    "ETH",
    "SOL",
    "XRP",
    "DOGE",
    "BNB",
    "HYPE",
    "ADA",
    "SUI",
    "LINK",
    "AVAX",
    "LTC",
    "BCH",
    "ZEC",
    "PEPE",
)
COLD: Final[tuple[str, ...]] = (
    "TRX",
    "DOT",
    "NEAR",
    "APT",
    "ARB",
    "OP",
    "UNI",
    "AAVE",
    "FIL",
    "ICP",
    "ATOM",
    "ETC",
    "XLM",
    "HBAR",
    "GRAM",
    "SHIB",
    "BONK",
    "WIF",
    "INJ",
    "TIA",
    "SEI",
    "ENA",
    "WLD",
    "ONDO",
    "JUP",
    "PENDLE",
    "LDO",
    "CRV",
    "STX",
    "ALGO",
    "RENDER",
    "TAO",
    "JTO",
    "PYTH",
    "ORDI",
    "GALA",
    "SAND",
    "WLFI",
    "MORPHO",
    "STRK",
    "ZRO",
    "ETHFI",
    "EIGEN",
    "PENGU",
    "TRUMP",
    "VIRTUAL",
    "FARTCOIN",
    "PUMP",
    "POL",
    "FLOKI",
)
ASSETS: Final[tuple[str, ...]] = HOT + COLD
VENUES: Final[tuple[str, ...]] = ("binance", "bybit", "okx", "deribit", "hyperliquid")

# Data refresh cadence of each tier, in seconds.
CADENCE_S: Final[dict[AssetTier, int]] = {AssetTier.HOT: 60, AssetTier.COLD: 300}

_TIER_OF: Final[dict[str, AssetTier]] = {
    **dict.fromkeys(HOT, AssetTier.HOT),
    **dict.fromkeys(COLD, AssetTier.COLD),
}


def tier_of(asset: str) -> AssetTier:
    """The refresh tier of an asset; raises ``KeyError`` for an asset that FOCSAL does not cover."""
    return _TIER_OF[asset]


def is_known_asset(asset: str) -> bool:
    return asset in _TIER_OF


def assets_of(tier: AssetTier) -> tuple[str, ...]:
    return HOT if tier is AssetTier.HOT else COLD
