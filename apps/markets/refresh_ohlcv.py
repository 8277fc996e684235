"""From minute bars and the bars in the making to candles per venue and market, with their history.

Method ``ohlcv`` version 1. The hour that is ranked is the last 60 closed minutes and the minute in the
making; its history is the rolling hour of the 5-minute (HOT) or 30-minute (COLD) grid. With ``as_of`` the
hour ends with the last minute closed and known by then. Where no minutes
are stored the grid's own bars serve; there is no minute candle then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata import selectors
from apps.marketdata.context_windows import Grid
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import LiveBoard
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import VENUES, AssetTier, tier_of
from apps.markets.contracts_ohlcv import CURRENT_INTERVALS
from apps.markets.engines.ohlcv import (
    DAY_MS,
    MINUTE_MS,
    Candles,
    as_one,
    filled,
    known_share,
    no_candles,
    on_grid,
    rolled_up,
    rolling,
    venue_mean,
)
from apps.markets.engines.quality import FULL, coverage, freshness_weight
from apps.markets.ohlcv_bars import (
    bars_by_id,
    places_of,
    stored_candles,
    with_open_bars,
)
from apps.markets.past import Block, Past
from apps.markets.refresh_bars import BarBatch
from apps.markets.refresh_batch import Places, Windows, by_tier
from apps.markets.refresh_context import (
    FLOW_GRIDS,
    HOUR_MS,
    history_generation,
    past_window,
)
from apps.markets.refresh_sources import VenueHealth, streamed_listings

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

METHOD_VERSION: Final = "1"
HEADLINE: Final = "1h"
KINDS: Final = (InstrumentKind.PERP, InstrumentKind.SPOT)
_WEIGHT_MS: Final = 7 * DAY_MS
_VOLUME: Final = 2
"""Which of a listing's windows is its volume in USD, after open and close."""


@dataclass(frozen=True, slots=True)
class VenueCandles:
    """One venue's listing: minutes of the last two hours, the one in the making included.

    ``rolled`` has them by name of their length, of longer bars where those saw more. ``hour`` is the last
    hour as one candle (empty without a trade, or where a part of it is not known).
    """

    row: InstrumentRow
    rolled: Mapping[str, Candles]
    step_ms: int
    hour: Candles
    is_hour_known: bool
    health: VenueHealth
    trade_ts_ms: int | None


@dataclass(frozen=True, slots=True)
class MarketCandles:
    """Perpetuals or spot of one asset. ``ranked`` are the venues of ``used`` with enough history."""

    venues: Mapping[str, VenueCandles]
    health: Mapping[str, VenueHealth]
    used: tuple[str, ...]
    ranked: tuple[str, ...]
    windows: tuple[Block, Block]
    """Open, close and USD volume of the rolling hours of 30 days: of the venues, and of the ranked ones
    together."""
    coverage: float


@dataclass(frozen=True, slots=True)
class AssetCandles:
    """Everything an answer about one asset is made of."""

    asset: str
    tier: AssetTier
    now_ms: int
    perp: MarketCandles
    spot: MarketCandles

    @property
    def health(self) -> Mapping[str, VenueHealth]:
        return self.perp.health

    @property
    def coverage(self) -> float:
        return self.perp.coverage

    @property
    def markets(self) -> tuple[MarketCandles, MarketCandles]:
        return self.perp, self.spot


def load_candles(
    assets: Sequence[str], now_ms: int, as_of_ms: int | None = None
) -> list[AssetCandles]:
    """Inputs of all assets in a handful of reads; with ``as_of_ms`` only what was known then."""
    board = selectors.live_board() if as_of_ms is None else None
    generation = history_generation() if as_of_ms is None else ""
    markets = [_batch(kind, assets, board, now_ms, as_of_ms, generation) for kind in KINDS]
    perp, spot = markets
    return [
        AssetCandles(asset, tier_of(asset), now_ms, perp.asset(asset), spot.asset(asset))
        for asset in assets
    ]


@dataclass(frozen=True, slots=True)
class _Recent:
    """Candles of the last two hours of one listing, each ``length_ms`` long; new ones every ``step_ms``."""

    rolled: Mapping[str, Candles]
    candles: Candles
    length_ms: npt.NDArray[np.int64]
    step_ms: int


