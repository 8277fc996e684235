"""Open interest of 30 days, by which every metric weighs its venues."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apps.marketdata.universe import AssetTier
from apps.markets.open_interest_samples import open_interest_window
from apps.markets.refresh_batch import FloatArray, Windows, by_tier
from apps.markets.refresh_context import TIER_GRIDS
from apps.markets.refresh_sources import Listings


def interest_windows(
    assets: Sequence[str], chosen: Listings, now_ms: int, as_of_ms: int | None, generation: str
) -> dict[AssetTier, Windows]:
    """With the day before, so that each slot has its 24-hour change."""
    return by_tier(
        assets,
        chosen,
        as_of_ms,
        lambda rows, tier: open_interest_window(
            rows, tier, now_ms, as_of_ms=as_of_ms, generation=generation
        ),
    )


def month_of_interest(
    assets: Sequence[str], chosen: Listings, now_ms: int, as_of_ms: int | None, generation: str
) -> dict[AssetTier, Windows]:
    """The 30 days alone."""
    found = interest_windows(assets, chosen, now_ms, as_of_ms, generation)
    return {tier: one.derived("30d", _last(TIER_GRIDS[tier].slots)) for tier, one in found.items()}


def _last(slots: int) -> Callable[[FloatArray], FloatArray]:
    return lambda values: values[:, -slots:]
