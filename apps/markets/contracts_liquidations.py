"""Liquidations as they are answered: the newest events, and sums by side, venue and window."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, UnsetType

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

LIQUIDATIONS_METRIC: Final = "markets.liquidations"
LIQUIDATION_WINDOWS: Final = {
    "1m": 60_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "24h": 86_400_000,
}
"""Milliseconds of each window."""
HEADLINE_WINDOW: Final = "1h"
MAX_EVENTS: Final = 50
"""Events of a current answer; history has them all."""

_QUALITIES = "full | sampled | partial | estimated"
Completeness = Annotated[
    str,
    doc(
        "How complete the feed is: full; sampled (the largest of each second); partial (the venue says "
        "that some are missing); estimated (by FOCSAL from trades and open interest)",
        values=_QUALITIES,
        source=COMPUTED,
    ),
]


class LiquidationEvent(Contract, frozen=True, kw_only=True):
    """One position that was closed by force."""

    ts: Annotated[str, doc("Venue time of the liquidation", "ISO 8601 UTC", source=VENUE_FEEDS)]
    venue: Annotated[str, doc("Venue", source=VENUE_FEEDS)]
    symbol: Annotated[str, doc("The venue's own symbol", source=VENUE_FEEDS)]
    side: Annotated[
        str, doc("Side of the position that was liquidated", values="long | short", source=COMPUTED)
    ]
    price: Annotated[
        float,
        doc("Price that the venue tells: see its liquidation_price in /v1/meta/venues",
            "quote per coin", "above 0", VENUE_FEEDS),
    ]  # fmt: skip
    amount_usd: Annotated[float, doc("Value of the position", "USD", "0 or more", VENUE_FEEDS)]
    qty_base: Annotated[float, doc("Size of the position", "coins", "0 or more", VENUE_FEEDS)]
    quality: Completeness
    id: Annotated[str, doc("Name of the event, unique for its venue", source=COMPUTED)]


class LiquidationSums(Contract, frozen=True, kw_only=True):
    """What was liquidated in one stretch of time."""

    total_usd: Annotated[
        float | None,
        doc("Liquidated; null where less than 95 % of the time was watched", "USD", "0 or more",
            COMPUTED),
    ]  # fmt: skip
    long_usd: Annotated[float | None, doc("Longs liquidated", "USD", "0 or more", COMPUTED)]
    short_usd: Annotated[float | None, doc("Shorts liquidated", "USD", "0 or more", COMPUTED)]
    count: Annotated[int | None, doc("Liquidations", "events", "0 or more", COMPUTED)]
    imbalance: Annotated[
        float | None,
        doc("(longs − shorts) / (longs + shorts); null without any", values="-1 to 1",
            source=COMPUTED),
    ]  # fmt: skip
    observed_usd: Annotated[
        float,
        doc("Seen in the part that was watched, however short: a lower bound", "USD", "0 or more",
            COMPUTED),
    ]  # fmt: skip
    coverage: Annotated[
        float,
        doc("Part of the time in which the streams were listened to", values="0 to 1",
            source=COMPUTED),
    ]  # fmt: skip
    null_reason: NullReason = UNSET


class LiquidationWindow(LiquidationSums, frozen=True, kw_only=True):
    """The last minute, hour, four hours or day up to the snapshot."""

    largest: Annotated[LiquidationEvent | None, doc("Largest event of the window", source=COMPUTED)]
    estimated_usd: Annotated[
        float | UnsetType | None,
        doc("Estimated for venues that publish none; not inside total_usd. Absent on a venue", "USD",
            "0 or more", COMPUTED),
    ] = UNSET  # fmt: skip
    venues: Annotated[
        list[str] | UnsetType,
        doc("Venues inside a total; absent where the window is one venue's own", source=COMPUTED),
    ] = UNSET


Windows = Annotated[dict[str, LiquidationWindow], keyed_by("window")]
_Window = Annotated[str, doc("Window of value", values=HEADLINE_WINDOW)]
_Undercount = Annotated[
    bool,
    doc("True when sums are lower bounds: a feed is a sample, or a part was not watched",
        source=COMPUTED),
]  # fmt: skip


class LiquidationsAggregate(AggregateContext, frozen=True, kw_only=True):
    """Sum over the venues that publish liquidations; estimates are never inside."""

    window: _Window
    undercount: _Undercount
    windows: Windows
    venues_ranked: Annotated[
        list[str],
        doc(
            "Venues whose recording reaches back far enough: percentile and z-score compare these "
            "venues' sum now with these venues' last 30 days",
            source=COMPUTED,
        ),
    ]


class LiquidationsVenue(Context, frozen=True, kw_only=True):
    """One venue's perpetual."""

    window: _Window
    completeness: Completeness
    undercount: _Undercount
    windows: Windows
    share: Annotated[float | None, doc("Part of the aggregate", values="0 to 1", source=COMPUTED)]
    symbol: Annotated[str, doc("The venue's own symbol", source=VENUE_FEEDS)]
    watched_since: Annotated[
        str | None,
        doc("Since when the stream has been listened to without a break; null while it is not",
            "ISO 8601 UTC", source=COMPUTED),
    ]  # fmt: skip
    last_event_at: Annotated[
        str | None,
        doc("Venue time of the newest liquidation of the last 24 hours", "ISO 8601 UTC",
            source=VENUE_FEEDS),
    ]  # fmt: skip


