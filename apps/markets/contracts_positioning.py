"""Positioning as it is answered: shares of longs (0 to 1) with the ratios that traders know beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from msgspec import UNSET, UnsetType

from apps.marketdata.positioning import SERIES
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

POSITIONING_METRIC: Final = "markets.positioning"
SHARE: Final = "share"
"""Unit of every value: part of the whole, 0 to 1."""
FURTHER_SERIES: Final = SERIES[1:]
"""Beside accounts, which are the block itself."""

Ratio = Annotated[
    float | None,
    doc(
        "Longs per short: value / (1 - value); of taker the volume bought per volume sold",
        values="0 or more",
        source=COMPUTED,
    ),
]
PeriodSeconds = Annotated[
    int,
    doc("Time over which takers were counted; 0: a sample of one moment", "seconds", "0 or 1800"),
]
OiUsd = Annotated[
    float | None, doc("Open interest that it is weighted by, one side", "USD", source=VENUE_FEEDS)
]


class PositioningSeriesAggregate(AggregateContext, frozen=True, kw_only=True):
    """One series over the venues that publish it."""

    ratio: Ratio
    ls_consensus: Annotated[
        float | None,
        doc(
            "How far the venues lean the same way: 1 all alike, 0 they cancel out; null for one venue",
            values="0 to 1",
            source=COMPUTED,
        ),
    ]
    weighting: Annotated[
        str | None,
        doc("How venues were weighted", values="open_interest | none", source=COMPUTED),
    ]
    oi_usd: OiUsd
    period_seconds: PeriodSeconds
    venues_ranked: Annotated[
        list[str],
        doc(
            "Venues whose past reaches back far enough: percentile and z-score compare these venues' "
            "share now with that of their last 30 days",
            source=COMPUTED,
        ),
    ]


class PositioningAggregate(PositioningSeriesAggregate, frozen=True, kw_only=True):
    """All accounts over the venues; the other series in ``series``."""

    series: Annotated[dict[str, PositioningSeriesAggregate], keyed_by("series")]


class PositioningVenueSeries(Context, frozen=True, kw_only=True):
    """One series of one venue."""

    ratio: Ratio
    weight: Annotated[float | None, doc("Part in the aggregate", values="0 to 1", source=COMPUTED)]
    oi_usd: OiUsd
    period_seconds: PeriodSeconds
    updated_at: Annotated[
        str | None,
        doc(
            "Moment that the share is of; of taker the end of its period",
            "ISO 8601 UTC",
            source=VENUE_FEEDS,
        ),
    ]
    age_seconds: Annotated[
        float | None, doc("Age of the share at snapshot_ts", "seconds", "0 or more", COMPUTED)
    ]


class PositioningVenue(PositioningVenueSeries, frozen=True, kw_only=True):
    """All accounts of one venue; the other series in ``series``."""

    symbol: Annotated[str, doc("The venue's own symbol", source=VENUE_FEEDS)]
    series: Annotated[dict[str, PositioningVenueSeries], keyed_by("series")]


class PositioningPayload(Payload, frozen=True, kw_only=True):
    """``GET /v1/markets/positioning``."""

    asset: Annotated[str, doc("Asset", values="one of the 65")]
    aggregate: PositioningAggregate
    venues: Annotated[
        dict[str, float],
        doc(
            "Share of accounts that are long, by venue; only venues with a number",
            "share",
            "0 to 1",
            VENUE_FEEDS,
        ),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, PositioningVenue], keyed_by("venue")]
    meta: Meta


CROWD_STATES: Final = "longs_crowded | longs_lead | balanced | shorts_lead | shorts_crowded"
_TAKER_STATES: Final = "buyers_dominate | net_buying | balanced | net_selling | sellers_dominate"
_SERIES_VALUE: Final = (
    "top_accounts: top traders' accounts that are long; top_positions: longs' part of their positions; "
    "taker: buys' part of what takers traded"
)
_SERIES_STATE: Final = f"Reading of the share: {CROWD_STATES}; of taker: {_TAKER_STATES}"
POSITIONING_FIELDS: Final = field_table(
    PositioningPayload,
    POSITIONING_METRIC,
    {
        "aggregate.value": "Share of accounts that are long, weighted by open interest",
        "aggregate.state": f"Reading of the share: {CROWD_STATES}",
        "aggregate.series.{series}.value": f"Over the venues that publish it. {_SERIES_VALUE}",
        "aggregate.series.{series}.state": _SERIES_STATE,
        "venues_detail.{venue}.value": "Share of the venue's accounts that are long",
        "venues_detail.{venue}.state": f"Reading of the share: {CROWD_STATES}",
        "venues_detail.{venue}.series.{series}.value": f"Of the venue. {_SERIES_VALUE}",
        "venues_detail.{venue}.series.{series}.state": _SERIES_STATE,
    },
)


# ---------------------------------------------------------------- history


class PositioningHistorySeries(Contract, frozen=True, kw_only=True):
    """One venue's last sample of the interval, or the one before it while that is still valid."""

    value: Annotated[float | None, doc("Share of longs", "share", "0 to 1", VENUE_FEEDS)]
    ratio: Ratio
    sampled_at: Annotated[
        str,
        doc(
            "Moment of the sample; of taker the end of its period", "ISO 8601 UTC", "", VENUE_FEEDS
        ),
    ]
    null_reason: NullReason = UNSET