def _batch(
    kind: InstrumentKind,
    assets: Sequence[str],
    board: LiveBoard | None,
    now_ms: int,
    as_of_ms: int | None,
    generation: str,
) -> _Batch:
    listed = streamed_listings(assets, kind)
    past = by_tier(
        assets,
        listed,
        as_of_ms,
        lambda rows, tier: _window(rows, kind, tier, now_ms, as_of_ms, generation),
        kind=kind,
        venues=VENUES,
    )
    sources = {} if board is None else board.sources
    recent = _recent(list(listed.values()), board, now_ms, as_of_ms)
    return _Batch(listed, sources, now_ms, board, recent=recent, past=past)


@dataclass(frozen=True, slots=True)
class _Batch(BarBatch):
    """Of one kind of listings."""

    recent: Mapping[int, _Recent]
    past: Mapping[AssetTier, Windows]

    def asset(self, asset: str) -> MarketCandles:
        rows = self.rows(asset, VENUES)
        health = {venue: self._health(venue, row) for venue, row in rows.items()}
        venues = {
            venue: self._venue(row, health[venue]) for venue, row in rows.items() if row is not None
        }
        used = tuple(
            venue
            for venue, one in venues.items()
            if one.hour.size and one.health.status not in ("down", "stale")
        )
        tier = tier_of(asset)
        past = self.past[tier]
        places = past.places([one.row for one in venues.values()])
        long = set(compress(venues, past.history(places, FLOW_GRIDS[tier], part=_VOLUME)))
        ranked = tuple(venue for venue in used if venue in long) or used
        inside = tuple(compress(places, [venue in ranked for venue in venues]))
        return MarketCandles(
            venues=venues,
            health=health,
            used=used,
            ranked=ranked,
            windows=(past.block(places), past.total_block(inside, _mean_window)),
            coverage=self._coverage(venues, used, places, tier),
        )

    def _venue(self, row: InstrumentRow, health: VenueHealth) -> VenueCandles:
        recent, candles = self.recent[row.id], self.recent[row.id].candles
        state = self.state(row)
        closed_ms = self.now_ms - self.now_ms % recent.step_ms
        since_ms = closed_ms - HOUR_MS
        is_known = known_share(candles, recent.length_ms, since_ms, closed_ms) >= FULL
        return VenueCandles(
            row=row,
            rolled=recent.rolled,
            step_ms=recent.step_ms,
            hour=as_one(_since(candles, since_ms)) if is_known else no_candles(),
            is_hour_known=is_known,
            health=health,
            trade_ts_ms=None if state is None else state.trade_ts_ms,
        )

    def _coverage(
        self,
        venues: Mapping[str, VenueCandles],
        used: Sequence[str],
        places: Places,
        tier: AssetTier,
    ) -> float:
        """Venues weigh by the median hour's volume of 7 days, or this hour's, times freshness."""
        past = self.past[tier].past
        slots = _WEIGHT_MS // FLOW_GRIDS[tier].slot_ms
        usual = past.made("usual", lambda: _usual_volume(past.values, slots))
        weight, fresh = np.zeros(len(venues)), np.zeros(len(venues))
        for index, (venue, one) in enumerate(venues.items()):
            now = float(one.hour.volume_usd[0]) if one.hour.size else 0.0
            known = usual[places[index]]
            weight[index] = now if np.isnan(known) else known
            if venue in used and one.health.age_s is not None:
                fresh[index] = freshness_weight(
                    np.array(one.health.age_s), self.tolerance_s(one.step_ms)
                )
        if weight.sum() <= 0:
            weight[:] = 1.0
        return float(coverage(weight, fresh))

    def _health(self, venue: str, row: InstrumentRow | None) -> VenueHealth:
        if row is None:
            return self.bar_health(venue, None, None, MINUTE_MS)
        recent, closed_ms = self.recent[row.id], None
        if recent.candles.size:
            closed_ms = int(recent.candles.open_ms[-1] + recent.length_ms[-1])
        return self.bar_health(venue, row, closed_ms, recent.step_ms)


