"""What every L1 answer has in common: context, quality, where it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.core.jsonout import PlainNumbers, is_plain
from apps.markets.fields import doc

NULL_REASONS: Final = (
    "no_data",
    "insufficient_history",
    "zero_variance",
    "zero_depth",
    "one_sided_book",
    "stale",
    "expired",
    "no_root",
    "degenerate",
    "venue_down",
    "not_listed",
    "no_weights",
    "withheld",
)
LABELS: Final = (
    "extreme_low",
    "low",
    "subdued",
    "normal",
    "elevated",
    "high",
    "extreme_high",
    "insufficient_history",
)

VENUE_FEEDS = "the venues' own feeds"
COMPUTED = "computed by FOCSAL"
_WHY = " | ".join(NULL_REASONS)

NullReason = Annotated[
    str | UnsetType,
    doc("Why a number of this object is null; absent when none is", values=_WHY, source=COMPUTED),
]


class Contract(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of every part of an answer; trees of thousands of them hold no cycle to be collected."""


class Payload(Contract, frozen=True, kw_only=True):
    """Base of a whole answer."""

    def to_payload(self) -> dict[str, Any]:
        """Plain dictionaries, ready for the encoder; every null has its reason beside it."""
        payload: dict[str, Any] = msgspec.to_builtins(self)
        return PlainNumbers(payload) if _settle(payload.values(), payload) else payload


# What needs no look.
_SCALARS: Final = frozenset({str, int, bool})


def _settle(items: Iterable[Any], owner: dict[str, Any] | None = None) -> bool:
    """Give every object with a null its reason; whether all numbers are plain, seen on the same way.

    ``owner`` is the object whose values the ``items`` are, None where they are a list's.
    """
    found, has_null = True, False
    for item in items:
        kind = type(item)
        if kind in _SCALARS:
            continue
        if kind is float:
            found = found and is_plain(item)
        elif item is None:
            has_null = True
        elif kind is dict:
            found = _settle(item.values(), item) and found
        else:
            found = kind is list and _settle(item) and found
    if has_null and owner is not None:
        owner.setdefault("null_reason", "no_data")
    return found


class Thresholds(Contract, frozen=True, kw_only=True):
    """Where the label given begins and ends."""

    percentile_from: Annotated[
        float, doc("Percentile at which the label begins", values="0 to 1", source=COMPUTED)
    ]
    percentile_to: Annotated[
        float, doc("Percentile at which the label ends", values="0 to 1", source=COMPUTED)
    ]
    value_from: Annotated[
        float,
        doc("Value of the window at percentile_from", "unit of the metric", source=COMPUTED),
    ]
    value_to: Annotated[
        float, doc("Value of the window at percentile_to", "unit of the metric", source=COMPUTED)
    ]


def _quantile(percent: int) -> msgspec.Meta:
    return doc(
        f"Value that {percent} % of the window lie below", "unit of the metric", source=COMPUTED
    )


class Reference(Contract, frozen=True, kw_only=True):
    """Values of the 30-day window at the label cuts: read any other value against them."""

    p02: Annotated[float, _quantile(2)]
    p10: Annotated[float, _quantile(10)]
    p25: Annotated[float, _quantile(25)]
    p50: Annotated[float, _quantile(50)]
    p75: Annotated[float, _quantile(75)]
    p90: Annotated[float, _quantile(90)]
    p98: Annotated[float, _quantile(98)]


class Context(Contract, frozen=True, kw_only=True):
    """A value and how unusual it is against its own last 30 days."""

    value: Annotated[float | None, doc("The metric", "see unit", source=COMPUTED)]
    unit: Annotated[
        str,
        doc(
            "Unit of value, thresholds and reference", values="percent_per_8h, usd, percent, share"
        ),
    ]
    percentile_30d: Annotated[
        float | None,
        doc(
            "Share of the 30-day window below the value; ties count half, the value itself is excluded",
            values="0 to 1",
            source=COMPUTED,
        ),
    ]
    z_score: Annotated[
        float | None,
        doc(
            "Robust z: distance to the window's median in 1.4826 × median absolute deviation",
            values="-10 to 10",
            source=COMPUTED,
        ),
    ]
    interpretation: Annotated[
        str, doc("Label of the percentile", values=" | ".join(LABELS), source=COMPUTED)
    ]
    thresholds: Thresholds | None
    reference: Reference | None
    samples: Annotated[
        int, doc("Samples in the 30-day window", "samples", values="0 or more", source=COMPUTED)
    ]
    window_kind: Annotated[
        str,
        doc(
            "What the 30-day window holds",
            values="settled_rate | long_share | taker_buy_share | rolling_1h_delta | "
            "rolling_1h_return | open_interest_level | "
            "mark_over_index | rolling_1h_liquidations",
            source=COMPUTED,
        ),
    ]
    state: Annotated[
        str | None,
        doc("What the value means by itself, whatever its history", source=COMPUTED),
    ]
    null_reason: NullReason = UNSET


