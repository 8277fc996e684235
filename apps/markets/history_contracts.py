"""One row of history, per metric: the same words as in the current answer, one moment per row."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.markets.contracts import FUNDING_UNIT, USD, Apr, Rate8h
from apps.markets.contracts_common import COMPUTED, VENUE_FEEDS, Contract, NullReason
from apps.markets.contracts_open_interest import OiBase
from apps.markets.fields import doc, keyed_by

Ts = Annotated[str, doc("Start of the row's interval", "ISO 8601 UTC")]


class FundingHistoryVenue(Contract, frozen=True, kw_only=True):
    """What one venue settled inside the interval."""

    value: Annotated[
        float | None,
        doc("Mean settled rate, weighted by funding interval", "percent per 8 h", source=COMPUTED),
    ]
    unit: Annotated[str, doc("Unit of value", values=FUNDING_UNIT)]
    rate_8h: Rate8h
    rate: Annotated[
        float | None, doc("Last settled rate", "decimal per interval_h", source=VENUE_FEEDS)
    ]
    rate_raw: Annotated[
        str | None, doc("The venue's own string of it", "per interval_h", source=VENUE_FEEDS)
    ]
    interval_h: Annotated[
        float | None, doc("Hours of that funding interval", "hours", source=VENUE_FEEDS)
    ]
    settled_at: Annotated[
        str, doc("Time of the last settlement", "ISO 8601 UTC", source=VENUE_FEEDS)
    ]
    settlements: Annotated[
        int, doc("Settlements inside the interval", "settlements", "1 or more", VENUE_FEEDS)
    ]
    null_reason: NullReason = UNSET


class FundingHistoryAggregate(Contract, frozen=True, kw_only=True):
    value: Annotated[
        float | None, doc("Settled rate over the venues", "percent per 8 h", source=COMPUTED)
    ]
    unit: Annotated[str, doc("Unit of value", values=FUNDING_UNIT)]
    rate_8h: Rate8h
    apr: Apr
    weighting: Annotated[
        str | None,
        doc("How venues were weighted", values="open_interest | none", source=COMPUTED),
    ]
    oi_usd: Annotated[
        float | None, doc("Open interest of the venues used, one side", "USD", source=VENUE_FEEDS)
    ]
    venues_used: Annotated[list[str], doc("Venues inside the aggregate", source=COMPUTED)]
    null_reason: NullReason = UNSET


class FundingHistoryRow(Contract, frozen=True, kw_only=True):
    """Settled rates of one interval; an interval in which nothing settled has no row."""

    ts: Ts
    aggregate: FundingHistoryAggregate | UnsetType = UNSET
    venues: Annotated[
        dict[str, float],
        doc("Settled rate by venue", "percent per 8 h", source=VENUE_FEEDS),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, FundingHistoryVenue], keyed_by("venue")]


class FlowBar(Contract, frozen=True, kw_only=True):
    """Taker flow of one interval."""

    buy_usd: Annotated[float | None, doc("Taker buys", "USD", "0 or more", VENUE_FEEDS)]
    sell_usd: Annotated[float | None, doc("Taker sells", "USD", "0 or more", VENUE_FEEDS)]
    delta_usd: Annotated[float | None, doc("Taker buys less taker sells", "USD", source=COMPUTED)]
    volume_usd: Annotated[float | None, doc("Traded volume", "USD", "0 or more", VENUE_FEEDS)]
    buy_base: Annotated[float | None, doc("Taker buys", "coins", "0 or more", VENUE_FEEDS)]
    sell_base: Annotated[float | None, doc("Taker sells", "coins", "0 or more", VENUE_FEEDS)]
    volume_base: Annotated[float | None, doc("Traded volume", "coins", "0 or more", VENUE_FEEDS)]
    taker_buy_ratio: Annotated[
        float | None, doc("Taker buys' share of the USD volume", values="0 to 1", source=COMPUTED)
    ]
    trades: Annotated[int | None, doc("Trades", "trades", "0 or more", VENUE_FEEDS)]
    null_reason: NullReason = UNSET


class FlowHistoryRow(Contract, frozen=True, kw_only=True):
    """Taker flow of one interval: perpetuals in ``aggregate`` and ``venues``, spot apart."""

    ts: Ts
    closed: Annotated[
        bool,
        doc("True when the interval is over and all its minutes are stored", source=COMPUTED),
    ]
    aggregate: FlowBar | UnsetType = UNSET
    venues: Annotated[
        dict[str, float],
        doc("Perpetual taker delta by venue", "USD", source=VENUE_FEEDS),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, FlowBar], keyed_by("venue")]
    spot: Annotated[dict[str, FlowBar], keyed_by("venue")]


class OpenInterestHistoryVenue(Contract, frozen=True, kw_only=True):
    """One venue's last sample of the interval, or the one before it while that is still valid."""

    value: Annotated[float | None, doc("Open interest, one side", "USD", "0 or more", VENUE_FEEDS)]
    unit: Annotated[str, doc("Unit of value", values=USD)]
    oi_base: OiBase
    oi_contracts: Annotated[
        float | None,
        doc("Open interest, one side", "contracts of the venue", "0 or more", VENUE_FEEDS),
    ]
    sampled_at: Annotated[str, doc("Venue time of the sample", "ISO 8601 UTC", source=VENUE_FEEDS)]
    null_reason: NullReason = UNSET


