"""What the batches of all metrics have in common: listings, how venues are doing, windows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apps.marketdata.context_windows import Grid
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import SourceStatus
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.marketdata.venues import all_venues, polled_venues
from apps.markets.engines.funding import aggregate_window
from apps.markets.engines.quality import freshness_weight, typical_share
from apps.markets.past import Block, Past
from apps.markets.refresh_context import has_history
from apps.markets.refresh_sources import Listings, VenueHealth, all_listings, or_nan, venue_health

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Places = tuple[int, ...]
"""Rows of a window; -1 is a listing that has none yet."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was read for all assets at once; a metric's own batch adds its inputs."""

    chosen: Listings
    sources: Mapping[str, SourceStatus]
    now_ms: int

    def rows(
        self, asset: str, venues: Sequence[str] | None = None
    ) -> dict[str, InstrumentRow | None]:
        """The asset's listing on every venue, None where there is none."""
        return {venue: self.chosen.get((venue, asset)) for venue in venues or all_venues()}

    def age_s(self, ts_ms: int | None) -> float | None:
        return None if ts_ms is None else max(0.0, (self.now_ms - ts_ms) / 1000)

    def health(
        self, venue: str, row: InstrumentRow | None, ts_ms: int | None, tolerance_s: float
    ) -> VenueHealth:
        """``ts_ms``: of the listing's newest number."""
        return venue_health(
            venue,
            is_listed=row is not None,
            source=self.sources.get(venue),
            age_s=None if row is None else self.age_s(ts_ms),
            tolerance_s=tolerance_s,
        )

    def freshness(
        self, seen_ms: Mapping[str, int | None], health: Mapping[str, VenueHealth], least_s: float
    ) -> FloatArray:
        """0 to 1 per venue by the time of its newest number; 0 for one that is down."""
        age_s = np.array([or_nan(self.age_s(ts_ms)) for ts_ms in seen_ms.values()], dtype=float)
        tolerance_s = [polled_tolerance_s(venue, least_s) for venue in seen_ms]
        fresh = freshness_weight(age_s, np.array(tolerance_s, dtype=float))
        down = np.array([health[venue].status == "down" for venue in seen_ms], dtype=bool)
        return np.where(down, 0.0, fresh)


def polled_tolerance_s(venue: str, least_s: float) -> float:
    """Twice the cadence at which this venue's numbers arrive."""
    return max(least_s, 2 * polled_venues().get(venue, 0.0))


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of every listing of a tier, and the row of each."""

    past: Past
    place: Mapping[int, int]

    def places(self, rows: Collection[InstrumentRow]) -> Places:
        return tuple([self.place.get(row.id, -1) for row in rows])

    def take(self, places: Places) -> FloatArray:
        """These rows."""
        return taken(self.past.values, places)

    def derived(self, key: str, make: Callable[[FloatArray], FloatArray]) -> Windows:
        return Windows(self.past.derived(key, make), self.place)

    def history(self, places: Places, grid: Grid, part: int | None = None) -> BoolArray:
        """Which of these reach back far enough to be ranked in: a new listing must not take the others'
        history away. ``part``: which of a listing's windows is looked at, where it has several."""

        def make() -> BoolArray:
            values = self.past.values if part is None else self.past.values[:, part]
            return np.append(has_history(values[:, -grid.slots :], grid), False)

        known: BoolArray = self.past.made("history", make)[list(places)]
        return known

    def ranked(self, used: BoolArray, places: Places, grid: Grid) -> BoolArray:
        """Those of ``used`` that reach back far enough; all of them where nobody does: they are then
        compared with what there is."""
        long = used & self.history(places, grid)
        return long if long.any() else used

    def usual_share(self, places: Places, now: FloatArray, slots: int) -> FloatArray:
        """Weight of each venue: the median of its share in the last ``slots``; ``now`` stands in where
        nothing is known of them."""
        seen = self.past.made(
            ("seen", slots),
            lambda: np.append(np.isfinite(self.past.values[:, -slots:]).any(axis=1), False),
        )

        def make() -> FloatArray:
            return typical_share(self.take(places)[:, -slots:], now)

        return (
            self.past.made(("share", slots, places), make) if seen[list(places)].all() else make()
        )

    def block(self, places: Places) -> Block:
        """The windows of these listings."""
        version = self.past.version
        key = None if version is None else (version, places)
        return Block(len(places), key, lambda: (self.take(places),))

    def total_block(self, places: Places, total: Callable[[FloatArray], FloatArray]) -> Block:
        """One window made of those of these listings."""
        version = self.past.version
        key = None if version is None else (version, "total", places)
        return Block(1, key, lambda: (total(self.take(places))[None],))


def taken(values: FloatArray, places: Places) -> FloatArray:
    """Rows of ``values``; NaN where there is none."""
    at = np.array(places, dtype=np.int64)
    if not values.shape[0]:
        return np.full((at.size, *values.shape[1:]), np.nan)
    found: FloatArray = values[at]
    if -1 in places:
        found[at < 0] = np.nan
    return found


def mean_block(
    rates: Windows,
    interest: Windows,
    places: Places,
    weights: Places,
    now: FloatArray,
    slots: int,
) -> Block:
    """The mean of rates weighted by open interest, on one venue set: see ``funding.aggregate_window``.

    ``places`` and ``weights`` are rows of the two windows, ``now`` the open interest that stands in where a
    past one is not known.
    """

    def read() -> tuple[FloatArray, ...]:
        if not places:
            return (np.full((1, slots), np.nan),)
        return (aggregate_window(rates.take(places), interest.take(weights), now)[None],)

    version = rates.past.version
    if version is None:
        return Block(1, None, read)
    if len(places) < 2:
        return Block(1, (version, "mean", places), read)
    is_whole = interest.past.made(
        ("whole", weights), lambda: bool(np.isfinite(interest.take(weights)).all())
    )
    stand_in = None if is_whole else tuple(now.tolist())
    return Block(1, (version, interest.past.version, places, weights, stand_in), read)


def by_tier(
    assets: Sequence[str],
    chosen: Listings,
    as_of_ms: int | None,
    load: Callable[[list[InstrumentRow], AssetTier], Past],
    *,
    kind: InstrumentKind = InstrumentKind.PERP,
    venues: Collection[str] | None = None,
) -> dict[AssetTier, Windows]:
    """Windows of the tiers of these assets.

    Every main listing of a tier shares one file, whatever assets are asked for; in the past only the
    ``chosen`` ones are read.
    """
    listed = chosen if as_of_ms is not None else all_listings(kind)
    found = {}
    for tier in {tier_of(asset) for asset in assets}:
        rows = [
            row
            for (venue, asset), row in listed.items()
            if tier_of(asset) is tier and (venues is None or venue in venues)
        ]
        place = {row.id: index for index, row in enumerate(rows)}
        found[tier] = Windows(load(rows, tier), place)
    return found
