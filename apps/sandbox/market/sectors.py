"""Which assets move together beyond the market as a whole, and how much of each is its own."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from apps.sandbox.market.assets import ASSET_MODELS, AssetModel

_SECTORS: Final[dict[str, tuple[str, ...]]] = {
    "coins": ("BTC", "LTC", "BCH", "ZEC", "ETC", "XRP", "XLM", "TRX", "ORDI", "STX"),
    "platforms": (
        "ETH", "SOL", "BNB", "ADA", "AVAX", "DOT", "NEAR", "APT", "SUI", "SEI", "ICP", "ATOM", "HBAR",
        "GRAM", "ALGO", "HYPE",
    ),
    "scaling": ("ARB", "OP", "POL", "STRK", "TIA", "EIGEN", "ZRO"),
    "finance": (
        "UNI", "AAVE", "LINK", "INJ", "ENA", "ONDO", "JUP", "PENDLE", "LDO", "CRV", "JTO", "PYTH", "MORPHO",
        "ETHFI", "WLFI",
    ),
    "memes": (
        "DOGE", "PEPE", "SHIB", "BONK", "WIF", "FLOKI", "PENGU", "TRUMP", "FARTCOIN", "PUMP",
    ),
    "machines": ("TAO", "RENDER", "WLD", "VIRTUAL", "FIL", "GALA", "SAND"),
}  # fmt: skip
SECTOR_OF: Final[dict[str, str]] = {
    asset: sector for sector, assets in _SECTORS.items() for asset in assets
}
# Shares of an asset's variance that the market and the sector explain, where they differ from the rest.
_MARKET_SHARE: Final = {
    "BTC": 0.84, "ETH": 0.80, "SOL": 0.72, "BNB": 0.66, "HYPE": 0.38, "ZEC": 0.25, "TRX": 0.28, "PUMP": 0.36,
    "TRUMP": 0.36, "WLFI": 0.34,
}  # fmt: skip
_MARKET_SHARE_HOT: Final = 0.63
_MARKET_SHARE_COLD: Final = 0.53
_SECTOR_SHARE: Final = 0.12


class Loadings(NamedTuple):
    """Daily volatility (decimal) that each factor gives an asset."""

    market: float
    sector: float
    own: float


def loadings(model: AssetModel) -> Loadings:
    usual = _MARKET_SHARE_HOT if model.is_hot else _MARKET_SHARE_COLD
    market = _MARKET_SHARE.get(model.asset, usual)
    size = model.daily_volatility
    return Loadings(
        size * math.sqrt(market),
        size * math.sqrt(_SECTOR_SHARE),
        size * math.sqrt(1.0 - market - _SECTOR_SHARE),
    )


LOADINGS: Final[dict[str, Loadings]] = {
    asset: loadings(model) for asset, model in ASSET_MODELS.items()
}
