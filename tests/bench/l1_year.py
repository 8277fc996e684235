"""A synthetic year at full size in PostgreSQL: 65 assets on five venues by the hour.

Pages of history as the views make them, their P50 and P99, and the plans behind them: only the partitions
of the range asked for, and only by index.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connections

from apps.core.clock import market_clock
from apps.core.jsonout import dumps
from apps.marketdata.selectors import instruments
from apps.marketdata.universe import ASSETS
from apps.markets import history_funding, history_ohlcv, history_open_interest
from apps.markets.history import Page
from apps.markets.queries import HistoryQuery, read_query
from tests.bench import l1_world

DAYS: Final = 365
ROUNDS: Final = 30
_DAY_MS: Final = 86_400_000
_PAGES: Final[dict[str, tuple[Any, Callable[[HistoryQuery, int], Page]]]] = {
    "ohlcv": (history_ohlcv, history_ohlcv.ohlcv_page),
    "funding": (history_funding, history_funding.funding_page),
    "open_interest": (history_open_interest, history_open_interest.open_interest_page),
}
# (metric, interval, rows of the page): goals in ms are those of one busy core.
CASES: Final = (
    ("ohlcv", "1h", 500, 40.0),
    ("ohlcv", "1h", 5000, 200.0),
    ("funding", "settlement", 500, 100.0),
    ("open_interest", "1h", 500, 100.0),
)


def _page(metric: str, interval: str, limit: int, rng: random.Random, now_ms: int) -> float:
    """Milliseconds from the question to the last byte of a page somewhere in the year."""
    module, page_of = _PAGES[metric]
    asset = rng.choice(ASSETS)
    start = now_ms - DAYS * _DAY_MS + rng.randrange((DAYS - limit // 24) * _DAY_MS)
    query = read_query(
        f"asset={asset}&from={start}&interval={interval}&limit={limit}",
        "",
        metric=f"markets.{metric}",
        intervals=module.INTERVALS,
        now_ms=now_ms,
        kinds=getattr(module, "KINDS", ()),
    )
    if not isinstance(query, HistoryQuery):
        raise TypeError("expected a question about history")
    started = time.perf_counter()
    count = 0
    for row in page_of(query, now_ms).rows():
        dumps(row)
        count += 1
    took = (time.perf_counter() - started) * 1000
    if count < 0.9 * limit:
        raise AssertionError(f"expected {limit} rows, got {count}")
    return took


def plans(now: datetime) -> dict[str, dict[str, Any]]:
    """What PostgreSQL does for a week of one asset: partitions opened, and how."""
    ids = [row.id for row in instruments(asset="BTC", kind="perp")]
    start = now - timedelta(days=100)
    found = {}
    for table, where in (
        ("bar", "AND interval_s = 3600"),
        ("funding_rate", "AND kind = 'settled'"),
        ("open_interest", ""),
    ):
        with connections["market"].cursor() as cursor:
            cursor.execute(
                f"EXPLAIN (ANALYZE, FORMAT TEXT) SELECT * FROM {table} "
                f"WHERE instrument_id = ANY(%s) AND ts >= %s AND ts < %s {where}",
                [ids, start, start + timedelta(days=7)],
            )
            lines = [line for (line,) in cursor.fetchall()]
        # An index scan names its partition, a bitmap's index the partition's key.
        scans = [line for line in lines if f" on {table}_p" in line and "Index Scan on" not in line]
        found[table] = {
            "partitions": len(scans),
            "by_index": not any("Seq Scan" in line for line in lines),
            "plan": lines,
        }
    return found


def run() -> dict[str, Any]:
    """P50 and P99 of the pages; raises when a plan opens more than it should."""
    now = l1_world.floor_minute(datetime.now(UTC)).replace(minute=0)
    now_ms = int(now.timestamp() * 1000)
    rng = random.Random(365)
    with l1_world.own_market():
        market_clock.freeze(now_ms * 1_000_000)
        l1_world.list_everything(now)
        start = now - timedelta(days=DAYS)
        started = time.perf_counter()
        rows = l1_world.bars(start, now, 3600)
        rows += l1_world.funding(start, now)
        rows += l1_world.open_interest(start, now, 3600)
        l1_world.analyse()
        filled_s = round(time.perf_counter() - started, 1)
        seen = plans(now)
        for table, plan in seen.items():
            if plan["partitions"] > 2 or not plan["by_index"]:
                raise AssertionError(f"{table}: {plan['partitions']} partitions are opened")
        figures, latencies = [], {}
        for metric, interval, limit, goal in CASES:
            _page(metric, interval, limit, rng, now_ms)
            times = sorted(_page(metric, interval, limit, rng, now_ms) for _ in range(ROUNDS))
            name = f"{metric} {interval} × {limit}"
            latencies[name] = {
                "p50_ms": round(statistics.median(times), 1),
                "p99_ms": round(times[-1], 1),
            }
            figures.append(
                {"what": f"{name}, P99", "measured": round(times[-1], 1), "unit": "ms"}
                | {"better": "lower", "goal": goal}
            )
        size = l1_world.tables(["bar", "funding_rate", "open_interest"])
    return {
        "name": "a year of 65 assets on five venues in PostgreSQL",
        "rows": rows,
        "filled_s": filled_s,
        "size": size,
        "pages": latencies,
        "plans": seen,
        "figures": figures,
    }
