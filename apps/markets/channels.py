"""Stream channels of futures markets.

Liquidations, order books and tickers are written by ``apps.ingest.publish``, snapshots as they are published.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from apps.core.clock import market_clock
from apps.feed.options import at_least, chosen, one_of, one_or_many
from apps.feed.registry import ChannelSpec, Params, Policy, SnapshotKind, register
from apps.marketdata.bookframes import (
    AGGREGATED,
    DEPTH,
    BookView,
    merge_books,
    narrow_books,
    whole_as_change,
)
from apps.marketdata.events import PositionSide, Quality
from apps.marketdata.universe import ASSETS, VENUES
from apps.markets.contracts import FUNDING_METRIC, FundingPayload
from apps.markets.contracts_open_interest import OPEN_INTEREST_METRIC, OpenInterestPayload
from apps.snapshots.store import read

_NUMBER: Final = {"type": "number"}
_VENUE: Final = ("venue",)
"""REST's word for the same."""
LIQUIDATION_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["asset", "side", "amount_usd", "price", "exchange"],
    "properties": {
        "asset": {"type": "string"},
        "side": {
            "enum": [side.value for side in PositionSide],
            "description": "Side of the position that was liquidated.",
        },
        "amount_usd": {**_NUMBER, "description": "Notional in USD."},
        "price": {**_NUMBER, "description": "Quote currency per base unit."},
        "exchange": {"enum": list(VENUES)},
        "symbol": {"type": "string", "description": "The venue's own name of the instrument."},
        "qty_base": {**_NUMBER, "description": "Base units."},
        "quality": {
            "enum": [quality.value for quality in Quality],
            "description": "How complete the venue's own feed is.",
        },
        "id": {"type": "string", "description": "Unique per exchange and symbol."},
    },
}

LIQUIDATIONS: Final = ChannelSpec(
    name="liquidations",
    pattern="liquidations.{asset}",
    layer="L2",
    title="Every liquidation of five venues as it happens.",
    params={"asset": ASSETS},
    schema=LIQUIDATION_SCHEMA,
    policy_default=Policy.ALL,
    snapshot=SnapshotKind.RECENT,
    recent=50,
    ring_s=300,
    options=(
        one_or_many("exchange", "exchange", VENUES, "Only these venues.", _VENUE),
        one_or_many("side", "side", [side.value for side in PositionSide], "Only this side."),
        at_least("min_amount_usd", "amount_usd", "Only liquidations of at least this size."),
    ),
    example={
        "asset": "BTC",
        "side": "long",
        "amount_usd": 5240000,
        "price": 67120,
        "exchange": "binance",
        "symbol": "BTCUSDT",
        "qty_base": 78.07,
        "quality": "sampled",
        "id": "1779048873000-67120-78.07",
    },
)

_BOOKS: Final = (AGGREGATED, *VENUES)
_LEVELS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {"type": "array", "prefixItems": [_NUMBER, _NUMBER], "minItems": 2, "maxItems": 2},
    "description": "[price in quote currency, quantity in base units]; in an update 0 removes the level.",
}
_BOOK: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["state", "bids", "asks"],
    "properties": {
        "state": {
            "enum": ["live", "partial", "resyncing", "stale"],
            "description": "Only live and partial books have levels. partial: the aggregate of some venues.",
        },
        "ts": {"type": "string", "format": "date-time", "description": "The venue's time."},
        "venues": {
            "type": "array",
            "items": {"enum": list(VENUES)},
            "description": "What the aggregate adds up.",
        },
        "reset": {"const": True, "description": "Empty the book before you apply this."},
        "bids": _LEVELS,
        "asks": _LEVELS,
    },
}
ORDERBOOK_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["asset", "depth", "books"],
    "properties": {
        "asset": {"type": "string"},
        "depth": {"type": "integer", "description": "Levels per side of a whole book, at most."},
        "books": {
            "type": "object",
            "properties": dict.fromkeys(_BOOKS, _BOOK),
            "description": "The books that changed; in a snapshot all of them, whole.",
        },
    },
}
DEPTHS: Final = (5, 10, 20, DEPTH)


def view_books(options: Mapping[str, Any]) -> BookView | None:
    """Fewer levels than are told need the whole book beside."""
    depth = options.get("depth")
    return None if depth in (None, DEPTH) else BookView(depth, options.get("exchange"))


