"""History over REST: values, pages, formats."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.clock import iso_utc
from apps.marketdata.writers import rows_write
from tests.markets.conftest import FLOW, FUNDING, Api
from tests.markets.world import (
    DAY,
    HOUR,
    LAST_SETTLEMENT,
    NOW_MS,
    Market,
    bar,
    funding_row,
    rate_at,
)

pytestmark = pytest.mark.django_db(databases=["default", "market"])


def body(response: Any) -> Any:
    return orjson.loads(b"".join(response.streaming_content))


def pages(api: Api, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows, page by page."""
    rows: list[dict[str, Any]] = []
    query = dict(query)
    while True:
        page = body(api.get(path, query))
        rows += page["data"]
        if page["next_cursor"] is None:
            return rows
        query["cursor"] = page["next_cursor"]


def test_funding_history_is_what_was_settled(market: Market, api: Api) -> None:
    page = body(api.get(FUNDING, {"asset": "btc", "from": LAST_SETTLEMENT - DAY, "to": NOW_MS}))
    assert page["asset"] == "BTC"
    assert page["interval"] == "settlement"
    assert page["next_cursor"] is None
    assert [row["ts"] for row in page["data"]] == [
        iso_utc(LAST_SETTLEMENT - n * 8 * HOUR) for n in (3, 2, 1, 0)
    ]
    last = page["data"][-1]
    binance, bybit = rate_at(0), rate_at(0) + 0.00001
    assert last["venues"]["binance"] == pytest.approx(binance * 100)
    assert last["venues_detail"]["binance"]["rate_raw"] == f"{binance:.8f}"
    assert last["venues_detail"]["binance"]["unit"] == "percent_per_8h"
    assert last["aggregate"]["weighting"] == "open_interest"
    assert last["aggregate"]["value"] == pytest.approx((3 * binance + bybit) / 4 * 100)
    assert last["aggregate"]["oi_usd"] == 4e9
    assert page["meta"]["count"] == 4
    assert page["meta"]["venues"] == ["binance", "bybit"]


def test_one_venue_needs_no_weights(market: Market, api: Api) -> None:
    query = {"asset": "BTC", "from": LAST_SETTLEMENT - 20 * DAY, "limit": 1, "venue": "bybit"}
    row = body(api.get(FUNDING, query))["data"][0]
    assert set(row["venues"]) == {"bybit"}
    assert row["aggregate"]["weighting"] == "none"
    assert row["aggregate"]["value"] == row["venues"]["bybit"]


def test_two_venues_without_open_interest_have_no_aggregate(market: Market, api: Api) -> None:
    query = {"asset": "BTC", "from": LAST_SETTLEMENT - 20 * DAY, "limit": 1}
    aggregate = body(api.get(FUNDING, query))["data"][0]["aggregate"]
    assert aggregate["value"] is None
    assert aggregate["null_reason"] == "no_weights"


def test_a_day_of_funding_is_the_mean_of_its_settlements(market: Market, api: Api) -> None:
    midnight = NOW_MS // DAY * DAY
    query = {"asset": "BTC", "interval": "1d", "from": midnight - DAY, "to": midnight}
    (row,) = body(api.get(FUNDING, query))["data"]
    numbers = [n for n in range(9) if midnight - DAY <= LAST_SETTLEMENT - n * 8 * HOUR < midnight]
    assert len(numbers) == row["venues_detail"]["binance"]["settlements"] == 3
    expected = sum(rate_at(n) for n in numbers) / 3 * 100
    assert row["venues"]["binance"] == pytest.approx(expected)


def test_rates_of_other_intervals_become_eight_hours(market: Market, api: Api) -> None:
    ts = LAST_SETTLEMENT + 4 * HOUR
    row = funding_row(market.id("binance:perp:ETHUSDT"), ts, 0.00005)
    rows_write([row._replace(interval_h=4.0)])
    last = body(api.get(FUNDING, {"asset": "ETH", "from": ts, "to": ts + 1}))["data"][0]
    assert last["venues"]["binance"] == pytest.approx(0.01)
    assert last["venues_detail"]["binance"]["interval_h"] == 4


def test_flow_bars_sum_their_minutes(market: Market, api: Api) -> None:
    hour = NOW_MS // HOUR * HOUR - HOUR
    page = body(api.get(FLOW, {"asset": "BTC", "from": hour, "to": hour + HOUR}))
    (row,) = page["data"]
    assert (page["interval"], row["ts"], row["closed"]) == ("1h", iso_utc(hour), True)
    assert row["venues_detail"]["binance"]["volume_usd"] == 60_000
    assert row["venues_detail"]["binance"]["buy_usd"] == 36_000
    assert row["venues_detail"]["binance"]["delta_usd"] == 12_000
    assert row["venues"] == {"binance": 12_000, "bybit": 3_000}
    assert row["aggregate"]["delta_usd"] == 15_000
    assert row["aggregate"]["sell_usd"] == 30_000
    assert row["aggregate"]["taker_buy_ratio"] == 0.6
    assert row["aggregate"]["trades"] == 320
    assert row["spot"]["binance"]["volume_usd"] == 30_000


