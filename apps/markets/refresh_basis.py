"""From live state (or the rows known at ``as_of``) to the basis of perpetuals and dated futures.

Method ``basis`` version 1. A contract is measured by its venue's own index in its own quote currency, when
both prices are of the same five seconds. Perpetuals of all venues are weighted by their open interest, and
ranked in their last 30 days; what one costs a year is its funding.
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
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.markets.basis_samples import (
    Marked,
    basis_window,
    dated_listings,
    live_marks,
    stored_marks,
)
from apps.markets.engines import funding
from apps.markets.engines.quality import coverage
from apps.markets.past import Block
from apps.markets.refresh_batch import Batch, Windows, by_tier, mean_block, polled_tolerance_s
from apps.markets.refresh_context import DAY_MS, TIER_GRIDS, history_generation
from apps.markets.refresh_funding import VenueRate, live_rate, stored_rates
from apps.markets.refresh_interest import month_of_interest
from apps.markets.refresh_sources import (
    VenueHealth,
    main_listings,
    or_nan,
    past_sources,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

METHOD_VERSION: Final = "1"
# Twice the cadence: where a stream is silent, marks are asked for every 15 seconds; samples are stored
# every five minutes, and the past of the COLD assets is half-hourly.
LIVE_TOLERANCE_S: Final = {AssetTier.HOT: 30.0, AssetTier.COLD: 30.0}
STORED_TOLERANCE_S: Final = {AssetTier.HOT: 600.0, AssetTier.COLD: 3600.0}
_WEIGHT_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Quoted:
    """One contract now: prices, what it costs a year (perpetuals), how much of it is open.

    ``basis`` is NaN with ``reason`` where there is none that may be used.
    """

    marked: Marked
    basis: float
    age_s: float | None
    apr: float
    oi_usd: float
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AssetBasis:
    """Everything an answer about one asset is made of; arrays have one row per venue in ``venues``."""

    asset: str
    tier: AssetTier
    now_ms: int
    venues: tuple[str, ...]
    perps: tuple[Quoted, ...]
    basis: FloatArray
    apr: FloatArray
    oi_usd: FloatArray
    used: BoolArray
    ranked: BoolArray
    """Venues of ``used`` with enough history: the aggregate is ranked on these, then and now."""
    windows: tuple[Block, Block]
    """30 days: of the venues, and of the aggregate on the ranked ones."""
    coverage: float
    futures: tuple[Quoted, ...]
    """Of every venue, nearest delivery first."""
    health: Mapping[str, VenueHealth]

    @property
    def used_venues(self) -> list[str]:
        return list(compress(self.venues, self.used))


def load_basis(assets: Sequence[str], now_ms: int, as_of_ms: int | None = None) -> list[AssetBasis]:
    """Inputs of all assets in a handful of reads; with ``as_of_ms`` only what was known then."""
    chosen = main_listings(assets, InstrumentKind.PERP)
    dated = dated_listings(assets, now_ms, is_past=as_of_ms is not None)
    rows = [*chosen.values(), *dated]
    sources: Mapping[str, SourceStatus]
    if as_of_ms is None:
        board = selectors.live_board()
        sources = board.sources
        marks: Mapping[int, Marked] = live_marks(rows, board)
        rates = {row.id: live_rate(row, board.get(row.instrument.key)) for row in rows}
        tolerance_s, generation = LIVE_TOLERANCE_S, history_generation()
    else:
        marks = _stored(rows, as_of_ms)
        rates = stored_rates(rows, as_of_ms)
        sources = past_sources((one.row, one.ts_ms) for one in marks.values())
        tolerance_s, generation = STORED_TOLERANCE_S, ""
        # Listed later, or not watched then.
        dated = [row for row in dated if marks[row.id].ts_ms is not None]
    batch = _Batch(
        chosen,
        sources,
        now_ms,
        dated=dated,
        marks=marks,
        rates=rates,
        past=by_tier(
            assets,
            chosen,
            as_of_ms,
            lambda rows, tier: basis_window(
                rows, tier, now_ms, as_of_ms=as_of_ms, generation=generation
            ),
        ),
        interest=month_of_interest(assets, chosen, now_ms, as_of_ms, generation),
        tolerance_s=tolerance_s,
    )
    return [batch.asset(asset) for asset in assets]


def _stored(rows: Sequence[InstrumentRow], as_of_ms: int) -> dict[int, Marked]:
    found: dict[int, Marked] = {}
    for tier, tolerance_s in STORED_TOLERANCE_S.items():
        mine = [row for row in rows if tier_of(row.instrument.asset) is tier]
        found |= stored_marks(mine, as_of_ms, int(3000 * tolerance_s))
    return found


@dataclass(frozen=True, slots=True)
class _Batch(Batch):
    dated: Sequence[InstrumentRow]
    marks: Mapping[int, Marked]
    rates: Mapping[int, VenueRate]
    past: Mapping[AssetTier, Windows]
    interest: Mapping[AssetTier, Windows]
    tolerance_s: Mapping[AssetTier, float]

    def asset(self, asset: str) -> AssetBasis:
        tier = tier_of(asset)
        rows = self.rows(asset)
        listed = {venue: row for venue, row in rows.items() if row is not None}
        health = {venue: self._health(venue, row, tier) for venue, row in rows.items()}
        perps = tuple(self._quoted(row, health[venue]) for venue, row in listed.items())
        basis = np.array([one.basis for one in perps], dtype=float)
        oi_usd = np.array([one.oi_usd for one in perps], dtype=float)
        used = np.isfinite(basis)
        if used.sum() > 1:
            used &= oi_usd > 0
        past, interest, grid = self.past[tier], self.interest[tier], TIER_GRIDS[tier]
        places = past.places(listed.values())
        ranked = past.ranked(used, places, grid)
        inside = tuple(compress(places, ranked))
        return AssetBasis(
            asset=asset,
            tier=tier,
            now_ms=self.now_ms,
            venues=tuple(listed),
            perps=perps,
            basis=basis,
            apr=np.array([one.apr for one in perps], dtype=float),
            oi_usd=oi_usd,
            used=used,
            ranked=ranked,
            windows=(
                past.block(places),
                mean_block(past, interest, inside, inside, oi_usd[ranked], grid.slots),
            ),
            coverage=self._coverage(listed, basis, oi_usd, health, tier),
            futures=tuple(
                self._quoted(row, self._health(row.instrument.venue, row, tier))
                for row in self.dated
                if row.instrument.asset == asset
            ),
            health=health,
        )

    def _coverage(
        self,
        listed: Mapping[str, InstrumentRow],
        basis: FloatArray,
        oi_usd: FloatArray,
        health: Mapping[str, VenueHealth],
        tier: AssetTier,
    ) -> float:
        """Weight of the fresh venues: by the median over 7 days of their share of the open interest."""
        if not listed:
            return 0.0
        interest = self.interest[tier]
        recent = _WEIGHT_DAYS * DAY_MS // TIER_GRIDS[tier].slot_ms
        seen_ms = {venue: self.marks[row.id].ts_ms for venue, row in listed.items()}
        fresh = self.freshness(seen_ms, health, self.tolerance_s[tier])
        weight = interest.usual_share(interest.places(listed.values()), oi_usd, recent)
        return float(coverage(weight, np.where(np.isfinite(basis), fresh, 0.0)))

    def _quoted(self, row: InstrumentRow, health: VenueHealth) -> Quoted:
        marked, rate = self.marks[row.id], self.rates[row.id]
        reason: str | None = None
        if health.status in ("down", "stale", "not_connected"):
            reason = health.null_reason
        elif np.isnan(marked.basis):
            reason = "stale" if marked.is_apart else "no_data"
        rate_8h = funding.rate_per_8h(
            np.array([or_nan(rate.rate)]), np.array([or_nan(rate.interval_h)])
        )
        return Quoted(
            marked=marked,
            basis=marked.basis if reason is None else float("nan"),
            age_s=health.age_s,
            apr=funding.annual_rate(float(rate_8h[0])) if reason is None else float("nan"),
            oi_usd=or_nan(rate.oi_usd),
            reason=reason,
        )

    def _health(self, venue: str, row: InstrumentRow | None, tier: AssetTier) -> VenueHealth:
        ts_ms = None if row is None else self.marks[row.id].ts_ms
        return self.health(venue, row, ts_ms, polled_tolerance_s(venue, self.tolerance_s[tier]))
