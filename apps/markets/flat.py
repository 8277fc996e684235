"""Current answers as CSV: one line per asset and scope, in fixed columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from apps.markets.contracts_positioning import series_blocks

_CONTEXT: Final = (
    "value",
    "unit",
    "percentile_30d",
    "z_score",
    "interpretation",
    "state",
    "samples",
)
_COMMON: Final = ("asset", "snapshot_ts", "freshness", "venue", *_CONTEXT)
FUNDING_COLUMNS: Final = (
    *_COMMON, "rate_8h", "apr", "rate_raw", "interval_h", "next_funding_at", "settled_value",
    "settled_at", "oi_usd", "null_reason",
)  # fmt: skip
FLOW_COLUMNS: Final = (
    *_COMMON, "window", "buy_usd", "sell_usd", "delta_usd", "volume_usd", "taker_buy_ratio",
    "cvd_usd", "null_reason",
)  # fmt: skip

OPEN_INTEREST_COLUMNS: Final = (
    *_COMMON, "oi_base", "oi_contracts", "mark_price", "share", "change_1h_usd",
    "change_1h_percent", "change_24h_usd", "change_24h_percent", "updated_at", "null_reason",
)  # fmt: skip

BASIS_COLUMNS: Final = (
    *_COMMON, "market", "symbol", "quote", "expiry", "days_to_expiry", "basis", "annualised",
    "mark_price", "index_price", "oi_usd", "weight", "updated_at", "null_reason",
)  # fmt: skip


POSITIONING_COLUMNS: Final = (
    *_COMMON, "series", "ratio", "period_seconds", "weight", "ls_consensus", "oi_usd", "updated_at",
    "null_reason",
)  # fmt: skip

OHLCV_COLUMNS: Final = (
    *_COMMON, "kind", "interval", "ts", "closed", "open", "high", "low", "close", "volume_base",
    "volume_usd", "trades", "complete", "hour_volume_usd", "hour_volume_percentile_30d",
    "hour_volume_z_score", "null_reason",
)  # fmt: skip


LIQUIDATIONS_COLUMNS: Final = (
    *_COMMON, "window", "total_usd", "long_usd", "short_usd", "count", "imbalance", "largest_usd",
    "observed_usd", "coverage", "estimated_usd", "completeness", "undercount", "null_reason",
)  # fmt: skip


def _scopes(payload: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """The aggregate and each venue, with the columns that all scopes share."""
    meta = payload["meta"]
    base = {
        "asset": payload["asset"],
        "snapshot_ts": meta["snapshot_ts"],
        "freshness": meta["freshness"],
    }
    if "aggregate" in payload:
        yield (
            {**base, "venue": "aggregate"},
            {
                **{
                    name: payload[name] for name in ("settled", "windows", "cvd") if name in payload
                },
                **payload["aggregate"],
            },
        )
    for venue, block in payload["venues_detail"].items():
        yield {**base, "venue": venue}, block


def funding_records(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for base, block in _scopes(payload):
        settled = block.get("settled") or {}
        yield {
            **block,
            **base,
            "settled_value": settled.get("value"),
            "settled_at": settled.get("settled_at"),
        }


def flow_records(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The window named in ``window`` beside its context."""
    for base, block in _scopes(payload):
        window = (block.get("windows") or {}).get(block.get("window")) or {}
        numbers = {name: window.get(name) for name in FLOW_COLUMNS if name in window}
        cvd = (block.get("cvd") or {}).get("value_usd")
        yield {**block, **numbers, **base, "null_reason": block.get("null_reason"), "cvd_usd": cvd}


def open_interest_records(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Changes in columns of their own; those in coins are in the JSON form."""
    for base, block in _scopes(payload):
        changes = {
            f"change_{window}_{unit}": one.get(f"change_{unit}")
            for window, one in (block.get("changes") or {}).items()
            for unit in ("usd", "percent")
        }
        yield {**block, **changes, **base}


def basis_records(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Perpetuals (market perp), then every dated contract (market future)."""
    dated: list[dict[str, Any]] = []
    for base, block in _scopes(payload):
        yield {**block, **base, "market": "perp"}
        dated += [{**one, **base, "market": "future"} for one in block.get("futures", ())]
    yield from dated


def positioning_records(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One line per scope and series."""
    for base, block in _scopes(payload):
        for name, one in series_blocks(block):
            yield {**one, **base, "series": name}


def liquidations_records(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One line per scope and window; the context is of the window that ``value`` is of."""
    for base, scope in _scopes(payload):
        context = {name: scope.get(name) for name in ("completeness", "undercount")}
        for name, window in (scope.get("windows") or {}).items():
            own = {key: scope.get(key) for key in _CONTEXT} if name == scope["window"] else {}
            largest = (window["largest"] or {}).get("amount_usd")
            yield {**own, **window, **context, **base, "window": name, "largest_usd": largest}


def ohlcv_records(payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One line per candle: of each scope and interval the last closed one and the one in the making."""
    blocks = [(payload.get("kind"), payload)]
    if "spot" in payload:
        blocks.append(
            ("spot", {**payload["spot"], "asset": payload["asset"], "meta": payload["meta"]})
        )
    for kind, block in blocks:
        for base, scope in _scopes(block):
            yield from _candle_records({**base, "kind": kind}, scope)


def _candle_records(base: Mapping[str, Any], scope: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    volume = scope.get("volume") or {}
    context = {
        "hour_volume_usd": volume.get("value"),
        "hour_volume_percentile_30d": volume.get("percentile_30d"),
        "hour_volume_z_score": volume.get("z_score"),
        "null_reason": scope.get("null_reason"),
    }
    bars: Mapping[str, Any] = scope.get("bars") or {}
    lines = [
        {**candle, "interval": name}
        for name, pair in bars.items()
        for candle in (pair["last"], pair["open"])
        if candle is not None
    ]
    for line in lines or [{}]:
        yield {**scope, **line, **base, **context}
