"""From live state (or the rows known at ``as_of``) to the basis of perpetuals and dated futures.

Method ``basis`` version 1. A contract is measured by its venue's own index in its own quote currency, when
both prices are of the same five seconds. Perpetuals of all venues are weighted by their open interest, and
ranked in their last 30 days; what one costs a year is its funding.
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
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.marketdata.venues import all_venues, polled_venues
from apps.markets.basis_samples import (
    Marked,
    basis_window,
    dated_listings,
    live_marks,
    stored_marks,
)
from apps.markets.engines import funding
from apps.markets.engines.quality import coverage, freshness_weight, typical_share
from apps.markets.open_interest_samples import open_interest_window
from apps.markets.refresh_context import DAY_MS, TIER_GRIDS, has_history, history_generation
from apps.markets.refresh_funding import VenueRate, live_rate, stored_rates
from apps.markets.refresh_sources import (
    Listings,
    VenueHealth,
    main_listings,
    or_nan,
    past_sources,
    venue_health,
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
    window: FloatArray
    oi_window: FloatArray
    coverage: float
    futures: tuple[Quoted, ...]
    """Of every venue, nearest delivery first."""
    health: Mapping[str, VenueHealth]

    @property
    def used_venues(self) -> list[str]:
        return [venue for venue, inside in zip(self.venues, self.used, strict=True) if inside]


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
    windows = _windows(assets, chosen, now_ms, as_of_ms, generation)
    batch = _Batch(chosen, dated, marks, rates, sources, windows, now_ms, tolerance_s)
    return [batch.asset(asset) for asset in assets]


def _stored(rows: Sequence[InstrumentRow], as_of_ms: int) -> dict[int, Marked]:
    found: dict[int, Marked] = {}
    for tier, tolerance_s in STORED_TOLERANCE_S.items():
        mine = [row for row in rows if tier_of(row.instrument.asset) is tier]
        found |= stored_marks(mine, as_of_ms, int(3000 * tolerance_s))
    return found


def _windows(
    assets: Sequence[str], chosen: Listings, now_ms: int, as_of_ms: int | None, generation: str
) -> dict[int, tuple[FloatArray, FloatArray]]:
    """Basis and open interest of each perpetual's last 30 days."""
    found: dict[int, tuple[FloatArray, FloatArray]] = {}
    for tier in {tier_of(asset) for asset in assets}:
        # Every main listing of a tier shares one file, whatever assets are asked for.
        listed = chosen if as_of_ms is not None else _all_listings()
        everyone = [row for (_, asset), row in listed.items() if tier_of(asset) is tier]
        past = basis_window(everyone, tier, now_ms, as_of_ms=as_of_ms, generation=generation)
        interest = open_interest_window(
            everyone, tier, now_ms, as_of_ms=as_of_ms, generation=generation
        )
        slots = TIER_GRIDS[tier].slots
        found |= {
            row.id: (past[index], interest[index, -slots:]) for index, row in enumerate(everyone)
        }
    return found


def _all_listings() -> Listings:
    found = selectors.instruments(kind=InstrumentKind.PERP)
    return main_listings([row.instrument.asset for row in found], InstrumentKind.PERP)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What was read for all assets at once."""

    chosen: Listings
    dated: Sequence[InstrumentRow]
    marks: Mapping[int, Marked]
    rates: Mapping[int, VenueRate]
    sources: Mapping[str, SourceStatus]
    windows: Mapping[int, tuple[FloatArray, FloatArray]]
    now_ms: int
    tolerance_s: Mapping[AssetTier, float]

    def asset(self, asset: str) -> AssetBasis:
        tier = tier_of(asset)
        rows = {venue: self.chosen.get((venue, asset)) for venue in all_venues()}
        listed = {venue: row for venue, row in rows.items() if row is not None}
        health = {venue: self._health(venue, row, tier) for venue, row in rows.items()}
        perps = tuple(self._quoted(row, health[venue]) for venue, row in listed.items())
        basis = np.array([one.basis for one in perps], dtype=float)
        oi_usd = np.array([one.oi_usd for one in perps], dtype=float)
        used = np.isfinite(basis)
        if used.sum() > 1:
            used &= np.nan_to_num(oi_usd) > 0
        window, oi_window = self._windows_of(list(listed.values()), tier)
        ranked = used & has_history(window, TIER_GRIDS[tier])
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
            # Where nobody reaches back far enough, all are compared with what there is.
            ranked=ranked if ranked.any() else used,
            window=window,
            oi_window=oi_window,
            coverage=self._coverage(listed, perps, oi_window, oi_usd, tier),
            futures=tuple(
                self._quoted(row, self._health(row.instrument.venue, row, tier))
                for row in self.dated
                if row.instrument.asset == asset
            ),
            health=health,
        )

    def _windows_of(
        self, rows: Sequence[InstrumentRow], tier: AssetTier
    ) -> tuple[FloatArray, FloatArray]:
        empty = np.full(TIER_GRIDS[tier].slots, np.nan)
        found = [self.windows.get(row.id, (empty, empty)) for row in rows]
        window, oi_window = (
            np.array([pair[part] for pair in found], dtype=float).reshape(-1, empty.size)
            for part in (0, 1)
        )
        return window, oi_window

    def _coverage(
        self,
        listed: Mapping[str, InstrumentRow],
        perps: Sequence[Quoted],
        oi_window: FloatArray,
        oi_usd: FloatArray,
        tier: AssetTier,
    ) -> float:
        """Weight of the fresh venues: by the median over 7 days of their share of the open interest."""
        if not listed:
            return 0.0
        recent = oi_window[:, -_WEIGHT_DAYS * DAY_MS // TIER_GRIDS[tier].slot_ms :]
        age_s = np.array([or_nan(one.age_s) for one in perps], dtype=float)
        tolerance_s = np.array([self._tolerance_s(venue, tier) for venue in listed], dtype=float)
        fresh = freshness_weight(age_s, tolerance_s)
        has_value = np.array([np.isfinite(one.basis) for one in perps], dtype=bool)
        return float(coverage(typical_share(recent, oi_usd), np.where(has_value, fresh, 0.0)))

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
        return venue_health(
            venue,
            is_listed=row is not None,
            source=self.sources.get(venue),
            age_s=None if row is None else self._age_s(self.marks[row.id]),
            tolerance_s=self._tolerance_s(venue, tier),
        )

    def _tolerance_s(self, venue: str, tier: AssetTier) -> float:
        """Twice the cadence at which this venue's prices arrive."""
        return max(self.tolerance_s[tier], 2 * polled_venues().get(venue, 0.0))

    def _age_s(self, one: Marked) -> float | None:
        return None if one.ts_ms is None else max(0.0, (self.now_ms - one.ts_ms) / 1000)
