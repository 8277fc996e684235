"""Basis as it is answered: mark price over index of perpetuals, and the curve of dated futures."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET

from apps.markets.contracts_common import (
    COMPUTED,
    VENUE_FEEDS,
    AggregateContext,
    Context,
    Contract,
    Meta,
    NullReason,
    Payload,
)
from apps.markets.fields import doc, field_table, keyed_by

BASIS_METRIC: Final = "markets.basis"
PERCENT: Final = "percent"
STATES: Final = "backwardation | flat | contango | steep"

Basis = Annotated[float | None, doc("mark_price / index_price - 1", "decimal", source=COMPUTED)]
Value = Annotated[float | None, doc("The same in percent of the index", "percent", source=COMPUTED)]
Unit = Annotated[str, doc("Unit of value", values=PERCENT)]
PerpAnnualised = Annotated[
    float | None,
    doc(
        "What holding the perpetual costs a year: its funding APR", "decimal per year", "", COMPUTED
    ),
]
DatedAnnualised = Annotated[
    float | None,
    doc(
        "basis × 365 / days_to_expiry, simple; null with less than a day left",
        "decimal per year",
        source=COMPUTED,
    ),
]
DatedState = Annotated[
    str | None, doc("Absolute reading of annualised", values=STATES, source=COMPUTED)
]
MarkPrice = Annotated[float | None, doc("Mark price", "quote per coin", "above 0", VENUE_FEEDS)]
IndexPrice = Annotated[
    float | None,
    doc(
        "The venue's index in the contract's own quote currency",
        "quote per coin",
        "above 0",
        VENUE_FEEDS,
    ),
]
OiUsd = Annotated[
    float | None, doc("Open interest, one side", "USD", "0 or more", source=VENUE_FEEDS)
]
Quote = Annotated[str, doc("Quote currency of contract and index", source=VENUE_FEEDS)]
Symbol = Annotated[str, doc("The venue's own symbol", source=VENUE_FEEDS)]
Weighting = Annotated[
    str | None, doc("How contracts were weighted", values="open_interest | none", source=COMPUTED)
]
Expiry = Annotated[str, doc("Time of delivery", "ISO 8601 UTC", source=VENUE_FEEDS)]
DaysLeft = Annotated[
    float, doc("Days to delivery at snapshot_ts", "days", "above 0", source=COMPUTED)
]
UpdatedAt = Annotated[
    str | None, doc("Venue time of the mark price", "ISO 8601 UTC", source=VENUE_FEEDS)
]
AgeSeconds = Annotated[
    float | None, doc("Age of the mark price at snapshot_ts", "seconds", "0 or more", COMPUTED)
]


class BasisAggregate(AggregateContext, frozen=True, kw_only=True):
    """Perpetuals of all venues, weighted by their open interest."""

    basis: Basis
    annualised: PerpAnnualised
    weighting: Weighting
    oi_usd: OiUsd
    venues_ranked: Annotated[
        list[str],
        doc(
            "Venues whose past basis reaches back far enough: percentile and z-score compare these "
            "venues' basis now with these venues' last 30 days",
            source=COMPUTED,
        ),
    ]


class BasisFuture(Contract, frozen=True, kw_only=True):
    """One dated contract of one venue."""

    symbol: Symbol
    quote: Quote
    expiry: Expiry
    days_to_expiry: DaysLeft
    value: Value
    unit: Unit
    basis: Basis
    annualised: DatedAnnualised
    state: DatedState
    mark_price: MarkPrice
    index_price: IndexPrice
    oi_usd: OiUsd
    updated_at: UpdatedAt
    age_seconds: AgeSeconds
    null_reason: NullReason = UNSET


class BasisPoint(Contract, frozen=True, kw_only=True):
    """Contracts of all venues that are delivered on one day, weighted by their open interest."""

    expiry: Expiry
    days_to_expiry: DaysLeft
    value: Value
    unit: Unit
    basis: Basis
    annualised: DatedAnnualised
    state: DatedState
    weighting: Weighting
    oi_usd: OiUsd
    contracts: Annotated[
        dict[str, list[str]], doc("Symbols inside", source=VENUE_FEEDS), keyed_by("venue")
    ]
    null_reason: NullReason = UNSET


class BasisVenue(Context, frozen=True, kw_only=True):
    """One venue's perpetual, and its dated contracts."""

    basis: Basis
    annualised: PerpAnnualised
    symbol: Symbol
    quote: Quote
    mark_price: MarkPrice
    index_price: IndexPrice
    oi_usd: OiUsd
    weight: Annotated[
        float | None, doc("Weight in the aggregate", values="0 to 1", source=COMPUTED)
    ]
    updated_at: UpdatedAt
    age_seconds: AgeSeconds
    futures: Annotated[
        list[BasisFuture],
        doc("Dated contracts, nearest delivery first; empty where there is none"),
    ]


class BasisPayload(Payload, frozen=True, kw_only=True):
    """``GET /v1/markets/basis``."""

    asset: Annotated[str, doc("Asset", values="one of the 65")]
    aggregate: BasisAggregate
    venues: Annotated[
        dict[str, float],
        doc(
            "Basis of the perpetual by venue; only venues with a number",
            "percent",
            source=COMPUTED,
        ),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, BasisVenue], keyed_by("venue")]
    curve: Annotated[
        list[BasisPoint],
        doc("Dated futures over the venues, nearest delivery first; empty where there is none"),
    ]
    meta: Meta


BASIS_FIELDS: Final = field_table(
    BasisPayload,
    BASIS_METRIC,
    {
        "aggregate.value": "Mark price over index of perpetuals, weighted by open interest",
        "aggregate.state": f"Absolute reading of annualised: {STATES}",
        "venues_detail.{venue}.value": "Mark price of the venue's perpetual over its index",
        "venues_detail.{venue}.state": f"Absolute reading of annualised: {STATES}",
    },
)
