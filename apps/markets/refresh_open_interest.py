"""From live state (or the rows known at ``as_of``) to open interest.

Method ``open_interest`` version 1. Each venue's main perpetual counts once, one side, in USD at its own
mark price (in the past of a venue that tells coins alone, at its last traded price). The level is ranked in
its last 30 days; the z is that of the 24-hour log change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import LiveState, SourceStatus
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.marketdata.venues import all_venues, polled_venues
from apps.markets.contracts_open_interest import OPEN_INTEREST_WINDOWS
from apps.markets.engines.open_interest import Amounts
from apps.markets.engines.quality import coverage, freshness_weight, typical_share
from apps.markets.open_interest_samples import open_interest_samples, open_interest_window
from apps.markets.refresh_context import (
    DAY_MS,
    TIER_GRIDS,
    has_history,
    history_generation,
)
from apps.markets.refresh_sources import (
    Listings,
    VenueHealth,
    all_listings,
    as_datetime,
    main_listings,
    or_nan,
    or_none,
    past_sources,
    venue_health,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

METHOD_VERSION: Final = "1"
# Twice the cadence: live numbers are polled every minute (HOT) or five (COLD), samples are stored every
# five minutes, and the past of the COLD assets is hourly.
LIVE_TOLERANCE_S: Final = {AssetTier.HOT: 120.0, AssetTier.COLD: 600.0}
STORED_TOLERANCE_S: Final = {AssetTier.HOT: 600.0, AssetTier.COLD: 7200.0}
# How much older than its moment the sample may be that a change starts from.
_CHANGE_SLACK_MS: Final = {"1h": 15 * 60_000, "24h": 90 * 60_000}
_WEIGHT_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class VenueInterest:
    """What one venue says about one asset; None is unknown. ``ts_ms`` is the venue's time."""

    row: InstrumentRow
    oi_contracts: float | None = None
    oi_base: float | None = None
    oi_usd: float | None = None
    mark_price: float | None = None
    ts_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PastInterest:
    """Where a change starts from, one entry per venue; ``ts_ms`` None where nothing is known."""

    amounts: Amounts
    ts_ms: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class AssetInterest:
    """Everything an answer about one asset is made of; arrays have one row per venue in ``venues``."""

    asset: str
    tier: AssetTier
    venues: tuple[str, ...]
    said: tuple[VenueInterest, ...]
    now: Amounts
    """NaN where the venue is down, stale or silent."""
    past: Mapping[str, PastInterest]
    used: BoolArray
    ranked: BoolArray
    """Venues of ``used`` with enough history: the aggregate is ranked on these, then and now."""
    window: FloatArray
    """A day more than the 30 days, so that each slot has its 24-hour change."""
    coverage: float
    health: Mapping[str, VenueHealth]

    @property
    def used_venues(self) -> list[str]:
        return [venue for venue, inside in zip(self.venues, self.used, strict=True) if inside]