def _since(candles: Candles, since_ms: int) -> Candles:
    return candles.take(slice(int(np.searchsorted(candles.open_ms, since_ms)), None))


def _usual_volume(rolled: FloatArray, slots: int) -> FloatArray:
    """Median of each listing's known hours, NaN where none is."""
    found = np.full(rolled.shape[0] + 1, np.nan)
    for row, volume in enumerate(rolled[:, _VOLUME, -slots:]):
        known = volume[~np.isnan(volume)]
        if known.size:
            found[row] = np.median(known)
    return found


def _mean_window(rolled: FloatArray) -> FloatArray:
    if not rolled.shape[0]:
        return np.full(rolled.shape[1:], np.nan)
    return venue_mean(np.moveaxis(rolled, 1, 0))


def _recent(
    rows: Sequence[InstrumentRow], board: LiveBoard | None, now_ms: int, as_of_ms: int | None
) -> dict[int, _Recent]:
    """Candles since the start of the hour before this one, by listing."""
    start_ms = now_ms - now_ms % HOUR_MS - HOUR_MS
    closed_ms = now_ms - now_ms % MINUTE_MS
    # What was stored since the tick began is fuller than the bar in the making.
    end_ms = closed_ms + MINUTE_MS if board is not None else closed_ms
    minutes = bars_by_id(rows, MINUTE_MS, start_ms, end_ms, as_of_ms)
    if board is not None:
        minutes = with_open_bars(minutes, rows, board)
    recent = {}
    for tier in AssetTier:
        step_ms = FLOW_GRIDS[tier].slot_ms
        mine = [row for row in rows if tier_of(row.instrument.asset) is tier]
        ids = np.array([row.id for row in mine], np.int64)
        coarse = bars_by_id(mine, step_ms, start_ms, now_ms - now_ms % step_ms, as_of_ms)
        fine = minutes.take(np.isin(minutes.series, ids))
        both, lengths = filled(fine, coarse, step_ms)
        longer = {
            name: rolled_up(both, length_ms) if length_ms > MINUTE_MS else fine
            for name, length_ms in CURRENT_INTERVALS.items()
        }
        places = {name: places_of(candles, ids) for name, candles in longer.items()}
        of_fine, of_both = places_of(fine, ids), places_of(both, ids)
        for at, row in enumerate(mine):
            has_minutes = of_fine[at].stop > of_fine[at].start or board is not None
            recent[row.id] = _Recent(
                {name: candles.take(places[name][at]) for name, candles in longer.items()},
                both.take(of_both[at]),
                lengths[of_both[at]],
                MINUTE_MS if has_minutes else step_ms,
            )
    return recent


def _window(
    rows: Sequence[InstrumentRow],
    kind: InstrumentKind,
    tier: AssetTier,
    t_ms: int,
    as_of_ms: int | None,
    generation: str,
) -> Past:
    """Open, close and USD volume of the rolling hour at each grid slot of 30 days: shape (listing, 3,
    slots)."""
    grid = FLOW_GRIDS[tier]
    slots = HOUR_MS // grid.slot_ms
    wide = Grid(grid.slot_s, grid.slots + slots - 1)
    ids = [row.id for row in rows]

    def load(first: int, end: int) -> FloatArray:
        start_ms, end_ms = wide.bounds_ms(first, end)
        candles = stored_candles(ids, wide.slot_ms, start_ms, end_ms, as_of_ms)
        return np.concatenate(on_grid(candles, len(ids), wide.slot_ms, first, end))

    def rolled(stacked: FloatArray) -> FloatArray:
        hours = rolling(stacked.reshape(3, len(ids), wide.slots), slots)
        return np.ascontiguousarray(np.moveaxis(hours, 0, 1))

    stacked = past_window(
        f"ohlcv_{kind.value}_{tier.value}",
        wide,
        [f"{what}|{row.instrument.key}" for what in ("open", "close", "usd") for row in rows],
        t_ms,
        load,
        as_of_ms=as_of_ms,
        generation=generation,
    )
    return stacked.derived("rolled", rolled)