class OpenInterestHistoryAggregate(Contract, frozen=True, kw_only=True):
    """Venues whose samples are young enough at the interval's end to be added."""

    value: Annotated[
        float | None, doc("Open interest over the venues, one side", "USD", source=COMPUTED)
    ]
    unit: Annotated[str, doc("Unit of value", values=USD)]
    oi_base: OiBase
    venues_used: Annotated[list[str], doc("Venues inside the aggregate", source=COMPUTED)]
    venues_missing: Annotated[
        list[str], doc("Venues that list the asset and have no young sample", source=COMPUTED)
    ]
    null_reason: NullReason = UNSET


class OpenInterestHistoryRow(Contract, frozen=True, kw_only=True):
    """Open interest at the end of one interval; an interval without any sample has no row."""

    ts: Ts
    closed: Annotated[bool, doc("True when the interval is over", source=COMPUTED)]
    aggregate: OpenInterestHistoryAggregate | UnsetType = UNSET
    venues: Annotated[
        dict[str, float],
        doc("Open interest by venue, one side", "USD", source=VENUE_FEEDS),
        keyed_by("venue"),
    ]
    venues_detail: Annotated[dict[str, OpenInterestHistoryVenue], keyed_by("venue")]


class HistoryMethod(Contract, frozen=True, kw_only=True):
    name: Annotated[str, doc("Method that made the numbers", source=COMPUTED)]
    version: Annotated[str, doc("Version of the method", source=COMPUTED)]


class HistoryMeta(Contract, frozen=True, kw_only=True):
    """What the rows are."""

    market: Annotated[str, doc("Market served", values="live | sandbox | replay")]
    layer: Annotated[str, doc("Product layer", values="L1")]
    metric: Annotated[str, doc("Name of the metric")]
    interval_seconds: Annotated[
        int, doc("Length of a row's interval; 0 for single events", "seconds")
    ]
    method: HistoryMethod
    venues: Annotated[list[str], doc("Venues whose rows are inside")]
    count: Annotated[int, doc("Rows of this answer", "rows", "0 to 5,000")]
    as_of: Annotated[
        str | UnsetType,
        doc("Only what was known then was used; absent without as_of", "ISO 8601 UTC"),
    ] = UNSET


# CSV: one line per row and scope; ``market`` is perp or spot, ``venue`` a venue or "aggregate".
FUNDING_CSV_COLUMNS: Final = (
    "asset", "ts", "venue", "value", "unit", "rate_8h", "rate", "rate_raw", "interval_h",
    "settled_at", "settlements", "apr", "weighting", "oi_usd", "null_reason",
)  # fmt: skip
FLOW_CSV_COLUMNS: Final = (
    "asset", "ts", "closed", "market", "venue", "buy_usd", "sell_usd", "delta_usd", "volume_usd",
    "buy_base", "sell_base", "volume_base", "taker_buy_ratio", "trades", "null_reason",
)  # fmt: skip

OPEN_INTEREST_CSV_COLUMNS: Final = (
    "asset", "ts", "closed", "venue", "value", "unit", "oi_base", "oi_contracts", "sampled_at",
    "null_reason",
)  # fmt: skip


def builtins(row: msgspec.Struct) -> dict[str, Any]:
    """Plain dictionaries, as the encoder takes them."""
    plain: dict[str, Any] = msgspec.to_builtins(row)
    return plain


def funding_csv_records(asset: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    return _venue_records({"asset": asset, "ts": row["ts"]}, row)


def open_interest_csv_records(asset: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    return _venue_records({"asset": asset, "ts": row["ts"], "closed": row["closed"]}, row)


def _venue_records(base: dict[str, Any], row: dict[str, Any]) -> list[dict[str, Any]]:
    scopes = {"aggregate": row["aggregate"]} if "aggregate" in row else {}
    scopes |= row["venues_detail"]
    return [{**base, "venue": name, **block} for name, block in scopes.items()]


def flow_csv_records(asset: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    base = {"asset": asset, "ts": row["ts"], "closed": row["closed"]}
    scopes = [("perp", "aggregate", row["aggregate"])] if "aggregate" in row else []
    scopes += [("perp", name, block) for name, block in row["venues_detail"].items()]
    scopes += [("spot", name, block) for name, block in row["spot"].items()]
    return [{**base, "market": market, "venue": name, **block} for market, name, block in scopes]