class AggregateContext(Context, frozen=True, kw_only=True):
    """The metric over all venues, with its quality."""

    venues_used: Annotated[list[str], doc("Venues inside the aggregate", source=COMPUTED)]
    venues_missing: Annotated[
        list[str],
        doc("Connected venues that list the asset and have no usable number", source=COMPUTED),
    ]
    coverage: Annotated[
        float,
        doc(
            "Weight of the fresh venues among the connected venues that list the asset",
            values="0 to 1; from 0.95 full, from 0.6 partial, below 0.3 withheld",
            source=COMPUTED,
        ),
    ]
    confidence: Annotated[
        str,
        doc("Word for coverage", values="full | partial | degraded | withheld", source=COMPUTED),
    ]


class Method(Contract, frozen=True, kw_only=True):
    name: Annotated[str, doc("Method that made the numbers", source=COMPUTED)]
    version: Annotated[str, doc("Version of the method", source=COMPUTED)]


class Source(Contract, frozen=True, kw_only=True):
    """One venue, whether connected or not."""

    venue: Annotated[str, doc("Venue", source=VENUE_FEEDS)]
    status: Annotated[
        str,
        doc(
            "State of the venue for this asset",
            values="ok | stale | degraded | down | not_listed | not_connected | not_published",
            source=COMPUTED,
        ),
    ]
    age_seconds: Annotated[
        float | None,
        doc("Age of the venue's newest number at snapshot_ts", "seconds", "0 or more", COMPUTED),
    ]
    last_ok: Annotated[
        str | None, doc("When the venue last sent a good message", "ISO 8601 UTC", source=COMPUTED)
    ]
    cadence_seconds: Annotated[
        float | UnsetType,
        doc("Time between two polls; absent where the venue is streamed", "seconds"),
    ] = UNSET
    null_reason: NullReason = UNSET


class Meta(Contract, frozen=True, kw_only=True):
    """Where an answer comes from and how old it is."""

    market: Annotated[str, doc("Market served", values="live | sandbox | replay")]
    layer: Annotated[str, doc("Product layer", values="L1")]
    metric: Annotated[
        str,
        doc(
            "Name of the metric",
            values="markets.funding | markets.volume_flow | markets.open_interest | markets.ohlcv | "
            "markets.basis | markets.positioning | markets.liquidations",
        ),
    ]
    snapshot_ts: Annotated[
        str, doc("Market time at which the inputs were read", "ISO 8601 UTC", source=COMPUTED)
    ]
    staleness_seconds: Annotated[
        int, doc("Age of the snapshot when it was answered", "seconds", "0 or more", COMPUTED)
    ] = 0
    freshness: Annotated[
        str,
        doc(
            "Word for the age: up to 2 cadences fresh, up to 5 stale",
            values="fresh | stale | very_stale",
            source=COMPUTED,
        ),
    ] = "fresh"
    next_update_at: Annotated[
        str | UnsetType,
        doc("When the next snapshot is due; absent with as_of", "ISO 8601 UTC", source=COMPUTED),
    ] = UNSET
    as_of: Annotated[
        str | UnsetType,
        doc("Only what was known then was used; absent without as_of", "ISO 8601 UTC"),
    ] = UNSET
    cadence_seconds: Annotated[
        int, doc("Refresh interval of this asset", "seconds", values="60 HOT, 300 COLD")
    ]
    method: Method
    sources: list[Source]
    partial: Annotated[
        bool, doc("True when a connected venue that lists the asset is missing", source=COMPUTED)
    ]
    coverage: Annotated[float, doc("Coverage of the aggregate", values="0 to 1", source=COMPUTED)]
