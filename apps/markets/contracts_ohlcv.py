"""What a candle is, in current answers and in history."""

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
    Reference,
    Source,
    Thresholds,
)
from apps.markets.fields import FieldDoc, doc, field_table, keyed_by

OHLCV_METRIC: Final = "markets.ohlcv"
PERCENT: Final = "percent"
CURRENT_INTERVALS: Final = {"1m": 60_000, "1h": 3_600_000}
"""Candles of the current answer, milliseconds by name; history has all lengths."""

_PRICE = "quote currency per coin; USDT, USDC and USD count as one"


class Candle(Contract, frozen=True, kw_only=True):
    """Trades of one interval. Over venues each price is their mean, weighted by the USD each traded."""

    open: Annotated[float, doc("Price of the first trade", _PRICE, "above 0", VENUE_FEEDS)]
    high: Annotated[float, doc("Highest price", _PRICE, "above 0", VENUE_FEEDS)]
    low: Annotated[float, doc("Lowest price", _PRICE, "above 0", VENUE_FEEDS)]
    close: Annotated[float, doc("Price of the last trade", _PRICE, "above 0", VENUE_FEEDS)]
    volume_base: Annotated[float, doc("Traded volume", "coins", "above 0", VENUE_FEEDS)]
    volume_usd: Annotated[
        float, doc("Traded volume: price × quantity of each trade", "USD", "above 0", VENUE_FEEDS)
    ]
    trades: Annotated[
        int | None,
        doc("Trades; null where a venue does not count them", "trades", "1 or more", VENUE_FEEDS),
    ]
    complete: Annotated[
        bool,
        doc("False when a part of the interval was not watched and is not inside", source=COMPUTED),
    ]
    null_reason: NullReason = UNSET


class CurrentCandle(Candle, frozen=True, kw_only=True):
    ts: Annotated[str, doc("Opening of the candle", "ISO 8601 UTC", source=COMPUTED)]
    closed: Annotated[bool, doc("False for the candle in the making", source=COMPUTED)]


class CandlePair(Contract, frozen=True, kw_only=True):
    """The candle in the making and the last closed one; null where nothing was traded."""

    last: CurrentCandle | None
    open: CurrentCandle | None
    null_reason: NullReason = UNSET


class VolumeContext(Contract, frozen=True, kw_only=True):
    """How unusual the volume of the last hour is."""

    value: Annotated[
        float | None, doc("Traded volume of the last hour", "USD", "above 0", VENUE_FEEDS)
    ]
    unit: Annotated[str, doc("Unit of value, thresholds and reference", values="usd")]
    percentile_30d: Annotated[
        float | None,
        doc("Share of the 30-day window below the volume", values="0 to 1", source=COMPUTED),
    ]
    z_score: Annotated[
        float | None,
        doc("Robust z of log(1 + volume in USD)", values="-10 to 10", source=COMPUTED),
    ]
    interpretation: Annotated[
        str, doc("Label of the percentile, in the words of every metric", source=COMPUTED)
    ]
    thresholds: Thresholds | None
    reference: Reference | None
    samples: Annotated[
        int, doc("Samples in the 30-day window", "samples", "0 or more", source=COMPUTED)
    ]
    window_kind: Annotated[
        str, doc("What the 30-day window holds", values="rolling_1h_volume", source=COMPUTED)
    ]
    null_reason: NullReason = UNSET


Bars = Annotated[dict[str, CandlePair], keyed_by("window")]
_Price = Annotated[float | None, doc("Newest price", _PRICE, "above 0", source=VENUE_FEEDS)]
_Window = Annotated[str, doc("Window of value and of volume", values="1h")]


class OhlcvAggregate(AggregateContext, frozen=True, kw_only=True):
    """Candles over the venues; ``value`` is the return of the last hour."""

    window: _Window
    price: _Price
    weighting: Annotated[
        str | None,
        doc("How venues' prices were weighted", values="volume_usd | none", source=COMPUTED),
    ]
    venues_ranked: Annotated[
        list[str],
        doc(
            "Venues whose candles reach back far enough: percentiles and z-scores compare these "
            "venues' last hour with these venues' last 30 days",
            source=COMPUTED,
        ),
    ]
    volume: VolumeContext
    bars: Bars


class OhlcvVenue(Context, frozen=True, kw_only=True):
    """One venue's market."""

    window: _Window
    price: _Price
    symbol: Annotated[str, doc("The venue's own symbol", source=VENUE_FEEDS)]
    volume: VolumeContext
    bars: Bars
    updated_at: Annotated[
        str | None, doc("Venue time of the last trade", "ISO 8601 UTC", source=VENUE_FEEDS)
    ]
    age_seconds: Annotated[
        float | None, doc("Age of the live state at snapshot_ts", "seconds", "0 or more", COMPUTED)
    ]


_Returns = Annotated[
    dict[str, float],
    doc("Return of the last hour by venue", PERCENT, source=COMPUTED),
    keyed_by("venue"),
]


class OhlcvMarket(Contract, frozen=True, kw_only=True):
    """Spot beside perpetuals."""

    aggregate: OhlcvAggregate | UnsetType = UNSET
    venues: _Returns
    venues_detail: Annotated[dict[str, OhlcvVenue], keyed_by("venue")]
    sources: list[Source]


class OhlcvPayload(Payload, frozen=True, kw_only=True):
    """``GET /v1/markets/ohlcv``: perpetuals, and spot beside them unless ``kind`` asks for one."""

    asset: Annotated[str, doc("Asset", values="one of the 65")]
    kind: Annotated[str, doc("Market of aggregate, venues and venues_detail", values="perp | spot")]
    aggregate: OhlcvAggregate
    venues: _Returns
    venues_detail: Annotated[dict[str, OhlcvVenue], keyed_by("venue")]
    spot: OhlcvMarket | UnsetType = UNSET
    meta: Meta


class OhlcvHistoryRow(Contract, frozen=True, kw_only=True):
    """Candles of one interval; an interval in which nothing was traded has no row."""

    ts: Annotated[str, doc("Opening of the row's interval", "ISO 8601 UTC")]
    kind: Annotated[str, doc("Market of the candles", values="perp | spot")]
    closed: Annotated[
        bool,
        doc("True when the interval is over and all its minutes are stored", source=COMPUTED),
    ]
    aggregate: Candle | UnsetType = UNSET
    venues: Annotated[
        dict[str, float], doc("Close by venue", _PRICE, source=VENUE_FEEDS), keyed_by("venue")
    ]
    venues_detail: Annotated[dict[str, Candle], keyed_by("venue")]


_STATES = "rising_fast | rising | flat | falling | falling_fast"
_VALUE = "Return of the last hour: 100 × (close / open − 1), percent"
_MEANINGS: Final = {
    f"{where}{name}": meaning
    for where in ("", "spot.")
    for name, meaning in {
        "aggregate.value": f"{_VALUE}; both prices over the venues",
        "aggregate.state": f"Absolute reading of the return: {_STATES}",
        "venues_detail.{venue}.value": _VALUE,
        "venues_detail.{venue}.state": f"Absolute reading of the return: {_STATES}",
    }.items()
}

OHLCV_FIELDS: Final[list[FieldDoc]] = field_table(OhlcvPayload, OHLCV_METRIC, _MEANINGS)

CSV_COLUMNS: Final = (
    "asset", "ts", "closed", "kind", "venue", "open", "high", "low", "close", "volume_base",
    "volume_usd", "trades", "complete", "null_reason",
)  # fmt: skip
