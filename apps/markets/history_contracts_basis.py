"""One row of the basis' past: the same words as in the current answer, one moment per row."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import UNSET, UnsetType

from apps.markets.contracts_basis import (
    PERCENT,
    Basis,
    DatedAnnualised,
    DatedState,
    Expiry,
    IndexPrice,
    MarkPrice,
    OiUsd,
    Quote,
    Symbol,
    Value,
    Weighting,
)
from apps.markets.contracts_common import COMPUTED, VENUE_FEEDS, Contract, NullReason
from apps.markets.fields import doc, keyed_by
from apps.markets.history_contracts import Ts

SampledAt = Annotated[str, doc("Venue time of the sample", "ISO 8601 UTC", source=VENUE_FEEDS)]


class BasisHistoryVenue(Contract, frozen=True, kw_only=True):
    """A perpetual's last sample of the interval, or the one before it while that is still valid."""

    value: Value
    unit: Annotated[str, doc("Unit of value", values=PERCENT)]
    basis: Basis
    mark_price: MarkPrice
    index_price: IndexPrice
    oi_usd: OiUsd
    sampled_at: SampledAt
    null_reason: NullReason = UNSET


class BasisHistoryFuture(BasisHistoryVenue, frozen=True, kw_only=True):
    """A dated contract's last sample of the interval."""

    venue: Annotated[str, doc("Venue", source=VENUE_FEEDS)]
    symbol: Symbol
    quote: Quote
    expiry: Expiry
    annualised: DatedAnnualised
    state: DatedState


class BasisHistoryAggregate(Contract, frozen=True, kw_only=True):
    """Perpetuals whose samples are young enough at the interval's end to be averaged."""

    value: Value
    unit: Annotated[str, doc("Unit of value", values=PERCENT)]
    basis: Basis
    weighting: Weighting
    oi_usd: OiUsd
    venues_used: Annotated[list[str], doc("Venues inside the aggregate", source=COMPUTED)]
    venues_missing: Annotated[
        list[str], doc("Venues that list the asset and are not inside", source=COMPUTED)
    ]
    null_reason: NullReason = UNSET


class BasisHistoryRow(Contract, frozen=True, kw_only=True):
    """Basis at the end of one interval; an interval without any sample has no row."""

    ts: Ts
    closed: Annotated[bool, doc("True when the interval is over", source=COMPUTED)]
    aggregate: BasisHistoryAggregate | UnsetType = UNSET
    venues: Annotated[
        dict[str, float],
        doc("Basis of the perpetual by venue", "percent", source=COMPUTED),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, BasisHistoryVenue], keyed_by("venue")]
    futures: Annotated[
        list[BasisHistoryFuture], doc("Dated contracts, nearest delivery first, then by symbol")
    ]


BASIS_CSV_COLUMNS: Final = (
    "asset", "ts", "closed", "market", "venue", "symbol", "expiry", "value", "unit", "basis",
    "annualised", "state", "mark_price", "index_price", "oi_usd", "weighting", "sampled_at",
    "null_reason",
)  # fmt: skip


def basis_csv_records(asset: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    """One line per scope; ``market`` is perp or future, ``venue`` a venue or "aggregate"."""
    base = {"asset": asset, "ts": row["ts"], "closed": row["closed"]}
    scopes = {"aggregate": row["aggregate"]} if "aggregate" in row else {}
    scopes |= row["venues_detail"]
    lines = [{**base, "market": "perp", "venue": name, **block} for name, block in scopes.items()]
    return lines + [{**base, "market": "future", **one} for one in row["futures"]]
