"""Open interest as it is answered: USD, coins and contracts, always one side of each contract."""

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

OPEN_INTEREST_METRIC: Final = "markets.open_interest"
OPEN_INTEREST_WINDOWS: Final = {"1h": 3_600_000, "24h": 86_400_000}
"""Milliseconds of each change."""

OiBase = Annotated[
    float | None, doc("Open interest, one side", "coins", "0 or more", source=VENUE_FEEDS)
]


class OpenInterestChange(Contract, frozen=True, kw_only=True):
    """From a moment ago to now, over venues that are known at both."""

    change_usd: Annotated[float | None, doc("Change of the USD value", "USD", source=COMPUTED)]
    change_percent: Annotated[
        float | None, doc("Change of the USD value", "percent of the value then", source=COMPUTED)
    ]
    change_base: Annotated[
        float | None,
        doc("Change in coins: positions opened less closed, free of price", "coins", "", COMPUTED),
    ]
    change_base_percent: Annotated[
        float | None, doc("Change in coins", "percent of the coins then", source=COMPUTED)
    ]
    since: Annotated[
        str | None,
        doc("Time of the (oldest) sample that it starts from", "ISO 8601 UTC", source=COMPUTED),
    ]
    venues: Annotated[list[str], doc("Venues known then and now", source=COMPUTED)]
    null_reason: NullReason = UNSET


Changes = Annotated[dict[str, OpenInterestChange], keyed_by("window")]


class OpenInterestAggregate(AggregateContext, frozen=True, kw_only=True):
    """Sum over the venues."""

    oi_base: OiBase
    changes: Changes
    venues_ranked: Annotated[
        list[str],
        doc(
            "Venues whose past open interest reaches back far enough: percentile and z-score compare "
            "these venues' sum now with these venues' last 30 days",
            source=COMPUTED,
        ),
    ]


class OpenInterestVenue(Context, frozen=True, kw_only=True):
    """One venue's perpetual."""

    oi_base: OiBase
    oi_contracts: Annotated[
        float | None,
        doc("Open interest, one side", "contracts of the venue", "0 or more", VENUE_FEEDS),
    ]
    mark_price: Annotated[float | None, doc("Mark price", "quote per coin", "above 0", VENUE_FEEDS)]
    share: Annotated[float | None, doc("Part of the aggregate", values="0 to 1", source=COMPUTED)]
    changes: Changes
    symbol: Annotated[str, doc("The venue's own symbol", source=VENUE_FEEDS)]
    updated_at: Annotated[
        str | None, doc("Venue time of the open interest", "ISO 8601 UTC", source=VENUE_FEEDS)
    ]
    age_seconds: Annotated[
        float | None,
        doc("Age of the open interest at snapshot_ts", "seconds", "0 or more", COMPUTED),
    ]


class OpenInterestPayload(Payload, frozen=True, kw_only=True):
    """``GET /v1/markets/open-interest``."""

    asset: Annotated[str, doc("Asset", values="one of the 65")]
    aggregate: OpenInterestAggregate
    venues: Annotated[
        dict[str, float],
        doc(
            "Open interest by venue, one side; only venues with a number",
            "USD",
            "0 or more",
            VENUE_FEEDS,
        ),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, OpenInterestVenue], keyed_by("venue")]
    meta: Meta


_STATES = "building | rising | steady | falling | unwinding"
_Z = "Robust z of the 24-hour log change among those of the last 30 days: the level itself wanders"
OPEN_INTEREST_FIELDS: Final = field_table(
    OpenInterestPayload,
    OPEN_INTEREST_METRIC,
    {
        "aggregate.value": "Open interest of perpetuals over the venues, one side",
        "aggregate.state": f"Reading of the 24-hour change in USD: {_STATES}",
        "aggregate.z_score": _Z,
        "venues_detail.{venue}.value": "The venue's open interest, one side",
        "venues_detail.{venue}.state": f"Reading of the 24-hour change in USD: {_STATES}",
        "venues_detail.{venue}.z_score": _Z,
    },
)