def load_open_interest(
    assets: Sequence[str], now_ms: int, as_of_ms: int | None = None
) -> list[AssetInterest]:
    """Inputs of all assets in a handful of reads; with ``as_of_ms`` only what was known then."""
    chosen = main_listings(assets, InstrumentKind.PERP)
    rows = list(chosen.values())
    sources: Mapping[str, SourceStatus]
    if as_of_ms is None:
        board = selectors.live_board()
        sources = board.sources
        said = {row.id: _live(row, board.get(row.instrument.key)) for row in rows}
        tolerance_s, generation = LIVE_TOLERANCE_S, history_generation()
    else:
        said = _stored(rows, as_of_ms)
        sources = past_sources((one.row, one.ts_ms) for one in said.values())
        tolerance_s, generation = STORED_TOLERANCE_S, ""
    windows: dict[int, FloatArray] = {}
    for tier in {tier_of(asset) for asset in assets}:
        # Every main listing of a tier shares one file, whatever assets are asked for.
        listed = chosen if as_of_ms is not None else all_listings(InstrumentKind.PERP)
        everyone = [row for (_, asset), row in listed.items() if tier_of(asset) is tier]
        window = open_interest_window(
            everyone, tier, now_ms, as_of_ms=as_of_ms, generation=generation
        )
        windows |= {row.id: values for row, values in zip(everyone, window, strict=True)}
    past = {name: _past(rows, name, now_ms, as_of_ms) for name in OPEN_INTEREST_WINDOWS}
    batch = _Batch(chosen, said, sources, windows, past, now_ms, tolerance_s)
    return [batch.asset(asset) for asset in assets]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What was read for all assets at once."""

    chosen: Listings
    said: Mapping[int, VenueInterest]
    sources: Mapping[str, SourceStatus]
    windows: Mapping[int, FloatArray]
    past: Mapping[str, Mapping[int, VenueInterest]]
    now_ms: int
    tolerance_s: Mapping[AssetTier, float]

    def asset(self, asset: str) -> AssetInterest:
        tier = tier_of(asset)
        rows = {venue: self.chosen.get((venue, asset)) for venue in all_venues()}
        listed = {venue: row for venue, row in rows.items() if row is not None}
        said = tuple(self.said[row.id] for row in listed.values())
        health = {venue: self._health(venue, row, tier) for venue, row in rows.items()}
        fresh = self._freshness(listed, said, health, tier)
        usd = np.array([or_nan(one.oi_usd) for one in said], dtype=float)
        used = (fresh > 0) & np.isfinite(usd)
        base = np.array([or_nan(one.oi_base) for one in said], dtype=float)
        now = Amounts(np.where(used, usd, np.nan), np.where(used, base, np.nan))
        grid = TIER_GRIDS[tier]
        empty = np.full(grid.slots + DAY_MS // grid.slot_ms, np.nan)
        window = np.array([self.windows.get(row.id, empty) for row in listed.values()])
        window = window.reshape(-1, empty.size)
        recent = window[:, -_WEIGHT_DAYS * DAY_MS // grid.slot_ms :]
        # Where nobody reaches back far enough, all are compared with what there is.
        ranked = used & has_history(window[:, -grid.slots :], grid)
        return AssetInterest(
            asset=asset,
            tier=tier,
            venues=tuple(listed),
            said=said,
            now=now,
            past={name: _aligned(found, said) for name, found in self.past.items()},
            used=used,
            ranked=ranked if ranked.any() else used,
            window=window,
            coverage=float(coverage(typical_share(recent, usd), np.where(used, fresh, 0.0)))
            if listed
            else 0.0,
            health=health,
        )

    def _freshness(
        self,
        listed: Mapping[str, InstrumentRow],
        said: Sequence[VenueInterest],
        health: Mapping[str, VenueHealth],
        tier: AssetTier,
    ) -> FloatArray:
        """0 to 1 per venue; 0 for a venue that is down."""
        age_s = np.array([or_nan(self._age_s(one)) for one in said], dtype=float)
        tolerance_s = np.array([self._tolerance_s(venue, tier) for venue in listed], dtype=float)
        down = np.array([health[venue].status == "down" for venue in listed], dtype=bool)
        return np.where(down, 0.0, freshness_weight(age_s, tolerance_s))

    def _health(self, venue: str, row: InstrumentRow | None, tier: AssetTier) -> VenueHealth:
        return venue_health(
            venue,
            is_listed=row is not None,
            source=self.sources.get(venue),
            age_s=None if row is None else self._age_s(self.said[row.id]),
            tolerance_s=self._tolerance_s(venue, tier),
        )

    def _tolerance_s(self, venue: str, tier: AssetTier) -> float:
        """Twice the cadence at which this venue's numbers arrive."""
        return max(self.tolerance_s[tier], 2 * polled_venues().get(venue, 0.0))

    def _age_s(self, one: VenueInterest) -> float | None:
        return None if one.ts_ms is None else max(0.0, (self.now_ms - one.ts_ms) / 1000)


def _live(row: InstrumentRow, state: LiveState | None) -> VenueInterest:
    if state is None:
        return VenueInterest(row)
    return VenueInterest(
        row=row,
        oi_contracts=state.oi_contracts,
        oi_base=state.oi_base,
        oi_usd=state.oi_usd,
        mark_price=state.mark_price,
        ts_ms=state.oi_ts_ms,
    )


def _stored(rows: Sequence[InstrumentRow], as_of_ms: int) -> dict[int, VenueInterest]:
    """The last samples known at ``as_of_ms``; prices have no history here and stay unknown."""
    found: dict[int, VenueInterest] = {row.id: VenueInterest(row) for row in rows}
    until, as_of = as_datetime(as_of_ms + 1), as_datetime(as_of_ms)
    for tier, tolerance_s in STORED_TOLERANCE_S.items():
        mine = [row for row in rows if tier_of(row.instrument.asset) is tier]
        since = as_datetime(as_of_ms - int(3000 * tolerance_s))
        found |= _last_samples(mine, since, until, as_of)
    return found


def _past(
    rows: Sequence[InstrumentRow], name: str, now_ms: int, as_of_ms: int | None
) -> dict[int, VenueInterest]:
    """The newest samples at or before the start of a change."""
    moment_ms = now_ms - OPEN_INTEREST_WINDOWS[name]
    since, until = as_datetime(moment_ms - _CHANGE_SLACK_MS[name]), as_datetime(moment_ms + 1)
    return _last_samples(rows, since, until, None if as_of_ms is None else as_datetime(as_of_ms))


def _last_samples(
    rows: Sequence[InstrumentRow], since: datetime, until: datetime, as_of: datetime | None
) -> dict[int, VenueInterest]:
    by_id = {row.id: row for row in rows}
    series = open_interest_samples(rows, since, until, as_of)
    last = {int(one): index for index, one in enumerate(series.instrument_id)}
    return {
        one: VenueInterest(
            row=by_id[one],
            oi_contracts=or_none(float(series.oi_contracts[index])),
            oi_base=or_none(float(series.oi_base[index])),
            oi_usd=or_none(float(series.oi_usd[index])),
            ts_ms=int(series.ts_ms[index]),
        )
        for one, index in last.items()
    }


def _aligned(found: Mapping[int, VenueInterest], said: Sequence[VenueInterest]) -> PastInterest:
    """Past samples in the order of the venues."""
    then = [found.get(one.row.id, VenueInterest(one.row)) for one in said]
    usd = np.array([or_nan(one.oi_usd) for one in then], dtype=float)
    base = np.array([or_nan(one.oi_base) for one in then], dtype=float)
    return PastInterest(Amounts(usd, base), tuple(one.ts_ms for one in then))
