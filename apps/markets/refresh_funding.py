"""From live state (or the rows known at ``as_of``) to funding answers.

Method ``funding`` version 1. The predicted rate of each venue is ranked in the settled rates of the last
30 days, read hourly: a settlement is the final value of the prediction before it, its history reaches back
30 days on the first day, and predictions themselves are never stored further back than we have watched.
The two kinds meet only there: ``window_kind`` says so, and no mean ever holds both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata import selectors
from apps.marketdata.events import FundingKind
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import LiveState, SourceStatus
from apps.marketdata.selectors import FundingSeries, InstrumentRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.markets.engines import funding as engine
from apps.markets.engines.quality import coverage
from apps.markets.past import Block
from apps.markets.refresh_batch import Batch, Windows, mean_block, polled_tolerance_s
from apps.markets.refresh_context import (
    FUNDING_GRID,
    HOUR_MS,
    funding_windows,
    history_generation,
    settled_intervals,
)
from apps.markets.refresh_sources import (
    VenueHealth,
    as_datetime,
    main_listings,
    or_nan,
    or_none,
    past_sources,
)

FloatArray = npt.NDArray[np.float64]

METHOD_VERSION: Final = "1"
# Twice the cadence of the feed: live rates come every few seconds (a minute at worst where polled),
# stored samples every five minutes.
LIVE_TOLERANCE_S: Final = 120.0
STORED_TOLERANCE_S: Final = 600.0
_WEIGHT_SLOTS: Final = 168
_SETTLED_LOOKBACK_H: Final = 24


@dataclass(frozen=True, slots=True)
class VenueRate:
    """What one venue says about one asset; None is unknown. Times in market milliseconds."""

    row: InstrumentRow
    rate: float | None = None
    rate_raw: str | None = None
    interval_h: float | None = None
    ts_ms: int | None = None
    next_funding_ms: int | None = None
    mark_price: float | None = None
    index_price: float | None = None
    oi_usd: float | None = None


@dataclass(frozen=True, slots=True)
class SettledRate:
    """A venue's last settlement."""

    rate_8h: float
    rate_raw: str
    interval_h: float | None
    ts_ms: int


@dataclass(frozen=True, slots=True)
class AssetFunding:
    """Everything an answer about one asset is made of; arrays have one row per venue in ``venues``."""

    asset: str
    venues: tuple[str, ...]
    rates: tuple[VenueRate, ...]
    rate_8h: FloatArray
    oi_usd: FloatArray
    used: npt.NDArray[np.bool_]
    coverage: float
    settled: tuple[SettledRate | None, ...]
    settlements: tuple[int, ...]
    aggregate: engine.FundingAggregate
    windows: tuple[Block, Block]
    """Settled rates of 30 days: of the venues, and of the aggregate on the venues used now."""
    health: Mapping[str, VenueHealth]

    @property
    def tier(self) -> AssetTier:
        return tier_of(self.asset)

    @property
    def used_venues(self) -> list[str]:
        """Venues whose rate is inside the aggregate."""
        return list(compress(self.venues, self.used))


def load_funding(
    assets: Sequence[str], now_ms: int, as_of_ms: int | None = None
) -> list[AssetFunding]:
    """Inputs of all assets in a handful of reads; with ``as_of_ms`` only what was known then."""
    chosen = main_listings(assets, InstrumentKind.PERP)
    rows = list(chosen.values())
    sources: Mapping[str, SourceStatus]
    if as_of_ms is None:
        board = selectors.live_board()
        sources = board.sources
        rates = {row.id: live_rate(row, board.get(row.instrument.key)) for row in rows}
        tolerance_s, generation = LIVE_TOLERANCE_S, history_generation()
    else:
        rates = stored_rates(rows, as_of_ms)
        sources = past_sources((rate.row, rate.ts_ms) for rate in rates.values())
        tolerance_s, generation = STORED_TOLERANCE_S, ""
    # Every listing of the market shares one file, whatever assets are asked for.
    everyone = rows if as_of_ms is not None else selectors.instruments(kind=InstrumentKind.PERP)
    stacked = Windows(
        funding_windows(everyone, now_ms, as_of_ms=as_of_ms, generation=generation),
        {row.id: index for index, row in enumerate(everyone)},
    )
    batch = _Batch(
        chosen,
        sources,
        now_ms,
        rates=rates,
        rate=stacked.derived("settled", lambda values: np.split(values, 3)[0]),
        interest=stacked.derived("oi", lambda values: np.split(values, 3)[1]),
        counts=stacked.past.made("counts", lambda: _counts(stacked.past.values)),
        settled=_last_settled(rows, now_ms, as_of_ms),
        tolerance_s=tolerance_s,
    )
    return [batch.asset(asset) for asset in assets]


def _counts(stacked: FloatArray) -> list[int]:
    """Settlements of each listing in 30 days; none of one that is not there yet."""
    counted: list[int] = np.nansum(np.split(stacked, 3)[2], axis=1).astype(np.int64).tolist()
    return [*counted, 0]


