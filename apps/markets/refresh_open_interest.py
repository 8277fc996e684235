"""From live state (or the rows known at ``as_of``) to open interest.

Method ``open_interest`` version 1. Each venue's main perpetual counts once, one side, in USD at its own
mark price (in the past of a venue that tells coins alone, at its last traded price). The level is ranked in
its last 30 days; the z is that of the 24-hour log change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import LiveState, SourceStatus
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.markets.contracts_open_interest import OPEN_INTEREST_WINDOWS
from apps.markets.engines.open_interest import Amounts, total_window
from apps.markets.engines.quality import coverage
from apps.markets.open_interest_samples import open_interest_samples
from apps.markets.past import Block
from apps.markets.refresh_batch import Batch, Windows, polled_tolerance_s
from apps.markets.refresh_context import (
    DAY_MS,
    TIER_GRIDS,
    history_generation,
)
from apps.markets.refresh_interest import interest_windows
from apps.markets.refresh_sources import (
    VenueHealth,
    as_datetime,
    main_listings,
    or_nan,
    or_none,
    past_sources,
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
    windows: tuple[Block, Block]
    """Of the venues, and of the ranked ones together; a day more than the 30 days, so that each slot has
    its 24-hour change."""
    coverage: float
    health: Mapping[str, VenueHealth]

    @property
    def used_venues(self) -> list[str]:
        return list(compress(self.venues, self.used))


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
    batch = _Batch(
        chosen,
        sources,
        now_ms,
        said=said,
        interest=interest_windows(assets, chosen, now_ms, as_of_ms, generation),
        past={name: _past(rows, name, now_ms, as_of_ms) for name in OPEN_INTEREST_WINDOWS},
        tolerance_s=tolerance_s,
    )
    return [batch.asset(asset) for asset in assets]


@dataclass(frozen=True, slots=True)
class _Batch(Batch):
    said: Mapping[int, VenueInterest]
    interest: Mapping[AssetTier, Windows]
    past: Mapping[str, Mapping[int, VenueInterest]]
    tolerance_s: Mapping[AssetTier, float]

    def asset(self, asset: str) -> AssetInterest:
        tier = tier_of(asset)
        rows = self.rows(asset)
        listed = {venue: row for venue, row in rows.items() if row is not None}
        said = tuple(self.said[row.id] for row in listed.values())
        health = {venue: self._health(venue, row, tier) for venue, row in rows.items()}
        seen_ms = {venue: one.ts_ms for venue, one in zip(listed, said, strict=True)}
        fresh = self.freshness(seen_ms, health, self.tolerance_s[tier])
        usd = np.array([or_nan(one.oi_usd) for one in said], dtype=float)
        used = (fresh > 0) & np.isfinite(usd)
        base = np.array([or_nan(one.oi_base) for one in said], dtype=float)
        now = Amounts(np.where(used, usd, np.nan), np.where(used, base, np.nan))
        grid, interest = TIER_GRIDS[tier], self.interest[tier]
        places = interest.places(listed.values())
        ranked = interest.ranked(used, places, grid)
        weight = interest.usual_share(places, usd, _WEIGHT_DAYS * DAY_MS // grid.slot_ms)
        return AssetInterest(
            asset=asset,
            tier=tier,
            venues=tuple(listed),
            said=said,
            now=now,
            past={name: _aligned(found, said) for name, found in self.past.items()},
            used=used,
            ranked=ranked,
            windows=(
                interest.block(places),
                interest.total_block(tuple(compress(places, ranked)), total_window),
            ),
            coverage=float(coverage(weight, np.where(used, fresh, 0.0))) if listed else 0.0,
            health=health,
        )

    def _health(self, venue: str, row: InstrumentRow | None, tier: AssetTier) -> VenueHealth:
        ts_ms = None if row is None else self.said[row.id].ts_ms
        return self.health(venue, row, ts_ms, polled_tolerance_s(venue, self.tolerance_s[tier]))


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
