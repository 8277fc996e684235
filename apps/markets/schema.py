"""OpenAPI of layer 1: parameters, shapes from the contract types, examples of every answer and error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import orjson
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from apps.core.schema import (
    DATA_HEADERS,
    KEYED_CODES,
    KEYED_HEADERS,
    problem_responses,
    publish_schemas,
    ref,
)
from apps.marketdata.universe import ASSETS, VENUES
from apps.markets import flat
from apps.markets.contracts import FlowPayload, FundingPayload
from apps.markets.contracts_basis import BasisPayload
from apps.markets.contracts_liquidations import CSV_COLUMNS as LIQUIDATIONS_CSV_COLUMNS
from apps.markets.contracts_liquidations import (
    EVENT_CSV_COLUMNS,
    LiquidationEvent,
    LiquidationsHistoryRow,
    LiquidationsPayload,
)
from apps.markets.contracts_ohlcv import CSV_COLUMNS as OHLCV_CSV_COLUMNS
from apps.markets.contracts_ohlcv import OhlcvHistoryRow, OhlcvPayload
from apps.markets.contracts_open_interest import OpenInterestPayload
from apps.markets.contracts_positioning import CSV_COLUMNS as POSITIONING_CSV_COLUMNS
from apps.markets.contracts_positioning import PositioningHistoryRow, PositioningPayload
from apps.markets.formats import Format
from apps.markets.history_basis import INTERVALS as BASIS_INTERVALS
from apps.markets.history_contracts import (
    FLOW_CSV_COLUMNS,
    FUNDING_CSV_COLUMNS,
    OPEN_INTEREST_CSV_COLUMNS,
    FlowHistoryRow,
    FundingHistoryRow,
    HistoryMeta,
    OpenInterestHistoryRow,
)
from apps.markets.history_contracts_basis import BASIS_CSV_COLUMNS, BasisHistoryRow
from apps.markets.history_flow import INTERVALS as FLOW_INTERVALS
from apps.markets.history_funding import INTERVALS as FUNDING_INTERVALS
from apps.markets.history_liquidations import INTERVALS as LIQUIDATIONS_INTERVALS
from apps.markets.history_ohlcv import INTERVALS as OHLCV_INTERVALS
from apps.markets.history_ohlcv import KINDS as OHLCV_KINDS
from apps.markets.history_open_interest import INTERVALS as OPEN_INTEREST_INTERVALS
from apps.markets.history_positioning import INTERVALS as POSITIONING_INTERVALS
from apps.markets.queries import DEFAULT_LIMIT, MAX_LIMIT, Intervals

_View = TypeVar("_View", bound=Callable[..., Any])
_EXAMPLES: Final = Path(__file__).parent / "examples"
_CODES: Final = (
    *KEYED_CODES, "invalid_parameter", "unknown_asset", "not_acceptable", "snapshot_unavailable",
)  # fmt: skip

_ASSET_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Why an asset of the question is not in data.",
    "required": ["asset", "code", "detail"],
    "properties": {
        "asset": {"type": "string"},
        "code": {"type": "string", "enum": ["unknown_asset", "snapshot_unavailable"]},
        "detail": {"type": "string"},
    },
}
_MANY_META: Final[dict[str, Any]] = {
    "type": "object",
    "description": "About the whole answer: the oldest snapshot and the worst freshness count.",
    "required": ["market", "count", "snapshot_ts", "staleness_seconds", "freshness"],
    "properties": {
        "market": {"type": "string"},
        "count": {"type": "integer", "description": "Objects in data."},
        "layer": {"type": "string"},
        "snapshot_ts": {"type": ["string", "null"]},
        "staleness_seconds": {"type": ["integer", "null"]},
        "freshness": {"type": ["string", "null"]},
        "next_update_at": {"type": "string"},
        "partial": {"type": "boolean"},
        "null_reason": {"type": "string"},
    },
}


def _many(contract: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["data", "errors", "meta"],
        "properties": {
            "data": {"type": "array", "items": ref(contract)},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/AssetError"}},
            "meta": {"$ref": "#/components/schemas/ManyMeta"},
        },
    }


def _history(*rows: type[msgspec.Struct]) -> dict[str, Any]:
    shapes = [ref(row) for row in rows]
    return {
        "type": "object",
        "required": ["asset", "interval", "data", "next_cursor", "meta"],
        "properties": {
            "asset": {"type": "string"},
            "interval": {"type": "string"},
            "data": {
                "type": "array",
                "items": shapes[0] if len(shapes) == 1 else {"oneOf": shapes},
            },
            "next_cursor": {"type": ["string", "null"]},
            "meta": ref(HistoryMeta),
        },
    }


_SHAPES: Final[dict[str, tuple[type[msgspec.Struct], ...]]] = {
    "Funding": (FundingPayload, FundingHistoryRow),
    "Flow": (FlowPayload, FlowHistoryRow),
    "OpenInterest": (OpenInterestPayload, OpenInterestHistoryRow),
    "Basis": (BasisPayload, BasisHistoryRow),
    "Liquidations": (LiquidationsPayload, LiquidationsHistoryRow, LiquidationEvent),
    "Ohlcv": (OhlcvPayload, OhlcvHistoryRow),
    "Positioning": (PositioningPayload, PositioningHistoryRow),
}
"""What an endpoint answers for one asset, and one row of its history (or a row of either kind)."""

publish_schemas(
    [*(shape for shapes in _SHAPES.values() for shape in shapes), HistoryMeta],
    {
        "AssetError": _ASSET_ERROR,
        "ManyMeta": _MANY_META,
        **{f"{prefix}Many": _many(payload) for prefix, (payload, *_) in _SHAPES.items()},
        **{f"{prefix}History": _history(*rows) for prefix, (_, *rows) in _SHAPES.items()},
    },
)


def example(name: str) -> Any:
    """A stored answer of the sandbox market; tests hold it to the contract."""
    return orjson.loads((_EXAMPLES / f"{name}.json").read_bytes())


def _parameters(intervals: Intervals, kinds: tuple[str, ...]) -> list[OpenApiParameter]:
    def query(name: str, description: str, **more: Any) -> OpenApiParameter:
        kind = more.pop("type", OpenApiTypes.STR)
        return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, **more)

    names = list(intervals.seconds)
    markets = "perp or spot; a current answer without it has both, history then is of perpetuals."
    told_apart = [query("kind", markets, enum=list(kinds))] if kinds else []
    moment = "ISO 8601 (UTC unless it says otherwise) or epoch seconds or milliseconds"
    return [
        query("asset", "One asset, any case: the answer is the object itself.", enum=ASSETS),
        query("assets", "BTC,ETH or * (all 65): the answer has data, errors and meta."),
        query(
            "aggregate",
            "false leaves the aggregate block out.",
            type=OpenApiTypes.BOOL,
            default=True,
        ),
        query("venue", f"Only these venues, comma-separated: {', '.join(VENUES)}."),
        *told_apart,
        query("from", f"Start of history, included: {moment}."),
        query("to", f"End of history, excluded: {moment}. At most one year after from."),
        query("interval", "Length of a row of history.", enum=names, default=intervals.default),
        query(
            "limit",
            f"Rows of history, 1 to {MAX_LIMIT}.",
            type=OpenApiTypes.INT,
            default=DEFAULT_LIMIT,
        ),
        query("cursor", "next_cursor of the page before; it remembers the whole question."),
        query("as_of", f"Only what was known then, not later than now: {moment}."),
        query(
            "format",
            "Wins over Accept.",
            enum=[one.value for one in Format],
            default=Format.JSON.value,
        ),
    ]


def _answers(prefix: str, columns: dict[str, tuple[str, ...]]) -> dict[Any, Any]:
    single = _SHAPES[prefix][0].__name__
    shapes = [
        f"#/components/schemas/{name}" for name in (single, f"{prefix}Many", f"{prefix}History")
    ]
    described = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in columns.items())
    return {
        (200, "application/json"): OpenApiResponse(
            response={"oneOf": [{"$ref": shape} for shape in shapes]},
            description="asset: the object; assets: data, errors, meta; from, to or cursor: a page of rows",
        ),
        (200, "text/csv"): OpenApiResponse(
            response={"type": "string", "description": f"Columns. {described}."}
        ),
        (200, "application/x-ndjson"): OpenApiResponse(
            response={"type": "string", "description": "One JSON object per line."}
        ),
        304: OpenApiResponse(
            description="Nothing changed since the ETag that was sent. Not charged."
        ),
        **problem_responses(*_CODES),
    }


def _json_example(label: str, name: str, summary: str) -> OpenApiExample:
    return OpenApiExample(
        label,
        summary=summary,
        value=example(name),
        media_type="application/json",
        response_only=True,
        status_codes=["200"],
    )


def _endpoint(
    prefix: str,
    file: str,
    operation: str,
    summary: str,
    text: str,
    intervals: Intervals,
    columns: dict[str, tuple[str, ...]],
    kinds: tuple[str, ...] = (),
) -> Callable[[_View], _View]:
    decorator: Callable[[_View], _View] = extend_schema(
        operation_id=operation,
        tags=["L1 Futures Foundation"],
        summary=summary,
        description=text,
        parameters=[*_parameters(intervals, kinds), *KEYED_HEADERS, *DATA_HEADERS],
        responses=_answers(prefix, columns),
        examples=[
            _json_example("one_asset", file, "asset=BTC"),
            _json_example("several_assets", f"{file}-many", "assets=BTC,XYZ"),
            _json_example("history", f"{file}-history", "asset=BTC and from, to"),
        ],
    )
    return decorator


funding_schema = _endpoint(
    "Funding",
    "funding",
    "markets_funding",
    "Funding rates",
    "Predicted funding of perpetuals, percent per 8 h, over the venues and per venue, with 30 days of "
    "context; the last settled rates beside it. With from or to: settled rates.",
    FUNDING_INTERVALS,
    {"current": flat.FUNDING_COLUMNS, "history": FUNDING_CSV_COLUMNS},
)
flow_schema = _endpoint(
    "Flow",
    "volume-flow",
    "markets_volume_flow",
    "Taker flow",
    "Taker buys less taker sells in USD over rolling windows, cumulative volume delta of the UTC day, "
    "perpetuals and spot, with 30 days of context. With from or to: bars.",
    FLOW_INTERVALS,
    {"current": flat.FLOW_COLUMNS, "history": FLOW_CSV_COLUMNS},
)
open_interest_schema = _endpoint(
    "OpenInterest",
    "open-interest",
    "markets_open_interest",
    "Open interest",
    "Open interest of perpetuals, one side, in USD, coins and contracts, over the venues and per venue, "
    "with its changes and 30 days of context. With from or to: the last sample of each interval.",
    OPEN_INTEREST_INTERVALS,
    {"current": flat.OPEN_INTEREST_COLUMNS, "history": OPEN_INTEREST_CSV_COLUMNS},
)
basis_schema = _endpoint(
    "Basis",
    "basis",
    "markets_basis",
    "Basis",
    "Mark price over index: of perpetuals, per venue and weighted by open interest, with what holding one "
    "costs a year (its funding) and 30 days of context; and of dated futures, annualised, the curve per "
    "venue and over the venues. With from or to: the last sample of each interval.",
    BASIS_INTERVALS,
    {"current": flat.BASIS_COLUMNS, "history": BASIS_CSV_COLUMNS},
)
positioning_schema = _endpoint(
    "Positioning",
    "positioning",
    "markets_positioning",
    "Positioning",
    "Who is long: the share of accounts, of top traders' accounts and positions, and of taker buys, with "
    "the ratios beside them; per venue that publishes it and weighted by open interest, with how far "
    "venues agree and 30 days of context. With from or to: the last sample of each interval.",
    POSITIONING_INTERVALS,
    {"current": flat.POSITIONING_COLUMNS, "history": POSITIONING_CSV_COLUMNS},
)
liquidations_schema = _endpoint(
    "Liquidations",
    "liquidations",
    "markets_liquidations",
    "Liquidations",
    "Positions closed by force: the newest events, and sums of 1 minute, 1, 4 and 24 hours by side, per "
    "venue and over the venues, with the largest event, how complete each feed is and 30 days of context. "
    "A sum is null where the streams were not listened to. With from or to: sums of each interval, or "
    "with interval=event the events themselves.",
    LIQUIDATIONS_INTERVALS,
    {
        "current": flat.LIQUIDATIONS_COLUMNS,
        "history": LIQUIDATIONS_CSV_COLUMNS,
        "history of events": EVENT_CSV_COLUMNS,
    },
)
ohlcv_schema = _endpoint(
    "Ohlcv",
    "ohlcv",
    "markets_ohlcv",
    "Candles",
    "Open, high, low, close and volume per venue and over the venues (each price weighted by the USD "
    "traded at each venue in that interval), perpetuals and spot. The current answer has the last closed "
    "candle and the one in the making, and 30 days of context of the hour's return and volume. With from "
    "or to: candles from 1m to 1w; an interval without a trade has no row.",
    OHLCV_INTERVALS,
    {"current": flat.OHLCV_COLUMNS, "history": OHLCV_CSV_COLUMNS},
    OHLCV_KINDS,
)