class LiquidationsPayload(Payload, frozen=True, kw_only=True):
    """``GET /v1/markets/liquidations``."""

    asset: Annotated[str, doc("Asset", values="one of the 65")]
    aggregate: LiquidationsAggregate
    venues: Annotated[
        dict[str, float],
        doc(
            "Liquidated in the last hour by venue; only venues with a published number, whose sum is "
            "aggregate.value",
            "USD",
            "0 or more",
            VENUE_FEEDS,
        ),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, LiquidationsVenue], keyed_by("venue")]
    events: Annotated[
        list[LiquidationEvent],
        doc(f"The newest events of the last 24 hours, newest first, at most {MAX_EVENTS}"),
    ]
    meta: Meta


class LiquidationsHistorySums(LiquidationSums, frozen=True, kw_only=True):
    """Of one interval."""

    largest_usd: Annotated[
        float | None, doc("Largest event; null without any", "USD", "above 0", COMPUTED)
    ]
    venues: Annotated[
        list[str] | UnsetType,
        doc("Venues inside a total; absent where the row is one venue's own", source=COMPUTED),
    ] = UNSET


class LiquidationsHistoryRow(Contract, frozen=True, kw_only=True):
    """Liquidations of one interval; an interval in which nobody listened has no row."""

    ts: Annotated[str, doc("Start of the row's interval", "ISO 8601 UTC")]
    closed: Annotated[bool, doc("True when the interval is over", source=COMPUTED)]
    aggregate: LiquidationsHistorySums | UnsetType = UNSET
    venues: Annotated[
        dict[str, float],
        doc("Liquidated by venue", "USD", source=VENUE_FEEDS),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, LiquidationsHistorySums], keyed_by("venue")]


_STATES = "longs_liquidated | shorts_liquidated | both_sides | quiet"
_READING = f"Reading of the last hour by side, three of four dollars decide: {_STATES}"
_Z = "Robust z of log(1 + USD) among those of the last 30 days"
LIQUIDATIONS_FIELDS: Final = field_table(
    LiquidationsPayload,
    LIQUIDATIONS_METRIC,
    {
        "aggregate.value": "Liquidated in the last hour over the venues that publish it",
        "aggregate.state": _READING,
        "aggregate.z_score": _Z,
        "venues_detail.{venue}.value": "Liquidated in the last hour",
        "venues_detail.{venue}.state": _READING,
        "venues_detail.{venue}.z_score": _Z,
    },
)
EVENT_CSV_COLUMNS: Final = (
    "asset", "ts", "venue", "symbol", "side", "price", "amount_usd", "qty_base", "quality", "id",
)  # fmt: skip
CSV_COLUMNS: Final = (
    "asset", "ts", "closed", "venue", "total_usd", "long_usd", "short_usd", "count", "imbalance",
    "largest_usd", "observed_usd", "coverage", "null_reason",
)  # fmt: skip