def test_the_bar_in_the_making_is_open(market: Market, api: Api) -> None:
    query = {"asset": "BTC", "interval": "5m", "from": NOW_MS - HOUR}
    rows = body(api.get(FLOW, query))["data"]
    assert [row["closed"] for row in rows] == [True] * (len(rows) - 1) + [False]
    # 20:10 to 20:14 are stored, 20:14 is not.
    assert rows[-1]["venues_detail"]["binance"]["volume_usd"] == 4_000


def test_a_whole_long_bar_goes_before_its_minutes(market: Market, api: Api) -> None:
    instrument = market.id("binance:perp:BTCUSDT")
    ts = NOW_MS // 300_000 * 300_000 - HOUR
    rows_write([bar(instrument, ts + n * 60_000, 60, 999.0, 1.0) for n in range(3)])
    row = body(api.get(FLOW, {"asset": "BTC", "interval": "5m", "from": ts, "to": ts + 1}))["data"][
        0
    ]
    assert row["venues_detail"]["binance"]["volume_usd"] == 5_000


def test_a_partial_long_bar_yields_to_more_complete_minutes(market: Market, api: Api) -> None:
    instrument = market.id("binance:perp:ETHUSDT")
    ts = NOW_MS // 300_000 * 300_000 - HOUR
    partial = bar(instrument, ts, 300, 100.0, 50.0)._replace(is_partial=True)
    rows_write([partial, *(bar(instrument, ts + n * 60_000, 60, 40.0, 10.0) for n in range(5))])
    row = body(api.get(FLOW, {"asset": "ETH", "interval": "5m", "from": ts, "to": ts + 1}))["data"][
        0
    ]
    assert row["venues_detail"]["binance"]["volume_usd"] == 200


def test_unknown_taker_sides_are_null_not_zero(market: Market, api: Api) -> None:
    instrument = market.id("binance:perp:ETHUSDT")
    ts = NOW_MS // 300_000 * 300_000 - HOUR
    row = bar(instrument, ts, 300, 100.0, 50.0)._replace(buy_usd=None, buy_base=None, trades=None)
    rows_write([row])
    found = body(api.get(FLOW, {"asset": "ETH", "interval": "5m", "from": ts, "to": ts + 1}))[
        "data"
    ][0]
    detail = found["venues_detail"]["binance"]
    assert detail["volume_usd"] == 100
    assert (detail["buy_usd"], detail["delta_usd"], detail["trades"]) == (None, None, None)
    assert detail["null_reason"] == "no_data"
    assert found["venues"] == {}


