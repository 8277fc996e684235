"""In what one venue's market differs from another's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.sandbox.market.listing import Listing


@dataclass(frozen=True, slots=True)
class Traits:
    """``lag_ms``: how far its prices follow behind the leading venue; ``premium_bps`` and ``swing``: shift
    and factor of the asset's futures premium."""

    lag_ms: int
    premium_bps: float = 0.0
    swing: float = 1.0


_PERP: Final = {
    "binance": Traits(0),
    "bybit": Traits(150, -0.25, 1.1),
    "okx": Traits(250, 0.2, 0.95),
    "deribit": Traits(400, 4.8, 2.6),
    "hyperliquid": Traits(600, 0.5, 1.35),
}
_SPOT: Final = Traits(300)
# Where a coin's home market leads, the others follow it.
_HOME: Final = {"HYPE": "hyperliquid"}
_OTHER: Final = Traits(350)


def traits_of(listing: Listing) -> Traits:
    return _PERP.get(listing.venue, _OTHER) if listing.is_perp else _SPOT


def lag_ms(listing: Listing) -> int:
    """Behind the venue that leads in this asset (100 to 800 ms; 0 for the leader)."""
    home = _HOME.get(listing.asset)
    if home is None:
        return traits_of(listing).lag_ms
    if listing.venue == home:
        return 0
    return 200 + traits_of(listing).lag_ms
