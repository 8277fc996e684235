"""Candles over REST and in snapshots: values, kinds, pages, ``as_of``, formats."""

from __future__ import annotations

import csv
import io
import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.clock import iso_utc
from apps.core.redis import sync_redis
from apps.marketdata.live import LiveState, OpenBar, SourceStatus, write_live
from apps.marketdata.rows import BarRow
from apps.marketdata.writers import rows_write
from apps.markets.snapshots import build_ohlcv
from tests.markets.conftest import OHLCV, Api
from tests.markets.test_history import body, pages
from tests.markets.world import DAY, HOUR, NOW_MS, Market, bar, perp

pytestmark = pytest.mark.django_db(databases=["default", "market"])
MINUTE = 60_000
ETH = perp("binance", "ETH")
MIDNIGHT = NOW_MS // DAY * DAY
"""A Sunday's."""


def candle(
    instrument_id: int,
    ts: int,
    ohlc: tuple[float, float, float, float],
    usd: float,
    step_s: int = 60,
) -> BarRow:
    open_, high, low, close = ohlc
    row = bar(instrument_id, ts, step_s, usd, usd / 2)
    return row._replace(open=open_, high=high, low=low, close=close)


def put_live(open_bar: OpenBar | None = None, age_ms: int = 500) -> None:
    state = LiveState.of(ETH)
    state.ts_recv_ms = state.trade_ts_ms = NOW_MS - age_ms
    state.open_bar = open_bar
    source = SourceStatus(venue="binance", status="ok", last_ok_ms=NOW_MS)
    write_live(sync_redis(), [state], [source])