def test_only_to_gives_the_rows_before_it(market: Market, api: Api) -> None:
    query = {"asset": "BTC", "interval": "1h", "to": NOW_MS // HOUR * HOUR, "limit": 3}
    rows = body(api.get(FLOW, query))["data"]
    assert [row["ts"] for row in rows] == [
        iso_utc(NOW_MS // HOUR * HOUR - n * HOUR) for n in (3, 2, 1)
    ]


def test_from_and_to_are_half_open_and_forms_of_time_agree(market: Market, api: Api) -> None:
    start = NOW_MS // HOUR * HOUR - 5 * HOUR
    by_epoch = body(api.get(FLOW, {"asset": "BTC", "from": start // 1000, "to": start + 2 * HOUR}))
    by_iso = body(
        api.get(FLOW, {"asset": "BTC", "from": iso_utc(start), "to": iso_utc(start + 2 * HOUR)})
    )
    assert [row["ts"] for row in by_epoch["data"]] == [iso_utc(start), iso_utc(start + HOUR)]
    assert by_iso["data"] == by_epoch["data"]


def test_without_rows_the_page_is_empty(market: Market, api: Api) -> None:
    page = body(api.get(FLOW, {"asset": "SOL", "from": NOW_MS - DAY}))
    assert (page["data"], page["next_cursor"]) == ([], None)


def test_the_aggregate_can_be_left_out_of_rows(market: Market, api: Api) -> None:
    for path in (FUNDING, FLOW):
        rows = body(api.get(path, {"asset": "BTC", "from": NOW_MS - DAY, "aggregate": 0}))["data"]
        assert rows
        assert all("aggregate" not in row for row in rows)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sizes=st.lists(st.integers(1, 200), min_size=1, max_size=8), inserts=st.booleans())
def test_pages_lose_and_repeat_nothing(
    market: Market, unlimited: Api, sizes: list[int], inserts: bool
) -> None:
    """Any page sizes, rows arriving between the pages: what was there at the start comes exactly once."""
    query = {"asset": "BTC", "interval": "5m", "from": NOW_MS - DAY, "to": NOW_MS - HOUR}
    expected = body(unlimited.get(FLOW, {**query, "limit": 5000}))["data"]
    instrument = market.id("bybit:perp:BTCUSDT")
    rows: list[dict[str, Any]] = []
    step = 0
    while True:
        page = body(unlimited.get(FLOW, {**query, "limit": sizes[step % len(sizes)]}))
        rows += page["data"]
        step += 1
        if inserts:
            # Newer rows, behind the window, and rows long before it.
            rows_write([bar(instrument, NOW_MS // 60_000 * 60_000 + step * 60_000, 60, 5.0, 1.0)])
            rows_write([bar(instrument, NOW_MS - 9 * DAY - step * 300_000, 300, 5.0, 1.0)])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert rows == expected
    assert len({row["ts"] for row in rows}) == len(expected) == 23 * 12


def test_an_interrupted_reader_goes_on_where_it_was(market: Market, api: Api) -> None:
    query = {"asset": "BTC", "from": LAST_SETTLEMENT - 9 * DAY, "limit": 4}
    first = body(api.get(FUNDING, query))
    again = body(api.get(FUNDING, {"asset": "BTC", "cursor": first["next_cursor"], "limit": 4}))
    repeated = body(api.get(FUNDING, {**query, "cursor": first["next_cursor"]}))
    assert again["data"] == repeated["data"]
    assert again["data"][0]["ts"] > first["data"][-1]["ts"]


def test_a_cursor_remembers_where_its_window_ends(market: Market, api: Api) -> None:
    first = body(api.get(FUNDING, {"asset": "BTC", "from": LAST_SETTLEMENT - DAY, "limit": 2}))
    later = LAST_SETTLEMENT + 16 * HOUR
    rows_write([funding_row(market.id("binance:perp:BTCUSDT"), later, 0.0005)])
    rest = pages(api, FUNDING, {"asset": "BTC", "cursor": first["next_cursor"]})
    assert [row["ts"] for row in rest] == [
        iso_utc(LAST_SETTLEMENT - 8 * HOUR),
        iso_utc(LAST_SETTLEMENT),
    ]


@pytest.mark.parametrize("path", [FUNDING, FLOW])
def test_ndjson_has_the_rows_of_the_json(market: Market, api: Api, path: str) -> None:
    query = {"asset": "BTC", "from": NOW_MS - DAY, "limit": 7}
    expected = body(api.get(path, query))
    response = api.get(path, {**query, "format": "ndjson"})
    lines = b"".join(response.streaming_content).splitlines()
    assert [orjson.loads(line) for line in lines] == expected["data"]
    assert response.headers.get("X-Next-Cursor") == expected["next_cursor"]


def test_csv_of_funding_has_the_rows_of_the_json(market: Market, api: Api) -> None:
    query = {"asset": "BTC", "from": NOW_MS - DAY}
    expected = body(api.get(FUNDING, query))["data"]
    text = b"".join(api.get(FUNDING, {**query, "format": "csv"}).streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 3 * len(expected)
    by_scope = {(row["ts"], row["venue"]): row for row in rows}
    for row in expected:
        assert float(by_scope[row["ts"], "aggregate"]["value"]) == row["aggregate"]["value"]
        for venue, detail in row["venues_detail"].items():
            line = by_scope[row["ts"], venue]
            assert (float(line["value"]), line["rate_raw"]) == (detail["value"], detail["rate_raw"])


def test_csv_of_flow_has_the_rows_of_the_json(market: Market, api: Api) -> None:
    query = {"asset": "BTC", "from": NOW_MS - DAY, "interval": "4h"}
    expected = body(api.get(FLOW, query))["data"]
    text = b"".join(api.get(FLOW, {**query, "format": "csv"}).streaming_content).decode()
    by_scope = {
        (row["ts"], row["market"], row["venue"]): row for row in csv.DictReader(io.StringIO(text))
    }
    assert len(by_scope) == 4 * len(expected)
    for row in expected:
        line = by_scope[row["ts"], "perp", "aggregate"]
        assert float(line["delta_usd"]) == row["aggregate"]["delta_usd"]
        assert line["closed"] == str(row["closed"]).lower()
        spot = by_scope[row["ts"], "spot", "binance"]
        assert float(spot["buy_usd"]) == row["spot"]["binance"]["buy_usd"]


def test_a_long_answer_leaves_in_pieces(market: Market, api: Api) -> None:
    query = {
        "asset": "BTC",
        "from": NOW_MS - 2 * DAY,
        "interval": "5m",
        "limit": 5000,
        "format": "ndjson",
    }
    pieces = list(api.get(FLOW, query).streaming_content)
    assert len(pieces) > 5
    assert b"".join(pieces).count(b"\n") >= 560


@pytest.mark.django_db(databases=["default", "market"], transaction=True)
class TestUnderAsgi:
    """The same over ASGI, where pieces are computed in a thread."""

    async def test_pieces_arrive_and_are_whole(self, market: Market, api: Api) -> None:
        query = {
            "asset": "BTC",
            "from": str(NOW_MS - 2 * DAY),
            "interval": "5m",
            "format": "ndjson",
        }
        response: Any = await AsyncClient().get(FLOW, query, headers=api.customer.headers)
        lines = [line async for piece in response.streaming_content for line in piece.splitlines()]
        assert len(lines) == 500
        assert orjson.loads(lines[0])["venues"] == {"binance": 1000, "bybit": 250}
        assert response["X-Next-Cursor"]
        # The thread's own connections would keep the test database from being dropped.
        await sync_to_async(connections.close_all)()
