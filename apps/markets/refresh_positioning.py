"""From stored shares of longs (or those known at ``as_of``) to positioning.

Method ``positioning`` version 1. Each venue's main perpetual counts once. A venue that publishes no such
series is no missing venue: nothing is expected of it. Shares are weighted by the open interest of the same
perpetual; the aggregate's past is made of the same venues, each slot with the weights of its own time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import SourceStatus
from apps.marketdata.positioning import ACCOUNTS, SERIES, published_series
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.markets.engines import positioning as engine
from apps.markets.engines.positioning import ShareAggregate
from apps.markets.engines.quality import WITHHELD, coverage, freshness_weight
from apps.markets.past import Block, Past
from apps.markets.positioning_samples import (
    SeriesKey,
    Share,
    newest_shares,
    share_windows,
    weights_usd,
)
from apps.markets.refresh_batch import Batch, Windows, by_tier, mean_block
from apps.markets.refresh_context import DAY_MS, TIER_GRIDS, history_generation
from apps.markets.refresh_interest import month_of_interest
from apps.markets.refresh_sources import (
    Listings,
    VenueHealth,
    as_datetime,
    main_listings,
    not_published,
    or_nan,
    past_sources,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

METHOD_VERSION: Final = "1"
_WEIGHT_DAYS: Final = 7
_TOLERANCE_STEPS: Final = 2
"""A sample is fresh for two of its steps, worth less until six, then nothing."""


@dataclass(frozen=True, slots=True)
class SeriesShares:
    """One series of one asset; arrays have one row per venue in ``venues``: those that publish it."""

    venues: tuple[str, ...]
    said: tuple[Share | None, ...]
    share: FloatArray
    """NaN where the venue is down, stale or silent."""
    oi_usd: FloatArray
    used: BoolArray
    ranked: BoolArray
    """Venues of ``used`` with enough history: the aggregate is ranked on these, then and now."""
    windows: tuple[Block, Block]
    """30 days: of the venues, and of the aggregate on the ranked ones."""
    total: ShareAggregate
    """Nothing where too little of the market is inside."""
    ranked_share: float
    coverage: float

    def names(self, inside: BoolArray) -> list[str]:
        return list(compress(self.venues, inside))

    @property
    def is_withheld(self) -> bool:
        return bool(self.used.any()) and self.coverage < WITHHELD


@dataclass(frozen=True, slots=True)
class AssetPositioning:
    """Everything an answer about one asset is made of."""

    asset: str
    tier: AssetTier
    rows: Mapping[str, InstrumentRow]
    """The listing of each venue that has the asset."""
    series: Mapping[str, SeriesShares]
    oi_usd: Mapping[str, float]
    health: Mapping[str, VenueHealth]
    now_ms: int

    @property
    def coverage(self) -> float:
        return self.series[ACCOUNTS].coverage

    @property
    def used_venues(self) -> list[str]:
        accounts = self.series[ACCOUNTS]
        return accounts.names(accounts.used)


def load_positioning(
    assets: Sequence[str], now_ms: int, as_of_ms: int | None = None
) -> list[AssetPositioning]:
    """Inputs of all assets in a handful of reads; with ``as_of_ms`` only what was known then."""
    chosen = main_listings(assets, InstrumentKind.PERP)
    rows = list(chosen.values())
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)
    shares = newest_shares(rows, now_ms, as_of)
    sources: Mapping[str, SourceStatus]
    if as_of_ms is None:
        sources, generation = selectors.source_statuses(), history_generation()
    else:
        sources, generation = past_sources((row, _ts(shares, row)) for row in rows), ""
    batch = _Batch(
        chosen,
        sources,
        now_ms,
        shares=shares,
        past=_by_tier(assets, chosen, now_ms, as_of_ms, generation),
        interest=month_of_interest(assets, chosen, now_ms, as_of_ms, generation),
        oi_usd=weights_usd(rows, now_ms, as_of),
    )
    return [batch.asset(asset) for asset in assets]


def _by_tier(
    assets: Sequence[str], chosen: Listings, now_ms: int, as_of_ms: int | None, generation: str
) -> dict[AssetTier, dict[str, Windows]]:
    """Windows by series: a venue has one row for each."""
    places: dict[AssetTier, dict[SeriesKey, int]] = {}

    def load(rows: list[InstrumentRow], tier: AssetTier) -> Past:
        past, places[tier] = share_windows(
            rows, tier, now_ms, as_of_ms=as_of_ms, generation=generation
        )
        return past

    return {
        tier: {
            name: Windows(
                one.past, {row: at for (row, series), at in places[tier].items() if series == name}
            )
            for name in SERIES
        }
        for tier, one in by_tier(assets, chosen, as_of_ms, load).items()
    }


def _ts(shares: Mapping[SeriesKey, Share], row: InstrumentRow) -> int | None:
    found = shares.get((row.id, ACCOUNTS))
    return None if found is None else found.ts_ms


@dataclass(frozen=True, slots=True)
class _Batch(Batch):
    shares: Mapping[SeriesKey, Share]
    past: Mapping[AssetTier, Mapping[str, Windows]]
    interest: Mapping[AssetTier, Windows]
    oi_usd: Mapping[int, float]

    def asset(self, asset: str) -> AssetPositioning:
        everywhere = self.rows(asset)
        rows = {venue: row for venue, row in everywhere.items() if row is not None}
        health = {venue: self._health(venue, row) for venue, row in everywhere.items()}
        tier = tier_of(asset)
        return AssetPositioning(
            asset=asset,
            tier=tier,
            rows=rows,
            series={name: self._series(name, rows, health, tier) for name in SERIES},
            oi_usd={v: self.oi_usd[row.id] for v, row in rows.items() if row.id in self.oi_usd},
            health=health,
            now_ms=self.now_ms,
        )

    def _health(self, venue: str, row: InstrumentRow | None) -> VenueHealth:
        source = self.sources.get(venue)
        if row is not None and source is not None and not published_series(venue):
            return not_published(venue, source)
        said = None if row is None else self.shares.get((row.id, ACCOUNTS))
        tolerance_s = 1.0 if said is None else float(_TOLERANCE_STEPS * said.step_s)
        return self.health(venue, row, None if said is None else said.ts_ms, tolerance_s)

    def _fresh(self, said: Share | None, health: VenueHealth) -> float:
        """0 to 1; 0 for a venue that is down."""
        if said is None or health.status == "down":
            return 0.0
        tolerance_s = float(_TOLERANCE_STEPS * said.step_s)
        return float(freshness_weight(np.array([or_nan(self.age_s(said.ts_ms))]), tolerance_s)[0])

    def _series(
        self,
        name: str,
        rows: Mapping[str, InstrumentRow],
        health: Mapping[str, VenueHealth],
        tier: AssetTier,
    ) -> SeriesShares:
        mine = {venue: row for venue, row in rows.items() if name in published_series(venue)}
        said = tuple(self.shares.get((row.id, name)) for row in mine.values())
        fresh = np.array(
            [self._fresh(one, health[venue]) for venue, one in zip(mine, said, strict=True)],
            dtype=float,
        )
        share = np.array([np.nan if one is None else one.long_share for one in said], dtype=float)
        share = np.where(fresh > 0, share, np.nan)
        oi_usd = np.array([self.oi_usd.get(row.id, np.nan) for row in mine.values()], dtype=float)
        used = engine.usable(share, oi_usd)
        grid, past, interest = TIER_GRIDS[tier], self.past[tier][name], self.interest[tier]
        places, weights = past.places(mine.values()), interest.places(mine.values())
        ranked = past.ranked(used, places, grid)
        weight = interest.usual_share(weights, oi_usd, _WEIGHT_DAYS * DAY_MS // grid.slot_ms)
        covered = float(coverage(weight, np.where(used, fresh, 0.0))) if mine else 0.0
        is_enough = covered >= WITHHELD
        total = engine.aggregate(share, oi_usd)
        now = engine.aggregate(share[ranked], oi_usd[ranked]).share if is_enough else None
        return SeriesShares(
            venues=tuple(mine),
            said=said,
            share=share,
            oi_usd=oi_usd,
            used=used,
            ranked=ranked,
            windows=(
                past.block(places),
                mean_block(
                    past,
                    interest,
                    tuple(compress(places, ranked)),
                    tuple(compress(weights, ranked)),
                    oi_usd[ranked],
                    grid.slots,
                ),
            ),
            total=total,
            ranked_share=np.nan if now is None else now,
            coverage=covered,
        )
