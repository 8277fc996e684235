"""What an L1 answer is: one shape for REST, WebSocket and pages. Times are ISO 8601 UTC, rates decimals.

Every field carries its meaning and unit; ``FIELDS`` is generated from them. A missing number is null,
and the object that holds it says why in ``null_reason``.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, UnsetType

from apps.markets.contracts_basis import BASIS_FIELDS
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
from apps.markets.contracts_liquidations import LIQUIDATIONS_FIELDS
from apps.markets.contracts_ohlcv import OHLCV_FIELDS
from apps.markets.contracts_open_interest import OPEN_INTEREST_FIELDS
from apps.markets.contracts_positioning import POSITIONING_FIELDS
from apps.markets.fields import FieldDoc, doc, field_table, keyed_by

WINDOWS: Final = {"5m": 5, "15m": 15, "1h": 60, "4h": 240, "24h": 1440}
"""Minutes of each volume-flow window."""
FUNDING_UNIT: Final = "percent_per_8h"
USD: Final = "usd"


Rate8h = Annotated[float | None, doc("Rate for 8 hours", "decimal per 8 h", source=COMPUTED)]
Rate1h = Annotated[float | None, doc("Rate for one hour", "decimal per 1 h", source=COMPUTED)]
Apr = Annotated[
    float | None, doc("Simple annual rate: rate_1h × 8760", "decimal per year", source=COMPUTED)
]


class FundingAggregate(AggregateContext, frozen=True, kw_only=True):
    """Predicted rates of all venues, weighted by their open interest."""

    rate_8h: Rate8h
    rate_1h: Rate1h
    apr: Apr
    kind: Annotated[str, doc("Kind of the rates inside", values="predicted")]
    weighting: Annotated[
        str | None,
        doc("How venues were weighted", values="open_interest | none", source=COMPUTED),
    ]
    oi_usd: Annotated[
        float | None, doc("Open interest of the venues used, one side", "USD", source=VENUE_FEEDS)
    ]


class FundingSettled(Contract, frozen=True, kw_only=True):
    """A rate that was really paid; never mixed with predicted ones."""

    value: Annotated[float | None, doc("Last settled rate", "percent per 8 h", source=VENUE_FEEDS)]
    unit: Annotated[str, doc("Unit of value", values=FUNDING_UNIT)]
    rate_8h: Rate8h
    rate_1h: Rate1h
    apr: Apr
    settled_at: Annotated[
        str | None,
        doc("Settlement time (the newest of the venues)", "ISO 8601 UTC", source=VENUE_FEEDS),
    ]
    predicted_minus_settled: Annotated[
        float | None,
        doc("Predicted rate less last settled rate", "percentage points per 8 h", source=COMPUTED),
    ]
    settlements_30d: Annotated[
        int, doc("Settlements in the last 30 days", "settlements", "0 or more", VENUE_FEEDS)
    ]
    null_reason: NullReason = UNSET


class FundingSettledVenue(FundingSettled, frozen=True, kw_only=True):
    rate_raw: Annotated[
        str | None, doc("The venue's own string", "per interval_h", source=VENUE_FEEDS)
    ]
    interval_h: Annotated[
        float | None, doc("Hours of that funding interval", "hours", source=VENUE_FEEDS)
    ]


class FundingSettledAggregate(FundingSettled, frozen=True, kw_only=True):
    weighting: Annotated[
        str | None,
        doc("How venues were weighted", values="open_interest | none", source=COMPUTED),
    ]
    venues: Annotated[
        dict[str, float],
        doc("Last settled rate by venue", "percent per 8 h", source=VENUE_FEEDS),
        keyed_by("venue"),
    ]


class FundingVenue(Context, frozen=True, kw_only=True):
    """One venue's perpetual."""

    rate_8h: Rate8h
    rate_1h: Rate1h
    apr: Apr
    kind: Annotated[str, doc("Kind of the rate", values="predicted")]
    symbol: Annotated[str, doc("The venue's own symbol", source=VENUE_FEEDS)]
    rate: Annotated[
        float | None, doc("The venue's rate", "decimal per interval_h", source=VENUE_FEEDS)
    ]
    rate_raw: Annotated[
        str | None, doc("The venue's own string", "per interval_h", source=VENUE_FEEDS)
    ]
    interval_h: Annotated[
        float | None, doc("Hours of this symbol's funding interval", "hours", source=VENUE_FEEDS)
    ]
    next_funding_at: Annotated[
        str | None, doc("Coming settlement", "ISO 8601 UTC", source=VENUE_FEEDS)
    ]
    mark_price: Annotated[float | None, doc("Mark price", "quote per coin", "above 0", VENUE_FEEDS)]
    index_price: Annotated[
        float | None, doc("Index price", "quote per coin", "above 0", VENUE_FEEDS)
    ]
    oi_usd: Annotated[float | None, doc("Open interest, one side", "USD", "0 or more", VENUE_FEEDS)]
    weight: Annotated[
        float | None, doc("Weight in the aggregate", values="0 to 1", source=COMPUTED)
    ]
    updated_at: Annotated[
        str | None, doc("Venue time of the rate", "ISO 8601 UTC", source=VENUE_FEEDS)
    ]
    age_seconds: Annotated[
        float | None, doc("Age of the rate at snapshot_ts", "seconds", "0 or more", COMPUTED)
    ]
    settled: FundingSettledVenue