def rows_in(api: Api, query: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(api.get(OHLCV, query))["data"]
    return found


def test_history_is_made_of_what_was_traded(market: Market, api: Api) -> None:
    start = MIDNIGHT - 5 * DAY
    first, second = (market.id(f"{venue}:perp:BTCUSDT") for venue in ("binance", "bybit"))
    rows_write(
        [
            candle(first, start, (10, 14, 9, 12), 300),
            candle(first, start + 7 * MINUTE, (12, 13, 8, 11), 100),
            candle(second, start + 2 * MINUTE, (11, 12, 10, 10), 100),
            candle(first, start + 16 * MINUTE, (20, 21, 19, 20), 50),
        ]
    )
    query = {"asset": "BTC", "interval": "15m", "from": start, "to": start + HOUR}
    quarter, next_quarter = rows_in(api, query)
    assert quarter["ts"] == iso_utc(start)
    assert quarter["kind"] == "perp"
    assert quarter["closed"] is True
    assert quarter["venues"] == {"binance": 11.0, "bybit": 10.0}
    one = quarter["venues_detail"]["binance"]
    assert [one[name] for name in ("open", "high", "low", "close")] == [10, 14, 8, 11]
    assert (one["volume_usd"], one["volume_base"], one["trades"]) == (400, 4, 20)
    total = quarter["aggregate"]
    # Weights 0.8 and 0.2.
    assert [total[name] for name in ("open", "high", "low", "close")] == [10.2, 13.6, 8.4, 10.8]
    assert (total["volume_usd"], total["trades"]) == (500, 30)
    assert next_quarter["ts"] == iso_utc(start + 15 * MINUTE)
    assert next_quarter["aggregate"] == next_quarter["venues_detail"]["binance"]
    # Minutes without a trade have no row, and the other half of the hour neither.
    minutes = rows_in(api, {**query, "interval": "1m"})
    assert [row["ts"] for row in minutes] == [iso_utc(start + n * MINUTE) for n in (0, 2, 7, 16)]


def test_weeks_start_on_monday(market: Market, api: Api) -> None:
    monday = int(datetime(2026, 5, 4, tzinfo=UTC).timestamp() * 1000)
    instrument = market.id("binance:perp:ETHUSDT")
    ends = (monday, monday + 7 * DAY - MINUTE, monday + 7 * DAY)
    rows_write(
        [candle(instrument, ts, (5 + n, 6 + n, 4 + n, 5 + n), 10) for n, ts in enumerate(ends)]
    )
    query = {"asset": "ETH", "interval": "1w", "from": monday - 7 * DAY, "to": NOW_MS}
    week, this_week = rows_in(api, query)
    assert (week["ts"], week["closed"]) == ("2026-05-04T00:00:00Z", True)
    one = week["venues_detail"]["binance"]
    assert [one[name] for name in ("open", "high", "low", "close")] == [5, 7, 4, 6]
    assert (this_week["ts"], this_week["closed"]) == ("2026-05-11T00:00:00Z", False)
    # A week counts by its opening.
    assert rows_in(api, {**query, "from": monday + 1}) == [this_week]
    assert pages(api, OHLCV, {**query, "limit": 1}) == [week, this_week]


def test_spot_is_asked_for(market: Market, api: Api) -> None:
    query = {"asset": "BTC", "from": NOW_MS - DAY, "kind": "spot", "limit": 5}
    page = body(api.get(OHLCV, query))
    assert page["meta"]["venues"] == ["binance"]
    assert {row["kind"] for row in page["data"]} == {"spot"}
    assert page["data"][0]["venues_detail"]["binance"]["volume_usd"] == 30_000
    rest = rows_in(api, {"asset": "BTC", "cursor": page["next_cursor"]})
    assert {row["kind"] for row in rest} == {"spot"}
    foreign = api.get(OHLCV, {"asset": "BTC", "cursor": page["next_cursor"], "kind": "perp"})
    assert (foreign.status_code, foreign.json()["param"]) == (400, "cursor")
    wrong = api.get(OHLCV, {"asset": "BTC", "kind": "option"})
    assert (wrong.status_code, wrong.json()["param"]) == (400, "kind")
    # Other endpoints have no such parameter.
    assert api.get("/v1/markets/funding", {"asset": "BTC", "kind": "perp"}).status_code == 400


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 150), min_size=1, max_size=6),
    interval=st.sampled_from(["5m", "15m", "30m", "4h"]),
)
def test_pages_lose_and_repeat_nothing(
    market: Market, unlimited: Api, sizes: list[int], interval: str
) -> None:
    """Any page sizes, rows arriving between the pages: what was there comes exactly once."""
    query = {"asset": "BTC", "interval": interval, "from": NOW_MS - DAY, "to": NOW_MS - HOUR}
    expected = body(unlimited.get(OHLCV, {**query, "limit": 5000}))["data"]
    rows: list[dict[str, Any]] = []
    step = 0
    while True:
        page = body(unlimited.get(OHLCV, {**query, "limit": sizes[step % len(sizes)]}))
        rows += page["data"]
        step += 1
        late = NOW_MS // MINUTE * MINUTE + step * MINUTE
        rows_write([bar(market.id("bybit:perp:BTCUSDT"), late, 60, 5.0, 1.0)])
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert rows == expected


def test_csv_and_ndjson_have_the_rows_of_the_json(market: Market, api: Api) -> None:
    query = {"asset": "BTC", "from": NOW_MS - DAY, "interval": "4h"}
    expected = rows_in(api, query)
    lines = b"".join(api.get(OHLCV, {**query, "format": "ndjson"}).streaming_content).splitlines()
    assert [orjson.loads(line) for line in lines] == expected
    text = b"".join(api.get(OHLCV, {**query, "format": "csv"}).streaming_content).decode()
    found = {(row["ts"], row["venue"]): row for row in csv.DictReader(io.StringIO(text))}
    assert len(found) == 3 * len(expected)
    for row in expected:
        line = found[row["ts"], "aggregate"]
        assert (line["kind"], line["closed"]) == ("perp", str(row["closed"]).lower())
        assert float(line["high"]) == row["aggregate"]["high"]
        assert int(found[row["ts"], "bybit"]["trades"]) == row["venues_detail"]["bybit"]["trades"]


