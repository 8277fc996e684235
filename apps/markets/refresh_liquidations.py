"""From stored liquidations, and when they were listened to, to sums by window, side and venue.

Method ``liquidations`` version 1. Each venue's main perpetual counts. A sum is stated where at least 95 %
of its window was listened to. Venues that publish liquidations add up; what is estimated (Hyperliquid) stands
beside them. The last hour is ranked among the rolling hours of the last 30 days.
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
from apps.marketdata.liquidations import Liquidations, liquidations
from apps.marketdata.live import LiveBoard
from apps.marketdata.normalisation import LIQUIDATIONS as FEEDS
from apps.marketdata.normalisation import LiquidationFeed
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import VENUES, AssetTier, tier_of
from apps.markets.contracts_liquidations import HEADLINE_WINDOW, LIQUIDATION_WINDOWS
from apps.markets.engines.liquidations import Sums, is_stated, sums_of
from apps.markets.engines.open_interest import total_window
from apps.markets.engines.quality import coverage
from apps.markets.liquidation_inputs import Watch, liquidation_window
from apps.markets.past import Block
from apps.markets.refresh_batch import Batch, Windows, by_tier
from apps.markets.refresh_context import DAY_MS, TIER_GRIDS, history_generation
from apps.markets.refresh_interest import interest_windows
from apps.markets.refresh_sources import VenueHealth, past_sources, streamed_listings

FloatArray = npt.NDArray[np.float64]

METHOD_VERSION: Final = "1"
TOLERANCE_S: Final = 60.0
"""A stream that has been down for three times as long is stale: the last hour is no longer watched."""
_LONGEST_MS: Final = max(LIQUIDATION_WINDOWS.values())
_WEIGHT_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class VenueLiquidations:
    """One venue's listing. ``events`` are those of the last 24 hours; ``shares``: which part of each
    window was listened to."""

    row: InstrumentRow
    feed: LiquidationFeed
    health: VenueHealth
    events: Liquidations
    sums: Mapping[str, Sums]
    shares: Mapping[str, float]
    watched_since_ms: int | None

    def is_stated(self, name: str) -> bool:
        is_there = self.health.status not in ("down", "not_connected")
        return is_there and bool(is_stated(self.shares[name]))

    @property
    def value(self) -> float | None:
        return self.sums[HEADLINE_WINDOW].total_usd if self.is_stated(HEADLINE_WINDOW) else None


@dataclass(frozen=True, slots=True)
class AssetLiquidations:
    """Everything an answer about one asset is made of. ``weight``: of each connected venue that publishes."""

    asset: str
    tier: AssetTier
    venues: Mapping[str, VenueLiquidations]
    health: Mapping[str, VenueHealth]
    used: tuple[str, ...]
    ranked: tuple[str, ...]
    weight: Mapping[str, float]
    windows: tuple[Block, Block]
    """Rolling hours of 30 days: of the venues, and of the ranked ones together."""
    coverage: float

    @property
    def estimated(self) -> list[str]:
        """Venues that publish none and whose estimate is known."""
        return [
            venue
            for venue, one in self.venues.items()
            if not one.feed.is_published and one.value is not None
        ]


def load_liquidations(
    assets: Sequence[str], now_ms: int, as_of_ms: int | None = None
) -> list[AssetLiquidations]:
    """Inputs of all assets in a handful of reads; with ``as_of_ms`` only what was known then."""
    chosen = streamed_listings(assets, InstrumentKind.PERP)
    rows = list(chosen.values())
    board = selectors.live_board() if as_of_ms is None else None
    generation = history_generation() if as_of_ms is None else ""
    watch = Watch.read(rows, now_ms - _LONGEST_MS, now_ms, as_of_ms, board)
    past = by_tier(
        assets,
        chosen,
        as_of_ms,
        lambda rows, tier: liquidation_window(
            rows, tier, now_ms, as_of_ms=as_of_ms, generation=generation
        ),
    )
    batch = _Batch(
        chosen,
        past_sources((row, watch.until_ms(row.id)) for row in rows)
        if board is None
        else board.sources,
        now_ms,
        events=_by_row(rows, now_ms, as_of_ms),
        watch=watch,
        board=board,
        past=past,
        interest=interest_windows(assets, chosen, now_ms, as_of_ms, generation),
    )
    return [batch.asset(asset) for asset in assets]


def _by_row(
    rows: Sequence[InstrumentRow], now_ms: int, as_of_ms: int | None
) -> dict[int, Liquidations]:
    """Events of the longest window by row id, by time. What a venue dates later than now is not in yet."""
    found = liquidations([row.id for row in rows], now_ms - _LONGEST_MS, now_ms, as_of_ms)
    order = np.argsort(found.instrument_id, kind="stable")
    ids = np.array([row.id for row in rows])
    first = np.searchsorted(found.instrument_id[order], ids, side="left")
    last = np.searchsorted(found.instrument_id[order], ids, side="right")
    return {
        int(one): found.take(order[start:stop])
        for one, start, stop in zip(ids, first, last, strict=True)
    }


@dataclass(frozen=True, slots=True)
class _Batch(Batch):
    events: Mapping[int, Liquidations]
    watch: Watch
    board: LiveBoard | None
    past: Mapping[AssetTier, Windows]
    interest: Mapping[AssetTier, Windows]

    def asset(self, asset: str) -> AssetLiquidations:
        tier = tier_of(asset)
        rows = self.rows(asset, VENUES)
        health = {venue: self._health(venue, row) for venue, row in rows.items()}
        venues = {
            venue: self._venue(row, health[venue]) for venue, row in rows.items() if row is not None
        }
        published = [
            venue
            for venue, one in venues.items()
            if one.feed.is_published and one.health.status != "not_connected"
        ]
        used = tuple(venue for venue in published if venues[venue].value is not None)
        weight = self._weight([venues[venue].row for venue in published], tier)
        fresh = np.array([venue in used for venue in published], dtype=float)
        past = self.past[tier]
        places = past.places([one.row for one in venues.values()])
        long = set(compress(venues, past.history(places, TIER_GRIDS[tier])))
        ranked = tuple(venue for venue in used if venue in long) or used
        inside = tuple(compress(places, [venue in ranked for venue in venues]))
        return AssetLiquidations(
            asset=asset,
            tier=tier,
            venues=venues,
            health=health,
            used=used,
            ranked=ranked,
            weight=dict(zip(published, weight.tolist(), strict=True)),
            windows=(past.block(places), past.total_block(inside, total_window)),
            coverage=float(coverage(weight, fresh)) if published else 0.0,
        )

    def _venue(self, row: InstrumentRow, health: VenueHealth) -> VenueLiquidations:
        events = self.events[row.id]
        shares = self.watch.shares(row.id, tuple(LIQUIDATION_WINDOWS.values()), self.now_ms)
        return VenueLiquidations(
            row=row,
            feed=FEEDS[row.instrument.venue],
            health=health,
            events=events,
            sums={
                name: sums_of(events.is_long, events.usd, events.ts_ms >= self.now_ms - length)
                for name, length in LIQUIDATION_WINDOWS.items()
            },
            shares=dict(zip(LIQUIDATION_WINDOWS, shares, strict=True)),
            watched_since_ms=self._since_ms(row),
        )

    def _since_ms(self, row: InstrumentRow) -> int | None:
        """Since when without a break, where it goes on now."""
        if self.board is not None:
            state = self.board.get(row.instrument.key)
            return None if state is None else state.liquidations_since_ms
        since, until = self.watch.spans(row.id)
        open_ = since[until == self.now_ms]
        return int(open_.min()) if open_.size else None

    def _weight(self, rows: Sequence[InstrumentRow], tier: AssetTier) -> FloatArray:
        """Published venues weigh by their usual share of open interest: their traders can be liquidated."""
        recent = _WEIGHT_DAYS * DAY_MS // TIER_GRIDS[tier].slot_ms
        interest = self.interest[tier]
        now = np.array([self._interest(row) for row in rows], dtype=float)
        return interest.usual_share(interest.places(rows), now, recent)

    def _interest(self, row: InstrumentRow) -> float:
        state = None if self.board is None else self.board.get(row.instrument.key)
        return np.nan if state is None or state.oi_usd is None else state.oi_usd

    def _health(self, venue: str, row: InstrumentRow | None) -> VenueHealth:
        """As fresh as its liquidations were last listened to."""
        until_ms = None if row is None else self.watch.until_ms(row.id)
        return self.health(venue, row, until_ms, TOLERANCE_S)