class FundingPayload(Payload, frozen=True, kw_only=True):
    """``GET /v1/markets/funding``."""

    asset: Annotated[str, doc("Asset", values="one of the 65")]
    aggregate: FundingAggregate
    venues: Annotated[
        dict[str, float],
        doc(
            "Predicted rate by venue; only venues with a number",
            "percent per 8 h",
            source=VENUE_FEEDS,
        ),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, FundingVenue], keyed_by("venue")]
    settled: FundingSettledAggregate
    meta: Meta


# ---------------------------------------------------------------- volume flow


class FlowWindow(Contract, frozen=True, kw_only=True):
    """Taker flow of one rolling window: closed minutes and the minute in the making."""

    buy_usd: Annotated[float | None, doc("Taker buys", "USD", "0 or more", VENUE_FEEDS)]
    sell_usd: Annotated[float | None, doc("Taker sells", "USD", "0 or more", VENUE_FEEDS)]
    delta_usd: Annotated[float | None, doc("Taker buys less taker sells", "USD", source=COMPUTED)]
    volume_usd: Annotated[float | None, doc("Traded volume", "USD", "0 or more", VENUE_FEEDS)]
    buy_base: Annotated[float | None, doc("Taker buys", "coins", "0 or more", VENUE_FEEDS)]
    sell_base: Annotated[float | None, doc("Taker sells", "coins", "0 or more", VENUE_FEEDS)]
    delta_base: Annotated[
        float | None, doc("Taker buys less taker sells", "coins", source=COMPUTED)
    ]
    volume_base: Annotated[float | None, doc("Traded volume", "coins", "0 or more", VENUE_FEEDS)]
    taker_buy_ratio: Annotated[
        float | None, doc("Taker buys' share of the USD volume", values="0 to 1", source=COMPUTED)
    ]
    trades: Annotated[int | None, doc("Trades", "trades", "0 or more", VENUE_FEEDS)]
    coverage: Annotated[
        float,
        doc("Part of the window since the first known bar", values="0 to 1", source=COMPUTED),
    ]
    venues: Annotated[
        list[str] | UnsetType,
        doc("Venues inside a total; absent where the window is one venue's own", source=COMPUTED),
    ] = UNSET
    null_reason: NullReason = UNSET


class Cvd(Contract, frozen=True, kw_only=True):
    """Cumulative volume delta since its anchor; rolling anchors are the windows' deltas."""

    anchor: Annotated[str, doc("Where the sum starts", values="utc_session")]
    session_start: Annotated[str, doc("Start of the sum", "ISO 8601 UTC", source=COMPUTED)]
    value_usd: Annotated[float | None, doc("Sum of deltas since then", "USD", source=COMPUTED)]
    value_base: Annotated[float | None, doc("Sum of deltas since then", "coins", source=COMPUTED)]
    volume_usd: Annotated[float | None, doc("Volume since then", "USD", "0 or more", VENUE_FEEDS)]
    ratio: Annotated[
        float | None,
        doc("value_usd / volume_usd: comparable over venues", values="-1 to 1", source=COMPUTED),
    ]
    coverage: Annotated[
        float,
        doc("Part of the session since the first known bar", values="0 to 1", source=COMPUTED),
    ]
    null_reason: NullReason = UNSET