@dataclass(frozen=True, slots=True)
class _Batch(Batch):
    rates: Mapping[int, VenueRate]
    rate: Windows
    interest: Windows
    counts: Sequence[int]
    settled: Mapping[int, SettledRate]
    tolerance_s: float

    def asset(self, asset: str) -> AssetFunding:
        rows = self.rows(asset)
        listed = {venue: row for venue, row in rows.items() if row is not None}
        rates = [self.rates[row.id] for row in listed.values()]
        health = {venue: self._health(venue, row) for venue, row in rows.items()}
        places = self.rate.places(listed.values())
        oi_usd = np.array([or_nan(rate.oi_usd) for rate in rates], dtype=float)
        seen_ms = {venue: rate.ts_ms for venue, rate in zip(listed, rates, strict=True)}
        fresh = self.freshness(seen_ms, health, self.tolerance_s)
        rate_8h = engine.rate_per_8h(
            np.array([or_nan(rate.rate) for rate in rates], dtype=float),
            np.array([or_nan(rate.interval_h) for rate in rates], dtype=float),
        )
        rate_8h = np.where(fresh > 0, rate_8h, np.nan)
        fresh = np.where(np.isnan(rate_8h), 0.0, fresh)
        used = ~np.isnan(rate_8h)
        if used.sum() > 1:
            used &= oi_usd > 0
        inside = tuple(compress(places, used))
        weight = self.interest.usual_share(places, oi_usd, _WEIGHT_SLOTS)
        return AssetFunding(
            asset=asset,
            venues=tuple(listed),
            rates=tuple(rates),
            rate_8h=rate_8h,
            oi_usd=oi_usd,
            used=used,
            coverage=float(coverage(weight, fresh)),
            settled=tuple(self.settled.get(row.id) for row in listed.values()),
            settlements=tuple(self.counts[place] for place in places),
            aggregate=engine.aggregate(rate_8h, oi_usd),
            windows=(
                self.rate.block(places),
                mean_block(
                    self.rate, self.interest, inside, inside, oi_usd[used], FUNDING_GRID.slots
                ),
            ),
            health=health,
        )

    def _health(self, venue: str, row: InstrumentRow | None) -> VenueHealth:
        ts_ms = None if row is None else self.rates[row.id].ts_ms
        return self.health(venue, row, ts_ms, polled_tolerance_s(venue, self.tolerance_s))


def live_rate(row: InstrumentRow, state: LiveState | None) -> VenueRate:
    if state is None:
        return VenueRate(row, interval_h=row.instrument.funding_interval_h)
    return VenueRate(
        row=row,
        rate=state.funding_rate,
        rate_raw=state.funding_rate_raw,
        interval_h=state.funding_interval_h or row.instrument.funding_interval_h,
        ts_ms=state.funding_ts_ms,
        next_funding_ms=state.next_funding_ms,
        mark_price=state.mark_price,
        index_price=state.index_price,
        oi_usd=state.oi_usd,
    )


def stored_rates(rows: Sequence[InstrumentRow], as_of_ms: int) -> dict[int, VenueRate]:
    """The last samples known at ``as_of_ms``; prices have no history here and stay unknown."""
    ids = [row.id for row in rows]
    until, as_of = as_datetime(as_of_ms + 1), as_datetime(as_of_ms)
    since = as_datetime(as_of_ms - HOUR_MS)
    predicted = selectors.funding_series(ids, FundingKind.PREDICTED, since, until, as_of)
    latest = {int(one): i for i, one in enumerate(predicted.instrument_id)}
    oi = selectors.open_interest_series(ids, as_datetime(as_of_ms - 2 * HOUR_MS), until, as_of)
    oi_usd = {int(one): float(v) for one, v in zip(oi.instrument_id, oi.oi_usd, strict=True)}
    return {
        row.id: VenueRate(row, oi_usd=or_none(oi_usd.get(row.id)))
        if row.id not in latest
        else _stored_rate(row, predicted, latest[row.id], oi_usd.get(row.id))
        for row in rows
    }


def _stored_rate(
    row: InstrumentRow, series: FundingSeries, index: int, oi_usd: float | None
) -> VenueRate:
    interval_h = float(series.interval_h[index])
    return VenueRate(
        row=row,
        rate=float(series.rate[index]),
        rate_raw=series.rate_raw[index],
        interval_h=row.instrument.funding_interval_h if np.isnan(interval_h) else interval_h,
        ts_ms=int(series.ts_ms[index]),
        next_funding_ms=int(series.funding_ts_ms[index]),
        oi_usd=or_none(oi_usd),
    )


def _last_settled(
    rows: Sequence[InstrumentRow], now_ms: int, as_of_ms: int | None
) -> dict[int, SettledRate]:
    """The newest settlement of each listing, no older than a day."""
    series = selectors.funding_series(
        [row.id for row in rows],
        FundingKind.SETTLED,
        as_datetime(now_ms - _SETTLED_LOOKBACK_H * HOUR_MS),
        as_datetime(now_ms + 1),
        None if as_of_ms is None else as_datetime(as_of_ms),
    )
    interval_h = settled_intervals(series, rows)
    rate_8h = engine.rate_per_8h(series.rate, interval_h)
    return {
        int(one): SettledRate(
            rate_8h=float(rate_8h[index]),
            rate_raw=series.rate_raw[index],
            interval_h=or_none(float(interval_h[index])),
            ts_ms=int(series.ts_ms[index]),
        )
        for index, one in enumerate(series.instrument_id)
        if not np.isnan(rate_8h[index])
    }
