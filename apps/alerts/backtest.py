"""How often a rule would have fired over stored history, hour by hour.

History keeps values and not their context, so that percentiles, scores and labels cannot be asked of it.
Of funding it keeps what was settled, which a predicted rate is compared with here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from apps.alerts.engine import Comparison, Condition, Value, comparisons, fires_of, value_at
from apps.core.clock import iso_utc
from apps.core.params import invalid
from apps.markets import (
    history_basis,
    history_flow,
    history_funding,
    history_liquidations,
    history_ohlcv,
    history_open_interest,
    history_positioning,
)
from apps.markets.formats import Format
from apps.markets.history import RowPage
from apps.markets.queries import HistoryQuery, Selection

HOUR_MS: Final = 3_600_000
MAX_DAYS: Final = 30
_SHOWN: Final = 100
_SAME: Final[Mapping[tuple[str, str], str]] = {
    ("markets.liquidations", "aggregate.value"): "aggregate.total_usd",
    ("markets.volume_flow", "aggregate.value"): "aggregate.delta_usd",
    ("markets.ohlcv", "aggregate.price"): "aggregate.close",
}
"""Fields of the current answer that an hour's row has under another name."""
_LIQUIDATION_HOUR: Final = "aggregate.windows.1h."


@dataclass(frozen=True, slots=True)
class _Source:
    """``lag_ms`` after its ``ts`` a row is known."""

    page: Callable[[HistoryQuery, int], RowPage]
    lag_ms: int = HOUR_MS
    kind: str | None = None


_SOURCES: Final[Mapping[str, _Source]] = {
    "markets.funding": _Source(history_funding.funding_page, lag_ms=0),
    "markets.volume_flow": _Source(history_flow.flow_page),
    "markets.open_interest": _Source(history_open_interest.open_interest_page),
    "markets.positioning": _Source(history_positioning.positioning_page),
    "markets.liquidations": _Source(history_liquidations.liquidations_page),
    "markets.ohlcv": _Source(history_ohlcv.ohlcv_page, kind="perp"),
    "markets.basis": _Source(history_basis.basis_page),
}


def backtest(condition: Condition, cooldown_s: int, days: int, now_ms: int) -> dict[str, Any]:
    """Raises ``InvalidParameter`` for a field that history does not keep."""
    start_ms = (now_ms - days * 24 * HOUR_MS) // HOUR_MS * HOUR_MS
    series = {leaf: _series(leaf, start_ms, now_ms) for leaf in set(comparisons(condition))}
    moments = sorted({ts for points in series.values() for ts, _ in points})
    fired, suppressed = fires_of(
        condition, [(ts, _look_at(series, ts)) for ts in moments], cooldown_s * 1000
    )
    return {
        "days": days,
        "interval": "1h",
        "from": iso_utc(start_ms),
        "to": iso_utc(now_ms),
        "moments": len(moments),
        "fires": len(fired),
        "suppressed": suppressed,
        "fired_at": [iso_utc(ts) for ts in fired[-_SHOWN:]],
    }


def _look_at(
    series: Mapping[Comparison, list[tuple[int, Value]]], now_ms: int
) -> Callable[[Comparison], Value]:
    """The newest value that was known then."""

    def look(leaf: Comparison) -> Value:
        points = series[leaf]
        index = bisect_right(points, now_ms, key=lambda point: point[0])
        return points[index - 1][1] if index else None

    return look


def _series(leaf: Comparison, start_ms: int, end_ms: int) -> list[tuple[int, Value]]:
    source, field = _SOURCES.get(leaf.metric), _history_field(leaf)
    if source is None:
        raise invalid("condition", "metrics with a stored history", leaf.metric)
    selection = Selection(
        venues=None, with_aggregate=True, as_of_ms=None, format=Format.JSON, kind=source.kind
    )
    limit = (end_ms - start_ms) // HOUR_MS + 1
    query = HistoryQuery(
        leaf.metric, leaf.asset, "1h", HOUR_MS, start_ms, end_ms, limit, None, selection
    )
    rows = [row for row in source.page(query, end_ms).rows() if row.get("closed", True)]
    if rows and not any(_has(row, field) for row in rows):
        raise invalid("condition", "fields that history keeps, such as aggregate.value", leaf.field)
    return [(_ms(row["ts"]) + source.lag_ms, value_at(row, field)) for row in rows]


def _history_field(leaf: Comparison) -> str:
    """An hour's row of liquidations is what the last hour's window is in the current answer."""
    if leaf.metric == "markets.liquidations" and leaf.field.startswith(_LIQUIDATION_HOUR):
        return "aggregate." + leaf.field.removeprefix(_LIQUIDATION_HOUR)
    return _SAME.get((leaf.metric, leaf.field), leaf.field)


def _has(row: Mapping[str, Any], field: str) -> bool:
    found: Any = row
    for name in field.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)
