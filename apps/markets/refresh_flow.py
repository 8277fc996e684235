"""From minute bars and the bars in the making to taker flow per venue and market.

Method ``volume_flow`` version 1. A window is the last N closed minutes and the minute in the making. With
``as_of`` it ends with the last bar that was closed and known by then; where no minutes are stored that far
back, the 5-minute (HOT) or 30-minute (COLD) bars serve, and windows shorter than them are null.
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
from apps.marketdata.live import LiveBoard, OpenBar
from apps.marketdata.selectors import BarSeries, InstrumentRow
from apps.marketdata.universe import VENUES, AssetTier, tier_of
from apps.markets.contracts import WINDOWS
from apps.markets.engines.open_interest import total_window
from apps.markets.engines.quality import coverage, freshness_weight
from apps.markets.engines.volume_flow import (
    DAY_MS,
    MINUTE_MS,
    NO_FLOW,
    FlowSum,
    MinuteBars,
    add_sums,
    rolling_delta,
    session_start_ms,
    window_sums,
)
from apps.markets.minute_cache import MinuteCache
from apps.markets.past import Block, Past
from apps.markets.refresh_bars import BarBatch
from apps.markets.refresh_batch import Places, Windows, by_tier
from apps.markets.refresh_context import FLOW_GRIDS, HOUR_MS, flow_window, history_generation
from apps.markets.refresh_funding import LIVE_TOLERANCE_S
from apps.markets.refresh_sources import Listings, VenueHealth, as_datetime, streamed_listings

FloatArray = npt.NDArray[np.float64]

METHOD_VERSION: Final = "1"
SESSION: Final = "session"
HEADLINE: Final = "1h"


@dataclass(frozen=True, slots=True)
class StoredFlow:
    """Bars of one listing, how long each is, and the end of the last one that may be counted."""

    bars: MinuteBars
    step_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class MarketFlow:
    """One venue's listing: its window sums by name, the session's under ``SESSION``."""

    row: InstrumentRow
    sums: Mapping[str, FlowSum]
    trade_ts_ms: int | None


@dataclass(frozen=True, slots=True)
class AssetFlow:
    """Everything an answer about one asset is made of."""

    asset: str
    tier: AssetTier
    now_ms: int
    futures: Mapping[str, MarketFlow]
    spot: Mapping[str, MarketFlow]
    total: Mapping[str, FlowSum]
    told: Mapping[str, tuple[str, ...]]
    """Venues inside each window's total: those that say what takers bought in all of it."""
    spot_total: Mapping[str, FlowSum]
    used: tuple[str, ...]
    ranked: tuple[str, ...]
    """Venues of ``used`` with enough history: the aggregate is ranked on these, then and now."""
    ranked_total: FlowSum
    windows: tuple[Block, Block]
    """Rolling hours of 30 days: of the perpetual venues, and of the ranked ones together."""
    coverage: float
    health: Mapping[str, VenueHealth]


def load_flow(assets: Sequence[str], now_ms: int, as_of_ms: int | None = None) -> list[AssetFlow]:
    """Inputs of all assets in a handful of reads; with ``as_of_ms`` only what was known then."""
    futures = streamed_listings(assets, InstrumentKind.PERP)
    spot = streamed_listings(assets, InstrumentKind.SPOT)
    rows = [*futures.values(), *spot.values()]
    board = selectors.live_board() if as_of_ms is None else None
    end_ms = now_ms if as_of_ms is None else as_of_ms
    generation = history_generation() if as_of_ms is None else ""
    stored = _minute_flow(rows, board, end_ms, as_of_ms, generation)
    if as_of_ms is not None:
        stored |= _coarse_flow(
            [row for row in rows if not stored[row.id].bars.open_ms.size], as_of_ms
        )
    past = by_tier(
        assets,
        futures,
        as_of_ms,
        lambda rows, tier: _rolling_hours(rows, tier, end_ms, as_of_ms, generation),
        venues=VENUES,
    )
    sources = {} if board is None else board.sources
    batch = _Batch(futures, sources, end_ms, board, spot=spot, stored=stored, past=past)
    return [batch.asset(asset) for asset in assets]


def _rolling_hours(
    rows: list[InstrumentRow], tier: AssetTier, end_ms: int, as_of_ms: int | None, generation: str
) -> Past:
    slots = HOUR_MS // FLOW_GRIDS[tier].slot_ms
    history = flow_window(rows, tier, end_ms, as_of_ms=as_of_ms, generation=generation)
    return history.derived("rolled", lambda values: rolling_delta(values, slots)[:, slots - 1 :])