ORDERBOOK: Final = ChannelSpec(
    name="orderbook",
    pattern="orderbook.{asset}",
    layer="L2",
    title="Order books of the perpetuals, one per venue and all added up: 50 levels, then changes.",
    params={"asset": ASSETS},
    schema=ORDERBOOK_SCHEMA,
    policy_default=Policy.LATEST,
    snapshot=SnapshotKind.STATE,
    recent=1,
    ring_s=30,
    ring_length=1_000,
    is_on_demand=True,
    options=(
        chosen("exchange", _BOOKS, "Only these books; aggregated is one of them.", _VENUE),
        one_of(
            "depth",
            DEPTHS,
            "full",
            f"Only so many of the best levels of each side; full is all {DEPTH} that are told. A level that "
            "leaves them is sent with quantity 0, the one that takes its place with its quantity.",
        ),
    ),
    merge=merge_books,
    narrow=narrow_books,
    view=view_books,
    as_change=whole_as_change,
    example={
        "asset": "BTC",
        "depth": 50,
        "books": {
            "binance": {
                "state": "live",
                "ts": "2026-05-17T20:14:33.100Z",
                "bids": [[67119.9, 4.21], [67118.2, 0]],
                "asks": [[67120, 1.38]],
            },
            "aggregated": {
                "state": "live",
                "venues": ["binance", "bybit", "deribit", "hyperliquid", "okx"],
                "bids": [[67119.9, 9.87], [67118.2, 1.1]],
                "asks": [[67120, 3.02]],
            },
        },
    },
)


def narrow_venues(data: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Only the chosen venues; None when none of them is in it."""
    wanted = options["exchange"]
    venues = {name: one for name, one in data["venues"].items() if name in wanted}
    return {**data, "venues": venues} if venues else None


_PRICE: Final = {"type": ["number", "null"]}
TICKER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["asset", "venues"],
    "properties": {
        "asset": {"type": "string"},
        "venues": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["symbol", "last", "mark", "index", "bid", "ask", "ts"],
                "properties": {
                    "symbol": {"type": "string"},
                    **dict.fromkeys(("last", "mark", "index", "bid", "ask"), _PRICE),
                    "ts": {"type": ["string", "null"], "format": "date-time"},
                },
            },
        },
    },
}
TICKER: Final = ChannelSpec(
    name="ticker",
    pattern="ticker.{asset}",
    layer="L1",
    title="Last, mark and index price and the best quotes of each venue's perpetual, when they change.",
    params={"asset": ASSETS},
    schema=TICKER_SCHEMA,
    policy_default=Policy.LATEST,
    snapshot=SnapshotKind.STATE,
    recent=1,
    ring_s=30,
    ring_length=500,
    is_on_demand=True,
    options=(chosen("exchange", VENUES, "Only these venues.", _VENUE),),
    narrow=narrow_venues,
    example={
        "asset": "BTC",
        "venues": {
            "binance": {
                "symbol": "BTCUSDT",
                "last": 67120.1,
                "mark": 67119.4,
                "index": 67101.8,
                "bid": 67119.9,
                "ask": 67120,
                "ts": "2026-05-17T20:14:33Z",
            }
        },
    },
)


def _of_snapshots(name: str, metric: str, payload: type, example: str, title: str) -> ChannelSpec:
    """What REST answers, pushed when it is published (``apps.snapshots.pushing``)."""

    def current(params: Params) -> bytes | None:
        document = read(metric, params["asset"])
        return None if document is None else document.body(market_clock.now_ms())

    text = (Path(__file__).parent / "examples" / f"{example}.json").read_bytes()
    return ChannelSpec(
        name=name,
        pattern=f"{name}.{{asset}}",
        layer="L1",
        title=title,
        params={"asset": ASSETS},
        schema=msgspec.json.schema(payload),
        policy_default=Policy.LATEST,
        snapshot=SnapshotKind.SOURCE,
        source=current,
        recent=1,
        ring_s=300,
        ring_length=50,
        example=orjson.loads(text),
    )


FUNDING: Final = _of_snapshots(
    "markets.funding",
    FUNDING_METRIC,
    FundingPayload,
    "funding",
    "The answer of /v1/markets/funding whenever a newer one is published.",
)
OPEN_INTEREST: Final = _of_snapshots(
    "markets.open-interest",
    OPEN_INTEREST_METRIC,
    OpenInterestPayload,
    "open-interest",
    "The answer of /v1/markets/open-interest whenever a newer one is published.",
)

for _spec in (LIQUIDATIONS, ORDERBOOK, TICKER, FUNDING, OPEN_INTEREST):
    register(_spec)