def test_the_current_answer_has_the_last_and_the_open_candle(market: Market) -> None:
    instrument = market.id(ETH.key)
    minute = NOW_MS // MINUTE * MINUTE
    rows_write(
        [candle(instrument, minute - n * MINUTE, (50, 52, 49, 51), 60) for n in range(1, 90)]
    )
    put_live(OpenBar(minute, 51.0, 56.0, 50.5, 55.0, 2.0, 106.0, 1.0, 53.0, 7))
    found = build_ohlcv(["ETH"])[0]
    detail = found["venues_detail"]["binance"]
    minutes, hours = detail["bars"]["1m"], detail["bars"]["1h"]
    assert minutes["last"]["ts"] == iso_utc(minute - MINUTE)
    assert (minutes["last"]["closed"], minutes["last"]["close"]) == (True, 51)
    assert (minutes["open"]["ts"], minutes["open"]["closed"]) == (iso_utc(minute), False)
    assert (minutes["open"]["high"], minutes["open"]["trades"]) == (56.0, 7)
    since = NOW_MS // HOUR * HOUR
    assert hours["open"]["ts"] == iso_utc(since)
    assert hours["open"]["volume_usd"] == (minute - since) // MINUTE * 60 + 106
    assert (hours["open"]["open"], hours["open"]["close"]) == (50, 55.0)
    # 60 closed minutes and the one in the making.
    assert detail["volume"]["value"] == 60 * 60 + 106
    assert detail["value"] == pytest.approx(10.0)
    assert (detail["state"], detail["price"]) == ("rising_fast", 55.0)
    assert found["aggregate"]["bars"] == detail["bars"]
    assert found["aggregate"]["weighting"] == "none"
    assert found["venues"] == {"binance": detail["value"]}


def test_the_hour_is_ranked_against_its_own_hours(market: Market) -> None:
    instrument, grid_end = market.id(ETH.key), NOW_MS // 300_000 * 300_000
    rng = random.Random(5)
    prices = [100.0]
    for _ in range(20 * 288):
        prices.append(round(prices[-1] * (1 + rng.gauss(0, 0.001)), 6))
    rows_write(
        [
            candle(instrument, grid_end - n * 300_000, (a, a, a, b), 10.0 + n % 7, 300)
            for n, (a, b) in enumerate(pairwise(prices), start=1)
        ]
    )
    minute = NOW_MS // MINUTE * MINUTE
    # The 5-minute bars of the last hours saw less than these.
    rows_write(
        [candle(instrument, minute - n * MINUTE, (100, 103, 100, 103), 99.0) for n in range(1, 120)]
    )
    put_live()
    aggregate = build_ohlcv(["ETH"])[0]["aggregate"]
    assert aggregate["value"] == pytest.approx(3.0)
    assert aggregate["window_kind"] == "rolling_1h_return"
    assert aggregate["percentile_30d"] > 0.99
    assert aggregate["interpretation"] == "extreme_high"
    assert aggregate["volume"]["value"] == 60 * 99.0
    # The last two hours of the grid are the minutes' own; all others are smaller.
    assert aggregate["volume"]["percentile_30d"] > 0.99
    assert aggregate["volume"]["z_score"] > 2
    assert aggregate["samples"] == 20 * 288 - 11


def test_an_hour_that_is_not_whole_is_not_ranked(market: Market) -> None:
    instrument, minute = market.id(ETH.key), NOW_MS // MINUTE * MINUTE
    rows_write([candle(instrument, minute - n * MINUTE, (5, 5, 5, 5), 9.0) for n in range(1, 20)])
    put_live()
    found = build_ohlcv(["ETH"])[0]
    detail = found["venues_detail"]["binance"]
    assert (detail["value"], detail["null_reason"]) == (None, "insufficient_history")
    assert detail["volume"]["value"] is None
    assert detail["price"] == 5
    assert found["venues"] == {}
    assert found["aggregate"]["venues_missing"] == ["binance"]