@dataclass(frozen=True, slots=True)
class _Batch(BarBatch):
    """``chosen`` are the perpetuals."""

    spot: Listings
    stored: Mapping[int, StoredFlow]
    past: Mapping[AssetTier, Windows]

    def asset(self, asset: str) -> AssetFlow:
        tier = tier_of(asset)
        futures = self._markets(self.chosen, asset)
        spot = self._markets(self.spot, asset)
        # Polled venues have no trades here: their flow is nobody's to miss.
        health = {venue: self._health(venue, futures.get(venue)) for venue in VENUES}
        # Shorter windows are known of venues whose hour is not yet.
        told = {
            name: tuple(
                venue
                for venue, flow in futures.items()
                if flow.sums[name].delta_usd is not None
                and health[venue].status not in ("down", "stale")
            )
            for name in (*WINDOWS, SESSION)
        }
        used = told[HEADLINE]
        told = {name: venues or used for name, venues in told.items()}
        past = self.past[tier]
        places = past.places([flow.row for flow in futures.values()])
        ranked = self._with_history(futures, used, places, tier)
        inside = tuple(compress(places, [venue in ranked for venue in futures]))
        spot_used = [flow for venue, flow in spot.items() if health[venue].status != "down"]
        return AssetFlow(
            asset=asset,
            tier=tier,
            now_ms=self.now_ms,
            futures=futures,
            spot=spot,
            total={
                name: add_sums(futures[venue].sums[name] for venue in venues)
                for name, venues in told.items()
            },
            told=told,
            spot_total=_totals(spot_used),
            used=used,
            ranked=ranked,
            ranked_total=add_sums(futures[venue].sums[HEADLINE] for venue in ranked),
            # A slot counts only where every venue of the ranked set is known.
            windows=(past.block(places), past.total_block(inside, _summed)),
            coverage=self._coverage(futures, used, health),
            health=health,
        )

    def _with_history(
        self,
        futures: Mapping[str, MarketFlow],
        used: Sequence[str],
        places: Places,
        tier: AssetTier,
    ) -> tuple[str, ...]:
        """Venues whose past taker flow reaches back far enough to be ranked in.

        Most venues do not publish past taker flow: theirs begins with our own recording, and would take
        the history of the others away for as long.
        """
        known = compress(futures, self.past[tier].history(places, FLOW_GRIDS[tier]))
        long = set(known)
        return tuple(venue for venue in used if venue in long) or tuple(used)

    def _markets(self, listings: Listings, asset: str) -> dict[str, MarketFlow]:
        found = {venue: listings.get((venue, asset)) for venue in VENUES}
        return {venue: self._market(row) for venue, row in found.items() if row is not None}

    def _market(self, row: InstrumentRow) -> MarketFlow:
        flow = self.stored[row.id]
        bars = flow.bars
        since = int(bars.open_ms[0]) if bars.open_ms.size else None
        closed_ms = flow.end_ms - flow.end_ms % flow.step_ms
        starts = {name: closed_ms - count * MINUTE_MS for name, count in WINDOWS.items()}
        starts[SESSION] = min(session_start_ms(self.now_ms), flow.end_ms - 1)
        long_enough = {
            name: start for name, start in starts.items() if flow.end_ms - start >= flow.step_ms
        } | {SESSION: starts[SESSION]}
        known = window_sums(bars, long_enough, flow.end_ms, since, self._heard_ms(row))
        sums = {name: known.get(name, NO_FLOW) for name in starts}
        state = self.state(row)
        return MarketFlow(row, sums, None if state is None else state.trade_ts_ms)

    def _coverage(
        self,
        futures: Mapping[str, MarketFlow],
        used: Sequence[str],
        health: Mapping[str, VenueHealth],
    ) -> float:
        """Venues weigh by their 24-hour volume (all alike where nobody has any) times freshness."""
        weight = np.array([flow.sums["24h"].volume_usd or 0.0 for flow in futures.values()])
        if weight.sum() <= 0:
            weight = np.ones(len(futures))
        fresh = np.zeros(len(futures))
        for index, (venue, flow) in enumerate(futures.items()):
            age_s = health[venue].age_s
            if venue in used and age_s is not None:
                fresh[index] = freshness_weight(
                    np.array(age_s), self.tolerance_s(self.stored[flow.row.id].step_ms)
                )
        return float(coverage(weight, fresh))

    def _heard_ms(self, row: InstrumentRow) -> int | None:
        """When the venue last spoke of this listing; None while it does: minutes after are unknown."""
        state = self.state(row)
        if self.board is not None:
            seen_ms = None if state is None else state.ts_recv_ms
            is_silent = seen_ms is None or self.now_ms - seen_ms > 1000 * LIVE_TOLERANCE_S
            return (seen_ms or 0) if is_silent else None
        venue, step_ms = row.instrument.venue, self.stored[row.id].step_ms
        return max(
            (
                int(flow.bars.open_ms[-1]) + step_ms
                for key, one in (*self.chosen.items(), *self.spot.items())
                if key[0] == venue
                and (flow := self.stored[one.id]).step_ms == step_ms
                and flow.bars.open_ms.size
            ),
            default=0,
        )

    def _health(self, venue: str, flow: MarketFlow | None) -> VenueHealth:
        if flow is None:
            return self.bar_health(venue, None, None, MINUTE_MS)
        stored = self.stored[flow.row.id]
        opens_ms = stored.bars.open_ms
        closed_ms = int(opens_ms[-1]) + stored.step_ms if opens_ms.size else None
        return self.bar_health(venue, flow.row, closed_ms, stored.step_ms)


