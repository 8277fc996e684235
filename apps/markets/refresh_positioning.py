"""From stored shares of longs (or those known at ``as_of``) to positioning.

Method ``positioning`` version 1. Each venue's main perpetual counts once. A venue that publishes no such
series is no missing venue: nothing is expected of it. Shares are weighted by the open interest of the same
perpetual; the aggregate's past is made of the same venues, each slot with the weights of its own time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import SourceStatus
from apps.marketdata.positioning import ACCOUNTS, SERIES, published_series
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.marketdata.venues import all_venues
from apps.markets.engines import positioning as engine
from apps.markets.engines.positioning import ShareAggregate
from apps.markets.engines.quality import WITHHELD, coverage, freshness_weight, typical_share
from apps.markets.open_interest_samples import open_interest_window
from apps.markets.positioning_samples import (
    SeriesKey,
    Share,
    newest_shares,
    share_windows,
    weights_usd,
)
from apps.markets.refresh_context import DAY_MS, TIER_GRIDS, has_history, history_generation
from apps.markets.refresh_sources import (
    Listings,
    VenueHealth,
    all_listings,
    as_datetime,
    main_listings,
    not_published,
    past_sources,
    venue_health,
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
    window: FloatArray
    total: ShareAggregate
    """Nothing where too little of the market is inside."""
    ranked_share: float
    ranked_window: FloatArray
    coverage: float

    def names(self, inside: BoolArray) -> list[str]:
        return [venue for venue, is_in in zip(self.venues, inside, strict=True) if is_in]

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
    windows: dict[SeriesKey, FloatArray] = {}
    interest: dict[int, FloatArray] = {}
    for tier in {tier_of(asset) for asset in assets}:
        # Every main listing of a tier shares one file, whatever assets are asked for.
        listed = chosen if as_of_ms is not None else all_listings(InstrumentKind.PERP)
        everyone = [row for (_, asset), row in listed.items() if tier_of(asset) is tier]
        windows |= share_windows(everyone, tier, now_ms, as_of_ms=as_of_ms, generation=generation)
        past = open_interest_window(
            everyone, tier, now_ms, as_of_ms=as_of_ms, generation=generation
        )
        interest |= {row.id: values for row, values in zip(everyone, past, strict=True)}
    batch = _Batch(
        chosen, shares, sources, windows, interest, weights_usd(rows, now_ms, as_of), now_ms
    )
    return [batch.asset(asset) for asset in assets]


def _ts(shares: Mapping[SeriesKey, Share], row: InstrumentRow) -> int | None:
    found = shares.get((row.id, ACCOUNTS))
    return None if found is None else found.ts_ms


@dataclass(frozen=True, slots=True)
class _Batch:
    """What was read for all assets at once."""

    chosen: Listings
    shares: Mapping[SeriesKey, Share]
    sources: Mapping[str, SourceStatus]
    windows: Mapping[SeriesKey, FloatArray]
    interest: Mapping[int, FloatArray]
    oi_usd: Mapping[int, float]
    now_ms: int

    def asset(self, asset: str) -> AssetPositioning:
        rows = {
            venue: self.chosen[venue, asset]
            for venue in all_venues()
            if (venue, asset) in self.chosen
        }
        health = {venue: self._health(venue, rows.get(venue)) for venue in all_venues()}
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
        return venue_health(
            venue,
            is_listed=row is not None,
            source=source,
            age_s=None if said is None else self._age_s(said),
            tolerance_s=1.0 if said is None else float(_TOLERANCE_STEPS * said.step_s),
        )

    def _age_s(self, said: Share) -> float:
        return max(0.0, (self.now_ms - said.ts_ms) / 1000)

    def _fresh(self, said: Share | None, health: VenueHealth) -> float:
        """0 to 1; 0 for a venue that is down."""
        if said is None or health.status == "down":
            return 0.0
        tolerance_s = float(_TOLERANCE_STEPS * said.step_s)
        return float(freshness_weight(np.array([self._age_s(said)]), tolerance_s)[0])

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
        grid = TIER_GRIDS[tier]
        window = _stacked([self.windows.get((row.id, name)) for row in mine.values()], grid.slots)
        slots = grid.slots + DAY_MS // grid.slot_ms
        interest = _stacked([self.interest.get(row.id) for row in mine.values()], slots)
        interest = interest[:, -grid.slots :]
        ranked = used & has_history(window, grid)
        # Where nobody reaches back far enough, all are compared with what there is.
        ranked = ranked if ranked.any() else used
        recent = interest[:, -_WEIGHT_DAYS * DAY_MS // grid.slot_ms :]
        covered = (
            float(coverage(typical_share(recent, oi_usd), np.where(used, fresh, 0.0)))
            if mine
            else 0.0
        )
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
            window=window,
            total=total,
            ranked_share=np.nan if now is None else now,
            ranked_window=engine.share_window(window[ranked], interest[ranked], oi_usd[ranked])
            if ranked.any()
            else np.full(grid.slots, np.nan),
            coverage=covered,
        )


def _stacked(windows: Sequence[FloatArray | None], slots: int) -> FloatArray:
    """One row each, NaN where there is no window."""
    rows = [np.full(slots, np.nan) if one is None else one for one in windows]
    stacked: FloatArray = np.array(rows, dtype=float).reshape(-1, slots)
    return stacked