def test_a_silent_venue_is_not_in_the_aggregate(market: Market) -> None:
    instrument, minute = market.id(ETH.key), NOW_MS // MINUTE * MINUTE
    rows_write([candle(instrument, minute - n * MINUTE, (5, 5, 5, 5), 9.0) for n in range(1, 99)])
    put_live(age_ms=30 * MINUTE)
    found = build_ohlcv(["ETH"])[0]
    assert found["aggregate"]["null_reason"] == "stale"
    assert found["aggregate"]["bars"]["1h"] == {
        "last": None,
        "open": None,
        "null_reason": "no_data",
    }
    assert found["meta"]["partial"] is True


def test_kind_and_venue_choose_from_the_current_answer(published: Market, api: Api) -> None:
    both = api.get(OHLCV, "asset=BTC").json()
    spot = api.get(OHLCV, "asset=BTC&kind=spot").json()
    perpetual = api.get(OHLCV, "asset=BTC&kind=perp").json()
    assert both["kind"] == perpetual["kind"] == "perp"
    assert spot["kind"] == "spot"
    assert spot["aggregate"] == both["spot"]["aggregate"]
    assert spot["venues_detail"] == both["spot"]["venues_detail"]
    assert spot["meta"]["sources"] == both["spot"]["sources"]
    assert perpetual == {name: block for name, block in both.items() if name != "spot"}
    one = api.get(OHLCV, "asset=BTC&venue=bybit").json()
    assert "spot" not in one
    assert set(one["venues_detail"]) == {"bybit"}
    assert one["aggregate"]["bars"] == both["venues_detail"]["bybit"]["bars"]
    bare = api.get(OHLCV, "asset=BTC&aggregate=false").json()
    assert "aggregate" not in bare
    assert "aggregate" not in bare["spot"]
    text = api.get(OHLCV, "asset=BTC&format=csv").content.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(row["kind"], row["venue"]) for row in rows} == {
        ("perp", "aggregate"),
        ("perp", "binance"),
        ("perp", "bybit"),
        ("spot", "aggregate"),
        ("spot", "binance"),
    }
    hour = next(row for row in rows if row["interval"] == "1h" and row["closed"] == "true")
    assert float(hour["close"]) == both["aggregate"]["bars"]["1h"]["last"]["close"]


@pytest.mark.parametrize("interval", ["5m", "1h", "1d"])
def test_history_then_does_not_know_what_came_later(
    market: Market, api: Api, interval: str
) -> None:
    """Causality: with ``as_of`` neither later bars nor late ones change anything."""
    moment = NOW_MS - 5 * HOUR
    query = {"asset": "BTC", "interval": interval, "from": NOW_MS - 2 * DAY, "as_of": moment}
    before = rows_in(api, query)
    now = rows_in(api, {**query, "as_of": NOW_MS})
    assert before
    assert before[-1]["ts"] <= iso_utc(moment)
    closed = [row for row in before if row["closed"]]
    assert closed == now[: len(closed)]
    late = candle(market.id("binance:perp:BTCUSDT"), moment - HOUR, (1, 9e9, 1, 9e9), 9e9)
    rows_write([late._replace(known_at=moment + 1)])
    assert rows_in(api, query) == before


def test_the_current_answer_then_does_not_know_what_came_later(market: Market) -> None:
    moment = NOW_MS - DAY
    before = build_ohlcv(["BTC"], moment)
    # The grid's own bars reach further back than the minutes.
    detail = before[0]["venues_detail"]["binance"]
    assert detail["volume"]["value"] == 60_000
    assert detail["bars"]["1m"]["last"] is None
    assert detail["bars"]["1h"]["last"]["volume_usd"] == 60_000
    late = candle(market.id("binance:perp:BTCUSDT"), moment - HOUR, (1, 9e9, 1, 9e9), 9e9)
    rows_write([late._replace(known_at=moment + 1)])
    assert build_ohlcv(["BTC"], moment) == before