def _totals(flows: Sequence[MarketFlow]) -> dict[str, FlowSum]:
    """Each window over the venues that say what takers bought in all of it, or else over all."""
    found = {}
    for name in (*WINDOWS, SESSION):
        sums = [flow.sums[name] for flow in flows]
        told = [one for one in sums if one.delta_usd is not None]
        found[name] = add_sums(told or sums)
    return found


def _summed(windows: FloatArray) -> FloatArray:
    return total_window(windows).round(6)


def _minute_flow(
    rows: Sequence[InstrumentRow],
    board: LiveBoard | None,
    end_ms: int,
    as_of_ms: int | None,
    generation: str,
) -> dict[int, StoredFlow]:
    """The last 24 hours of every listing, the bar in the making at the end."""
    closed_ms = end_ms - end_ms % MINUTE_MS
    found = {}
    minutes = (
        _read_bars(rows, MINUTE_MS, closed_ms - DAY_MS, closed_ms, as_of_ms)
        if as_of_ms is not None
        # When live, what was stored of the open minute counts too.
        else minute_cache.read(rows, closed_ms, closed_ms + MINUTE_MS, generation, _read_minutes)
    )
    for row, bars in minutes.items():
        state = None if board is None else board.get(row.instrument.key)
        open_bar = None if state is None else state.open_bar
        whole = bars if open_bar is None else with_open_bar(bars, open_bar)
        found[row.id] = StoredFlow(whole, MINUTE_MS, closed_ms if board is None else end_ms + 1)
    return found


def _coarse_flow(rows: Sequence[InstrumentRow], as_of_ms: int) -> dict[int, StoredFlow]:
    """The same from the grid's own bars."""
    found = {}
    for tier in AssetTier:
        step_ms = FLOW_GRIDS[tier].slot_ms
        mine = [row for row in rows if tier_of(row.instrument.asset) is tier]
        closed_ms = as_of_ms - as_of_ms % step_ms
        for row, bars in _read_bars(mine, step_ms, closed_ms - DAY_MS, closed_ms, as_of_ms).items():
            found[row.id] = StoredFlow(bars, step_ms, closed_ms)
    return found


minute_cache: Final = MinuteCache()


def _read_minutes(
    rows: Sequence[InstrumentRow], start_ms: int, end_ms: int
) -> dict[InstrumentRow, MinuteBars]:
    return _read_bars(rows, MINUTE_MS, start_ms, end_ms, None)


def _read_bars(
    rows: Sequence[InstrumentRow], step_ms: int, start_ms: int, end_ms: int, as_of_ms: int | None
) -> dict[InstrumentRow, MinuteBars]:
    """Stored bars that opened in ``[start_ms, end_ms)``."""
    series = selectors.bar_series(
        [row.id for row in rows],
        step_ms // 1000,
        as_datetime(start_ms),
        as_datetime(end_ms),
        None if as_of_ms is None else as_datetime(as_of_ms),
    )
    order = np.lexsort((series.ts_ms, series.instrument_id))
    ids = series.instrument_id[order]
    return {
        row: _closed(series, order[slice(*np.searchsorted(ids, [row.id, row.id + 1]).tolist())])
        for row in rows
    }


def _closed(series: BarSeries, mine: npt.NDArray[np.int64]) -> MinuteBars:
    return MinuteBars(
        open_ms=series.ts_ms[mine],
        volume_base=series.volume_base[mine],
        volume_usd=series.volume_usd[mine],
        buy_base=series.buy_base[mine],
        buy_usd=series.buy_usd[mine],
        trades=series.trades[mine].astype(np.int64),
    )


def with_open_bar(bars: MinuteBars, open_bar: OpenBar) -> MinuteBars:
    """Append the bar in the making; where its minute is stored already, the fuller one counts."""
    keep = bars.open_ms.size
    if keep and bars.open_ms[-1] >= open_bar.open_ts_ms:
        same = int(np.searchsorted(bars.open_ms, open_bar.open_ts_ms))
        is_stored = bars.open_ms[same] == open_bar.open_ts_ms
        if not is_stored or same != keep - 1 or bars.trades[same] >= open_bar.trades:
            return bars
        keep = same
    return MinuteBars(
        open_ms=np.append(bars.open_ms[:keep], open_bar.open_ts_ms),
        volume_base=np.append(bars.volume_base[:keep], open_bar.volume_base),
        volume_usd=np.append(bars.volume_usd[:keep], open_bar.volume_usd),
        buy_base=np.append(bars.buy_base[:keep], open_bar.buy_base),
        buy_usd=np.append(bars.buy_usd[:keep], open_bar.buy_usd),
        trades=np.append(bars.trades[:keep], open_bar.trades),
    )