class PositioningHistoryVenue(Contract, frozen=True, kw_only=True):
    """All accounts; null where the venue published another series alone."""

    value: Annotated[float | None, doc("Share of longs", "share", "0 to 1", VENUE_FEEDS)]
    unit: Annotated[str, doc("Unit of value", values=SHARE)]
    ratio: Ratio
    sampled_at: Annotated[
        str | None, doc("Moment of the sample", "ISO 8601 UTC", source=VENUE_FEEDS)
    ]
    series: Annotated[dict[str, PositioningHistorySeries], keyed_by("series")]
    null_reason: NullReason = UNSET


class PositioningHistoryTotal(Contract, frozen=True, kw_only=True):
    """One series over the venues whose samples are young enough at the interval's end."""

    value: Annotated[float | None, doc("Share of longs", "share", "0 to 1", COMPUTED)]
    ratio: Ratio
    venues_used: Annotated[list[str], doc("Venues inside the aggregate", source=COMPUTED)]
    null_reason: NullReason = UNSET


class PositioningHistoryAggregate(PositioningHistoryTotal, frozen=True, kw_only=True):
    """All accounts over the venues, weighted by open interest of that time."""

    unit: Annotated[str, doc("Unit of value", values=SHARE)]
    weighting: Annotated[
        str | None,
        doc("How venues were weighted", values="open_interest | none", source=COMPUTED),
    ]
    venues_missing: Annotated[
        list[str],
        doc("Venues that publish it, list the asset and have no young sample", source=COMPUTED),
    ]
    series: Annotated[dict[str, PositioningHistoryTotal], keyed_by("series")]


class PositioningHistoryRow(Contract, frozen=True, kw_only=True):
    """Shares at the end of one interval; an interval without any sample has no row."""

    ts: Annotated[str, doc("Start of the row's interval", "ISO 8601 UTC")]
    closed: Annotated[bool, doc("True when the interval is over", source=COMPUTED)]
    aggregate: PositioningHistoryAggregate | UnsetType = UNSET
    venues: Annotated[
        dict[str, float],
        doc("Share of accounts that are long, by venue", "share", source=VENUE_FEEDS),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, PositioningHistoryVenue], keyed_by("venue")]


CSV_COLUMNS: Final = (
    "asset", "ts", "closed", "venue", "series", "value", "ratio", "sampled_at", "null_reason",
)  # fmt: skip


def csv_records(asset: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line per scope and series."""
    base = {"asset": asset, "ts": row["ts"], "closed": row["closed"]}
    scopes = {"aggregate": row["aggregate"]} if "aggregate" in row else {}
    scopes |= row["venues_detail"]
    return [
        {**block, **base, "venue": venue, "series": series}
        for venue, scope in scopes.items()
        for series, block in series_blocks(scope)
    ]


def series_blocks(scope: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(series, block) of an aggregate or a venue: accounts are the block itself."""
    yield SERIES[0], scope
    yield from (scope.get("series") or {}).items()
