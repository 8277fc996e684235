"""What the model assumes about each asset. Levels are of autumn 2026 in order of magnitude only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.marketdata.universe import ASSETS, AssetTier, tier_of


@dataclass(frozen=True, slots=True)
class AssetModel:
    """Parameters of one asset's path.

    ``price``: centre of the path, USD per token. ``perp_volume_usd``: futures turnover of an average day
    on the largest venue. ``daily_volatility``: standard deviation of a day's log return.
    ``premium_bps`` and ``premium_swing_bps``: mean and size of the swings of futures against index, which
    funding follows.
    """

    asset: str
    price: float
    perp_volume_usd: float
    daily_volatility: float
    premium_bps: float
    premium_swing_bps: float

    @property
    def is_hot(self) -> bool:
        return tier_of(self.asset) is AssetTier.HOT


# asset: price USD, futures volume a day in million USD, daily volatility %
_TABLE: Final[dict[str, tuple[float, float, float]]] = {
    "BTC": (83_400.0, 12_000, 2.2),
    "ETH": (2_950.0, 10_000, 3.2),
    "SOL": (141.0, 3_600, 3.9),
    "XRP": (1.498, 1_500, 3.7),
    "DOGE": (0.1482, 1_100, 4.4),
    "BNB": (842.0, 700, 2.7),
    "HYPE": (31.8, 800, 5.0),
    "ADA": (0.462, 420, 4.1),
    "SUI": (1.64, 620, 5.0),
    "LINK": (13.4, 380, 4.2),
    "AVAX": (14.6, 330, 4.3),
    "LTC": (84.5, 300, 3.4),
    "BCH": (488.0, 210, 3.6),
    "ZEC": (402.0, 900, 6.5),
    "PEPE": (0.00000621, 520, 5.6),
    "TRX": (0.2785, 160, 2.0),
    "DOT": (2.34, 140, 4.3),
    "NEAR": (1.86, 190, 5.0),
    "APT": (2.21, 90, 5.1),
    "ARB": (0.2214, 130, 5.0),
    "OP": (0.318, 95, 5.2),
    "UNI": (5.92, 160, 4.8),
    "AAVE": (176.0, 210, 4.6),
    "FIL": (1.55, 140, 4.9),
    "ICP": (3.66, 110, 5.0),
    "ATOM": (2.51, 60, 4.2),
    "ETC": (13.9, 85, 3.9),
    "XLM": (0.2391, 110, 4.0),
    "HBAR": (0.1406, 150, 4.4),
    "GRAM": (1.62, 120, 4.0),
    "SHIB": (0.00000853, 95, 4.5),
    "BONK": (0.00000942, 110, 5.8),
    "WIF": (0.3905, 150, 6.2),
    "INJ": (5.31, 80, 5.2),
    "TIA": (0.612, 95, 5.8),
    "SEI": (0.1318, 90, 5.3),
    "ENA": (0.2655, 260, 6.0),
    "WLD": (0.604, 180, 5.6),
    "ONDO": (0.482, 90, 4.8),
    "JUP": (0.2312, 60, 5.2),
    "PENDLE": (2.12, 50, 5.4),
    "LDO": (0.662, 70, 5.5),
    "CRV": (0.4085, 110, 5.3),
    "STX": (0.3127, 35, 4.8),
    "ALGO": (0.1341, 45, 4.3),
    "RENDER": (1.79, 60, 5.2),
    "TAO": (281.0, 140, 5.3),
    "JTO": (0.421, 30, 5.6),
    "PYTH": (0.0768, 40, 5.6),
    "ORDI": (4.11, 80, 6.0),
    "GALA": (0.00782, 45, 5.1),
    "SAND": (0.1472, 40, 4.7),
    "WLFI": (0.1391, 190, 6.0),
    "MORPHO": (1.38, 30, 5.0),
    "STRK": (0.1085, 85, 6.4),
    "ZRO": (1.33, 45, 5.2),
    "ETHFI": (0.792, 60, 5.8),
    "EIGEN": (0.561, 55, 6.0),
    "PENGU": (0.01147, 140, 6.2),
    "TRUMP": (5.86, 130, 5.2),
    "VIRTUAL": (0.841, 95, 6.4),
    "FARTCOIN": (0.2911, 160, 7.2),
    "PUMP": (0.00296, 170, 6.8),
    "POL": (0.1339, 60, 4.6),
    "FLOKI": (0.0000477, 40, 5.6),
}
# Crowded coins, whose futures pull away from the index further than those of the majors.
_RESTLESS: Final = frozenset(
    {
        "HYPE",
        "ZEC",
        "PEPE",
        "WIF",
        "BONK",
        "FARTCOIN",
        "PUMP",
        "TRUMP",
        "WLFI",
        "PENGU",
        "VIRTUAL",
        "STRK",
    }
)


def asset_model(asset: str) -> AssetModel:
    """Raises ``KeyError`` for an asset that FOCSAL does not cover."""
    price, volume_musd, volatility = _TABLE[asset]
    return AssetModel(
        asset=asset,
        price=price,
        perp_volume_usd=volume_musd * 1e6,
        daily_volatility=volatility / 100.0,
        premium_bps=-4.4 if tier_of(asset) is AssetTier.HOT else -4.8,
        premium_swing_bps=4.0 if asset in _RESTLESS else 0.9,
    )


ASSET_MODELS: Final[dict[str, AssetModel]] = {asset: asset_model(asset) for asset in ASSETS}
