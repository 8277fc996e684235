"""Which listing of which venue speaks for an asset, and how its venues are doing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

import numpy as np
from msgspec import UNSET

from apps.core.clock import iso_utc
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import SOURCE_DEGRADED, SOURCE_DOWN, SourceStatus
from apps.marketdata.preference import preference
from apps.marketdata.selectors import InstrumentRow, all_instruments
from apps.marketdata.universe import VENUES
from apps.marketdata.venues import polled_venues
from apps.markets.contracts_common import Source

Listings: TypeAlias = Mapping[tuple[str, str], InstrumentRow]
"""The listing that speaks for (venue, asset)."""


@dataclass(frozen=True, slots=True)
class VenueHealth:
    """One venue for one asset at the time of a snapshot; ``age_s`` is that of its newest number."""

    venue: str
    status: str
    age_s: float | None
    last_ok_ms: int | None

    @property
    def null_reason(self) -> str:
        """Why a number of this venue is missing, in the contract's words."""
        if self.status == "stale" and self.age_s is None:
            return "no_data"
        return {"down": "venue_down", "stale": "stale", "not_listed": "not_listed"}.get(
            self.status, "no_data"
        )


def main_listings(assets: Sequence[str], kind: InstrumentKind) -> Listings:
    """The main listing of each (venue, asset): by quote currency, then by symbol."""
    wanted = set(assets)
    return {key: row for key, row in all_listings(kind).items() if key[1] in wanted}


def streamed_listings(assets: Sequence[str], kind: InstrumentKind) -> Listings:
    """Main listings of the venues that are streamed: polled ones have no trades or liquidations here."""
    found = main_listings(assets, kind)
    return {key: row for key, row in found.items() if key[0] in VENUES}


def all_listings(kind: InstrumentKind) -> Listings:
    """The main listing of every (venue, asset) that there is."""
    rows = all_instruments()
    held = _chosen.get(kind)
    if held is None or held[0] is not rows:
        held = rows, _main(rows, kind)
        _chosen[kind] = held
    return held[1]


_chosen: Final[dict[InstrumentKind, tuple[tuple[InstrumentRow, ...], Listings]]] = {}
"""By kind, made of the listings beside it: they are read again every few seconds."""


def _main(rows: Iterable[InstrumentRow], kind: InstrumentKind) -> Listings:
    chosen: dict[tuple[str, str], InstrumentRow] = {}
    mine = [row for row in rows if row.instrument.kind == kind and row.instrument.is_active]
    for row in sorted(mine, key=lambda row: preference(row.instrument)):
        chosen.setdefault((row.instrument.venue, row.instrument.asset), row)
    return chosen


def venue_health(
    venue: str,
    *,
    is_listed: bool,
    source: SourceStatus | None,
    age_s: float | None,
    tolerance_s: float,
) -> VenueHealth:
    """A venue's word for one asset. Older than three tolerances is stale."""
    if source is None:
        return VenueHealth(venue, "not_connected", None, None)
    if not is_listed:
        return VenueHealth(venue, "not_listed", None, source.last_ok_ms)
    if source.status == SOURCE_DOWN:
        return VenueHealth(venue, "down", age_s, source.last_ok_ms)
    if age_s is None or age_s > 3 * tolerance_s:
        return VenueHealth(venue, "stale", age_s, source.last_ok_ms)
    word = "degraded" if source.status == SOURCE_DEGRADED else "ok"
    return VenueHealth(venue, word, age_s, source.last_ok_ms)


def not_published(venue: str, source: SourceStatus) -> VenueHealth:
    """A venue that lists the asset and has no such metric of it: nothing is expected of it."""
    return VenueHealth(venue, "not_published", None, source.last_ok_ms)


def past_sources(seen: Iterable[tuple[InstrumentRow, int | None]]) -> dict[str, SourceStatus]:
    """In the past a venue was connected when it has listings here; its health then is its rows' age.

    ``seen``: each listing and the time of its newest number, if any.
    """
    found: dict[str, SourceStatus] = {}
    for row, ts_ms in seen:
        venue = row.instrument.venue
        known = found.get(venue)
        times = [ts for ts in (ts_ms, known.last_ok_ms if known else None) if ts is not None]
        newest = max(times, default=None)
        found[venue] = SourceStatus(venue=venue, status="ok", last_ok_ms=newest)
    return found


def sources_block(health: Mapping[str, VenueHealth]) -> list[Source]:
    """Every venue that can have this metric, in the fixed order."""
    polled = polled_venues()
    return [_source(one, polled.get(venue)) for venue, one in health.items()]


def _source(health: VenueHealth, polled_s: float | None) -> Source:
    return Source(
        venue=health.venue,
        status=health.status,
        age_seconds=None if health.age_s is None else round(health.age_s, 3),
        last_ok=None if health.last_ok_ms is None else iso_utc(health.last_ok_ms),
        cadence_seconds=UNSET if polled_s is None else polled_s,
        null_reason=UNSET if health.age_s is not None else health.null_reason,
    )


def missing_venues(health: Mapping[str, VenueHealth], used: Sequence[str]) -> list[str]:
    """Connected venues that list the asset and are not in the aggregate."""
    return [
        venue
        for venue, one in health.items()
        if venue not in used and one.status not in ("not_connected", "not_listed", "not_published")
    ]


def absence_reason(health: Mapping[str, VenueHealth]) -> str:
    """Why an aggregate has no venue at all: the plainest reason of those that list the asset."""
    words = {item.null_reason for item in health.values() if item.status != "not_connected"}
    for reason in ("stale", "venue_down", "no_data"):
        if reason in words:
            return reason
    return "not_listed" if words else "no_data"


def as_datetime(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)


def optional_iso(ts_ms: int | None) -> str | None:
    return None if ts_ms is None else iso_utc(ts_ms)


def or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def or_none(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value
