"""Volume-flow answers: a replay's windows are the sums of its trades; silence is not quiet."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from apps.core.redis import sync_redis
from apps.ingest.bars import BarBuilder, MinuteBar
from apps.marketdata.events import Side, Trade
from apps.marketdata.live import LiveState, OpenBar, SourceStatus, write_live
from apps.marketdata.rows import BarRow
from apps.marketdata.writers import rows_write
from apps.markets.refresh_flow import minute_cache
from apps.markets.snapshots import build_volume_flow
from tests.markets.world import DAY, HOUR, NOW_MS, Market, bar, perp

pytestmark = pytest.mark.django_db(databases=["default", "market"])

MINUTE = 60_000
ETH = perp("binance", "ETH")


def trades(count: int, span_ms: int) -> list[Trade]:
    rng = random.Random(4)
    return [
        Trade(
            instrument=ETH,
            ts_event=(NOW_MS - rng.randrange(1, span_ms)) * 1_000_000,
            ts_recv=NOW_MS * 1_000_000,
            price=round(2000 + rng.gauss(0, 30), 2),
            qty_base=round(rng.lognormvariate(0, 2), 3),
            aggressor_side=rng.choice((Side.BUY, Side.SELL)),
            trade_id=str(number),
        )
        for number in range(count)
    ]


def row_of(instrument_id: int, one: MinuteBar) -> BarRow:
    row = bar(instrument_id, one.open_ts_ms, 60, one.volume_usd, one.buy_usd)
    return row._replace(
        volume_base=one.volume_base, buy_base=one.buy_base, trades=one.trades, known_at=one.end_ms
    )


def live_state(open_bar: OpenBar | None = None, age_ms: int = 500) -> LiveState:
    state = LiveState.of(ETH)
    state.ts_recv_ms = state.trade_ts_ms = NOW_MS - age_ms
    state.open_bar = open_bar
    return state


def put_live(state: LiveState, status: str = "ok") -> None:
    source = SourceStatus(venue="binance", status=status, last_ok_ms=NOW_MS)
    write_live(sync_redis(), [state], [source])


def recorded(market: Market, made: list[Trade]) -> None:
    """As ingest does it: closed minutes to the table, the newest into live state."""
    builder = BarBuilder()
    for trade in sorted(made, key=lambda trade: trade.ts_event):
        builder.add(trade, trade.ts_event // 1_000_000)
    closed = builder.close_due(NOW_MS)
    newest = builder.newest()
    assert newest is not None
    rows_write([row_of(market.id(ETH.key), one) for one in closed])
    put_live(
        live_state(
            OpenBar(
                newest.open_ts_ms,
                *(newest.open, newest.high, newest.low, newest.close),
                *(newest.volume_base, newest.volume_usd, newest.buy_base, newest.buy_usd),
                newest.trades,
            )
        )
    )


def test_the_window_of_a_recording_is_the_sum_of_its_trades(market: Market) -> None:
    made = trades(4000, 9 * MINUTE)
    recorded(market, made)
    found = build_volume_flow(["ETH"])[0]
    buys = [trade for trade in made if trade.aggressor_side is Side.BUY]
    window = found["windows"]["24h"]
    assert window["trades"] == 4000
    assert window["volume_base"] == round(math.fsum(t.qty_base for t in made), 8)
    assert window["buy_base"] == round(math.fsum(t.qty_base for t in buys), 8)
    usd = math.fsum(t.price * t.qty_base for t in made)
    buy_usd = math.fsum(t.price * t.qty_base for t in buys)
    assert window["volume_usd"] == pytest.approx(usd, abs=1e-5)
    assert window["delta_usd"] == pytest.approx(2 * buy_usd - usd, abs=1e-5)
    assert window["taker_buy_ratio"] == pytest.approx(buy_usd / usd, abs=1e-6)
    assert window["sell_base"] == pytest.approx(window["volume_base"] - window["buy_base"])
    assert found["cvd"]["value_usd"] == window["delta_usd"]
    assert found["venues"] == {"binance": found["windows"]["1h"]["delta_usd"]}
    # Nine minutes of a day are known, and no history to rank them in.
    assert window["coverage"] == pytest.approx(9 / 1440, abs=0.001)
    assert found["aggregate"]["value"] == window["delta_usd"]
    assert found["aggregate"]["interpretation"] == "insufficient_history"


def test_short_windows_hold_their_minutes(market: Market) -> None:
    made = trades(3000, 9 * MINUTE)
    recorded(market, made)
    start_ms = NOW_MS - NOW_MS % MINUTE - 5 * MINUTE
    inside = [trade for trade in made if trade.ts_event // 1_000_000 >= start_ms]
    window = build_volume_flow(["ETH"])[0]["windows"]["5m"]
    assert window["trades"] == len(inside)
    assert window["volume_base"] == round(math.fsum(t.qty_base for t in inside), 8)
    assert window["coverage"] == 1.0


def minutes(market: Market, key: str, count: int, scale: float = 1.0) -> None:
    last = NOW_MS - NOW_MS % MINUTE
    rows_write(
        [
            bar(market.id(key), last - number * MINUTE, 60, 1000 * scale, 600 * scale)
            for number in range(1, count + 1)
        ]
    )


def test_the_hour_is_ranked_in_its_own_grid(market: Market) -> None:
    key = ETH.key
    grid_end = NOW_MS // 300_000 * 300_000
    # 20 days in which taker delta per 5 minutes rises from 0 to 1.
    count = 20 * 288
    rows_write(
        [
            bar(market.id(key), grid_end - number * 300_000, 300, 2.0, 2.0 - number / count / 2)
            for number in range(1, count + 1)
        ]
    )
    minutes(market, key, 70, scale=0.001)
    put_live(live_state())
    aggregate = build_volume_flow(["ETH"])[0]["aggregate"]
    # 60 minutes of 0.6 bought and 0.4 sold: 12 USD; the grid's hours run from 12 to 24.
    assert aggregate["value"] == pytest.approx(12.0)
    assert aggregate["samples"] == count - 11
    assert aggregate["percentile_30d"] == pytest.approx(0.0, abs=0.002)
    assert aggregate["state"] == "buyers_dominate"


def test_perpetuals_and_spot_stand_apart(published: Market) -> None:
    minutes(published, "binance:perp:BTCUSDT", 60)
    minutes(published, "binance:spot:BTCUSDT", 60, scale=0.5)
    minutes(published, "bybit:perp:BTCUSDT", 60, scale=0.25)
    # Written behind the back of the process that published.
    minute_cache.clear()
    found = build_volume_flow(["BTC"])[0]
    assert found["venues"] == {"binance": 12_000.0, "bybit": 3_000.0}
    assert found["aggregate"]["value"] == 15_000.0
    assert found["spot"]["venues"] == {"binance": 6_000.0}
    assert found["spot"]["windows"]["1h"]["delta_usd"] == 6_000.0
    assert found["venues_detail"]["binance"]["spot"]["windows"]["1h"]["volume_usd"] == 30_000.0
    assert "spot" not in found["venues_detail"]["bybit"]


def test_a_silent_venue_is_unknown_not_quiet(market: Market) -> None:
    last = NOW_MS - NOW_MS % MINUTE
    rows_write([bar(market.id(ETH.key), last - n * MINUTE, 60, 1000, 600) for n in range(30, 1500)])
    put_live(live_state(age_ms=30 * MINUTE))
    found = build_volume_flow(["ETH"])[0]
    assert found["windows"]["5m"]["null_reason"] == "no_data"
    detail = found["venues_detail"]["binance"]
    assert detail["windows"]["5m"]["volume_usd"] is None
    assert detail["windows"]["1h"]["coverage"] == pytest.approx(0.5, abs=0.02)
    assert (detail["value"], detail["null_reason"]) == (None, "stale")
    assert found["aggregate"]["null_reason"] == "stale"
    assert found["venues"] == {}
    assert found["meta"]["partial"] is True


def test_a_minute_is_never_counted_twice(market: Market) -> None:
    """The bar in the making was stored between the two reads: the fuller one counts."""
    minutes(market, ETH.key, 60)
    last = NOW_MS - NOW_MS % MINUTE - MINUTE
    put_live(live_state(OpenBar(last, 100, 101, 99, 100, 9.0, 900.0, 5.5, 550.0, 9)))
    stored = build_volume_flow(["ETH"])[0]["windows"]["1h"]
    assert (stored["volume_usd"], stored["trades"]) == (60_000.0, 600)
    put_live(live_state(OpenBar(last, 100, 101, 99, 100, 11.0, 1100.0, 6.6, 660.0, 11)))
    fuller = build_volume_flow(["ETH"])[0]["windows"]["1h"]
    assert (fuller["volume_usd"], fuller["trades"]) == (60_100.0, 601)


def test_the_past_is_answered_from_the_bars_that_reach_it(market: Market) -> None:
    """No minutes a day ago: the 5-minute bars serve, aligned to their grid."""
    moment = NOW_MS - DAY
    found = build_volume_flow(["BTC"], moment)[0]
    assert found["venues"] == {"binance": 12_000.0, "bybit": 3_000.0}
    assert found["windows"]["5m"]["volume_usd"] == 6_250.0
    assert found["meta"]["as_of"] == "2026-05-16T20:14:30Z"


def test_the_past_does_not_know_the_future(market: Market) -> None:
    moment = NOW_MS - DAY
    before: Any = build_volume_flow(["BTC"], moment)
    late = bar(market.id("binance:perp:BTCUSDT"), moment - HOUR, 60, 1e9, 1e9)
    rows_write([late._replace(known_at=moment + 1)])
    assert build_volume_flow(["BTC"], moment) == before


def test_answers_keep_the_order_of_the_question(published: Market) -> None:
    found = build_volume_flow(["WIF", "BTC", "TRX", "ETH"])
    assert [one["asset"] for one in found] == ["WIF", "BTC", "TRX", "ETH"]