Windows = Annotated[dict[str, FlowWindow], keyed_by("window")]


class FlowAggregate(AggregateContext, frozen=True, kw_only=True):
    """Perpetuals of all venues; ``value`` is the taker delta of the last hour."""

    window: Annotated[str, doc("Window of value", values="1h")]
    venues_ranked: Annotated[
        list[str],
        doc(
            "Venues whose past taker flow reaches back far enough: percentile and z-score compare "
            "these venues' last hour with these venues' last 30 days",
            source=COMPUTED,
        ),
    ]


class FlowMarket(Contract, frozen=True, kw_only=True):
    """Spot flow over all venues."""

    windows: Windows
    cvd: Cvd
    venues: Annotated[
        dict[str, float],
        doc("Spot taker delta of the last hour by venue", "USD", source=VENUE_FEEDS),
        keyed_by("venue"),
    ]


class FlowVenueSpot(Contract, frozen=True, kw_only=True):
    symbol: Annotated[str, doc("The venue's own spot symbol", source=VENUE_FEEDS)]
    windows: Windows
    cvd: Cvd


class FlowVenue(Context, frozen=True, kw_only=True):
    """One venue's perpetual, and its spot market where there is one."""

    window: Annotated[str, doc("Window of value", values="1h")]
    symbol: Annotated[str, doc("The venue's own symbol", source=VENUE_FEEDS)]
    windows: Windows
    cvd: Cvd
    spot: FlowVenueSpot | UnsetType = UNSET
    updated_at: Annotated[
        str | None, doc("Venue time of the last trade", "ISO 8601 UTC", source=VENUE_FEEDS)
    ]
    age_seconds: Annotated[
        float | None, doc("Age of the live state at snapshot_ts", "seconds", "0 or more", COMPUTED)
    ]


class FlowPayload(Payload, frozen=True, kw_only=True):
    """``GET /v1/markets/volume-flow``. ``windows`` and ``cvd`` are perpetuals; spot stands apart."""

    asset: Annotated[str, doc("Asset", values="one of the 65")]
    aggregate: FlowAggregate
    venues: Annotated[
        dict[str, float],
        doc("Perpetual taker delta of the last hour by venue", "USD", source=VENUE_FEEDS),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, FlowVenue], keyed_by("venue")]
    windows: Windows
    cvd: Cvd
    spot: FlowMarket
    meta: Meta


FUNDING_METRIC: Final = "markets.funding"
FLOW_METRIC: Final = "markets.volume_flow"

_FUNDING_STATES = "longs_crowded | longs_pay | baseline | flat | shorts_pay | shorts_crowded"
_FLOW_STATES = "buyers_dominate | net_buying | balanced | net_selling | sellers_dominate"
FIELDS: Final[list[FieldDoc]] = [
    *field_table(
        FundingPayload,
        FUNDING_METRIC,
        {
            "aggregate.value": "Predicted funding rate, weighted by open interest",
            "aggregate.state": f"Absolute reading of the rate: {_FUNDING_STATES}",
            "venues_detail.{venue}.value": "The venue's predicted funding rate",
            "venues_detail.{venue}.state": f"Absolute reading of the rate: {_FUNDING_STATES}",
        },
    ),
    *field_table(
        FlowPayload,
        FLOW_METRIC,
        {
            "aggregate.value": "Perpetual taker buys less taker sells of the last hour, all venues",
            "aggregate.state": f"Absolute reading of delta / volume: {_FLOW_STATES}",
            "venues_detail.{venue}.value": "Taker buys less taker sells of the last hour",
            "venues_detail.{venue}.state": f"Absolute reading of delta / volume: {_FLOW_STATES}",
        },
    ),
    *OPEN_INTEREST_FIELDS,
    *POSITIONING_FIELDS,
    *BASIS_FIELDS,
    *OHLCV_FIELDS,
    *LIQUIDATIONS_FIELDS,
]
"""Every leaf of all answers: the data behind /v1/meta/fields and the reference pages."""
