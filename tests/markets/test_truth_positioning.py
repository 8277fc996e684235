"""Positioning of all 65 assets against plain loops over the stored rows of the venues."""

from __future__ import annotations

import random
from typing import Any

import pytest

from apps.core.clock import market_clock
from apps.marketdata.positioning import SERIES, TAKER, published_series
from apps.marketdata.rows import PositioningRow
from apps.marketdata.universe import ASSETS
from apps.marketdata.writers import rows_write
from apps.markets.history_positioning import INTERVALS, positioning_page
from apps.markets.queries import HistoryQuery, read_query
from apps.markets.snapshots import build_positioning
from tests.markets.wide import HOUR, MINUTE, NOW_MS, Listed, at, make_wide, stored

pytestmark = pytest.mark.django_db(databases=["default", "market"])
NEWEST = (
    "SELECT long_share FROM positioning WHERE instrument_id = %s AND series = %s AND ts <= %s "
    "AND ts > %s ORDER BY ts DESC LIMIT 1"
)
WEIGHT = "SELECT oi_usd FROM open_interest WHERE instrument_id = %s AND ts <= %s ORDER BY ts DESC LIMIT 1"


@pytest.fixture
def wide(db: None, clean_redis: Any) -> list[Listed]:
    """Every series that a venue publishes, every five minutes (takers: half hours) of three hours."""
    market_clock.freeze(NOW_MS * 1_000_000)
    listed = make_wide()
    rng = random.Random(7)
    rows: list[PositioningRow] = []
    for one in listed:
        for series in published_series(one.venue):
            step = 30 * MINUTE if series == TAKER else 5 * MINUTE
            newest = NOW_MS // step * step
            for ts in range(newest - 3 * HOUR, newest + 1, step):
                share = round(rng.uniform(0.2, 0.8), 4)
                period_s = 1800 if series == TAKER else 0
                rows.append(
                    PositioningRow(one.row_id, series, ts, ts + 4_000, share, period_s, "stream")
                )
    rows_write(rows)
    return listed


def reference(
    listed: list[Listed], asset: str, series: str, moment_ms: int, hold_ms: int
) -> tuple[dict[str, float], float | None, float | None]:
    """Shares by venue, the aggregate and its ratio: longs and shorts of each venue, counted in USD."""
    shares: dict[str, float] = {}
    longs = shorts = 0.0
    for one in (one for one in listed if one.asset == asset):
        found = stored(NEWEST, one.row_id, series, at(moment_ms), at(moment_ms - hold_ms - 1))
        if not found:
            continue
        ((share,),) = found
        ((weight,),) = stored(WEIGHT, one.row_id, at(moment_ms))
        shares[one.venue] = share
        longs += weight * share
        shorts += weight * (1 - share)
    if not shares:
        return {}, None, None
    return shares, longs / (longs + shorts), longs / shorts


def blocks(scope: Any) -> dict[str, Any]:
    return {"accounts": scope, **scope["series"]}


def test_positioning_of_every_asset(wide: list[Listed]) -> None:
    found = {one["asset"]: one for one in build_positioning(ASSETS, NOW_MS)}
    assert list(found) == list(ASSETS)
    for asset in ASSETS:
        for series in SERIES:
            shares, share, ratio = reference(wide, asset, series, NOW_MS, HOUR)
            block = blocks(found[asset]["aggregate"])[series]
            assert share is not None
            assert block["value"] == pytest.approx(share, abs=1e-9)
            assert block["ratio"] == pytest.approx(ratio, abs=2e-6)
            assert block["venues_used"] == list(shares)
            for venue, own in shares.items():
                assert blocks(found[asset]["venues_detail"][venue])[series]["value"] == own
        assert list(found[asset]["venues"]) == list(
            reference(wide, asset, "accounts", NOW_MS, HOUR)[0]
        )


def question(asset: str, interval: str) -> HistoryQuery:
    end = NOW_MS // HOUR * HOUR
    query = read_query(
        f"asset={asset}&interval={interval}&from={end - 2 * HOUR}&to={end}",
        "",
        metric="markets.positioning",
        intervals=INTERVALS,
        now_ms=NOW_MS,
    )
    assert isinstance(query, HistoryQuery)
    return query


@pytest.mark.parametrize("interval", ["5m", "1h"])
def test_history_of_every_tenth_asset(wide: list[Listed], interval: str) -> None:
    step = INTERVALS.seconds[interval] * 1000
    for asset in ASSETS[::10]:
        query = question(asset, interval)
        rows = list(positioning_page(query, NOW_MS).rows())
        assert len(rows) == 2 * HOUR // step
        for row, start in zip(rows, range(query.start_ms, query.end_ms, step), strict=True):
            end = start + step - 1
            for series in SERIES:
                hold_ms = 45 * MINUTE if series == TAKER else 15 * MINUTE
                shares, share, ratio = reference(wide, asset, series, end, hold_ms)
                block = blocks(row["aggregate"])[series]
                assert block["venues_used"] == list(shares)
                assert block["value"] == (None if share is None else pytest.approx(share, abs=1e-9))
                assert block["ratio"] == (None if ratio is None else pytest.approx(ratio, abs=2e-6))
