"""A year of history: every row once, whatever the pages, the interruptions and the writes beside them."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.clock import iso_utc
from apps.marketdata.rows import BarRow, FundingRow
from apps.marketdata.writers import rows_write
from apps.markets import history_funding, history_ohlcv
from apps.markets.queries import HistoryQuery, Intervals, read_query
from tests.markets.conftest import FUNDING, Api
from tests.markets.test_history import body
from tests.markets.world import DAY, HOUR, LAST_SETTLEMENT, NOW_MS, Market, bar, funding_row

pytestmark = pytest.mark.django_db(databases=["default", "market"])
YEAR_MS = 365 * DAY
SETTLEMENTS = 365 * 3
# Ends before the last month, of which the market has rows of its own.
FIRST = LAST_SETTLEMENT - 31 * DAY - (SETTLEMENTS - 1) * 8 * HOUR


@pytest.fixture
def year(market: Market) -> Market:
    """Two venues: one settles every eight hours, one every hour."""
    hourly = market.id("bybit:perp:BTCUSDT")
    rows: list[FundingRow] = [
        funding_row(market.id("binance:perp:BTCUSDT"), FIRST + n * 8 * HOUR, n * 1e-7)
        for n in range(SETTLEMENTS)
    ]
    rows += [
        funding_row(hourly, FIRST + n * HOUR, n * 1e-8)._replace(interval_h=1.0)
        for n in range((SETTLEMENTS - 1) * 8 + 1)
    ]
    rows_write(rows)
    return market


def question(metric: str, intervals: Intervals, query: str) -> HistoryQuery:
    kinds = history_ohlcv.KINDS if metric == "markets.ohlcv" else ()
    found = read_query(query, "", metric=metric, intervals=intervals, now_ms=NOW_MS, kinds=kinds)
    assert isinstance(found, HistoryQuery)
    return found


def funding_pages(query: str) -> Iterator[list[dict[str, Any]]]:
    """Page after page, as a client would ask for them."""
    intervals = history_funding.INTERVALS
    cursor = ""
    while True:
        asked = question("markets.funding", intervals, f"{query}{cursor}")
        page = history_funding.funding_page(asked, NOW_MS)
        yield list(page.rows())
        if page.next_cursor is None:
            return
        cursor = f"&cursor={page.next_cursor}"


def test_a_year_of_funding_pages_through_without_a_hole_or_a_double(year: Market, api: Api) -> None:
    query: dict[str, Any] = {"asset": "BTC", "from": FIRST, "to": FIRST + YEAR_MS, "limit": 5000}
    rows: list[dict[str, Any]] = []
    while True:
        page = body(api.get(FUNDING, query))
        rows += page["data"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    hours = (SETTLEMENTS - 1) * 8 + 1
    assert [row["ts"] for row in rows] == [iso_utc(FIRST + n * HOUR) for n in range(hours)]
    eight = [row["venues"]["binance"] for row in rows if "binance" in row["venues"]]
    assert eight == pytest.approx([n * 1e-5 for n in range(SETTLEMENTS)])
    assert [row["venues"]["bybit"] for row in rows] == pytest.approx(
        [n * 8e-6 for n in range(hours)]
    )


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    limits=st.lists(st.sampled_from([1, 7, 90, 500, 997, 5000]), min_size=1, max_size=4),
    asked_again=st.sets(st.integers(0, 30), max_size=6),
    days=st.integers(1, 12),
    venue=st.sampled_from(["", "&venue=binance", "&venue=bybit"]),
)
def test_any_pages_any_interruption_any_write_beside_them_give_the_same_rows(
    year: Market, limits: list[int], asked_again: set[int], days: int, venue: str
) -> None:
    """Rows written meanwhile lie behind the reader or at the end of the window, as they do in life."""
    start = FIRST + 100 * DAY
    window = f"asset=BTC&from={start}&to={start + days * DAY}{venue}"
    (expected,) = funding_pages(f"{window}&limit=5000")
    found: list[dict[str, Any]] = []
    query, number = window, 0
    late = year.id("bybit:perp:BTCUSDT")
    while True:
        asked = question(
            "markets.funding",
            history_funding.INTERVALS,
            f"{query}&limit={limits[number % len(limits)]}",
        )
        page = history_funding.funding_page(asked, NOW_MS)
        rows = list(page.rows())
        # A client that lost the answer asks for the same page once more.
        if number in asked_again:
            again = history_funding.funding_page(asked, NOW_MS)
            assert list(again.rows()) == rows
            assert again.next_cursor == page.next_cursor
        found += rows
        rows_write(
            [
                funding_row(late, start - (number + 1) * HOUR - 1, 0.5),
                funding_row(late, start + days * DAY + number * HOUR, 0.5),
            ]
        )
        number += 1
        if page.next_cursor is None:
            break
        query = f"{window}&cursor={page.next_cursor}"
        if number > 400:
            # Single rows of a long window: the rest in one go.
            limits = [5000]
    assert found == expected


def hours_of_bars(row_id: int, count: int) -> list[BarRow]:
    end = NOW_MS // HOUR * HOUR
    return [bar(row_id, end - n * HOUR, 3600, 5000.0 + n, 3000.0) for n in range(1, count + 1)]


def test_a_year_of_candles_leaves_without_ever_being_in_memory(market: Market, api: Api) -> None:
    """8,760 candles of two venues, in pages of 5,000: a page's memory is that of one block of rows."""
    for key in ("binance:perp:BTCUSDT", "bybit:perp:BTCUSDT"):
        rows_write(hours_of_bars(market.id(key), 365 * 24))
    until = NOW_MS // HOUR * HOUR
    base = f"asset=BTC&interval=1h&from={until - YEAR_MS}&to={until}&format=csv"
    query, lines, size, peak = f"{base}&limit=5000", 0, 0, 0
    while True:
        response = api.get("/v1/markets/ohlcv", query)
        assert response.status_code == 200
        tracemalloc.start()
        for piece in response.streaming_content:
            lines += piece.count(b"\n")
            size += len(piece)
        peak = max(peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        lines -= 1
        cursor = response.headers.get("X-Next-Cursor")
        if cursor is None:
            break
        query = f"{base}&limit=5000&cursor={cursor}"
    assert lines == 3 * 365 * 24
    assert size > 2_000_000
    # A block of 500 rows and its arrays, whatever the length of the answer.
    assert peak < 4_000_000, f"{peak / 1e6:.1f} MB"


def test_all_formats_of_a_year_hold_the_same_rows(year: Market, api: Api) -> None:
    query = {"asset": "BTC", "from": FIRST, "to": FIRST + YEAR_MS, "limit": 3000}
    as_json = body(api.get(FUNDING, query))["data"]
    lines = b"".join(api.get(FUNDING, {**query, "format": "ndjson"}).streaming_content)
    assert [orjson.loads(line) for line in lines.splitlines()] == as_json
    text = b"".join(api.get(FUNDING, {**query, "format": "csv"}).streaming_content).decode()
    flat = list(csv.DictReader(text.splitlines()))
    scopes = sum(1 + len(row["venues_detail"]) for row in as_json)
    assert len(flat) == scopes
    mine = [line for line in flat if line["venue"] == "binance"]
    details = [row["venues_detail"]["binance"] for row in as_json if "binance" in row["venues"]]
    assert [float(line["value"]) for line in mine] == [one["value"] for one in details]
