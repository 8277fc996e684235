"""Deribit's methods over HTTP: forms, units, paging, refusals."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from tests.sandbox.faces.deribit.conftest import Served

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_instruments(served: Served) -> None:
    futures = await served.get("get_instruments", currency="BTC", kind="future")
    assert [row["instrument_name"] for row in futures] == ["BTC-PERPETUAL"]
    assert (futures[0]["contract_size"], futures[0]["settlement_currency"]) == (10.0, "BTC")
    linear = await served.get("get_instruments", currency="USDC", kind="future")
    assert {row["instrument_name"] for row in linear} == {
        "SOL_USDC-PERPETUAL",
        "XRP_USDC-PERPETUAL",
        "BTC_USDC-PERPETUAL",
        "ETH_USDC-PERPETUAL",
    }
    options = await served.get("get_instruments", currency="USDC", kind="option")
    names = [row["instrument_name"] for row in options]
    assert len(names) == len(set(names)) > 200
    assert any(name.startswith("XRP_USDC-") and "d" in name.split("-")[2] for name in names)
    assert all(row["expiration_timestamp"] > now_ms() for row in options)
    assert len(await served.get("get_instruments")) > 4 + 4 * len(names)


async def test_inverse_amounts_are_whole_contracts_in_usd(served: Served) -> None:
    book = await served.get("get_order_book", instrument_name="BTC-PERPETUAL", depth=20)
    assert len(book["bids"]) == len(book["asks"]) == 20
    assert book["bids"][0][0] < book["asks"][0][0]
    assert all(amount >= 10 and amount % 10 == 0 for _, amount in book["bids"] + book["asks"])
    assert book["open_interest"] % 10 == 0
    assert book["open_interest"] > 1e8
    summary = (await served.get("get_book_summary_by_currency", currency="BTC", kind="future"))[0]
    assert summary["volume"] * summary["mark_price"] == pytest.approx(
        summary["volume_usd"], rel=0.1
    )


async def test_trades_page_by_time(served: Served) -> None:
    end = now_ms() - 60_000
    start = end - 10 * 60_000
    name = "get_last_trades_by_instrument_and_time"
    query = {"instrument_name": "ETH-PERPETUAL", "end_timestamp": end}
    page = await served.get(name, **query, start_timestamp=start, count=100, sorting="asc")
    rows = page["trades"]
    assert (len(rows), page["has_more"]) == (100, True)
    assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
    rest = await served.get(
        name, **query, start_timestamp=rows[-1]["timestamp"], count=1000, sorting="asc"
    )
    ids = [row["trade_id"] for row in rows] + [
        row["trade_id"] for row in rest["trades"] if row["timestamp"] > rows[-1]["timestamp"]
    ]
    assert len(ids) == len(set(ids)) > 110
    assert not rest["has_more"]
    newest = await served.get("get_last_trades_by_currency", currency="USDC", count=5)
    assert len(newest["trades"]) == 5
    assert newest["trades"][0]["timestamp"] >= newest["trades"][-1]["timestamp"]
    flags = {row.get("liquidation") for row in rows}
    assert flags <= {None, "T", "M", "MT"}


async def test_funding_history_of_thirty_days(served: Served) -> None:
    end = now_ms()
    rows = await served.get(
        "get_funding_rate_history",
        instrument_name="BTC-PERPETUAL",
        start_timestamp=end - 30 * DAY_MS,
        end_timestamp=end,
    )
    assert len(rows) == 720
    assert {b["timestamp"] - a["timestamp"] for a, b in pairwise(rows)} == {HOUR_MS}
    at = 100
    assert rows[at]["interest_8h"] == pytest.approx(
        sum(row["interest_1h"] for row in rows[at - 7 : at + 1]), abs=1e-9
    )
    longer = await served.get(
        "get_funding_rate_history",
        instrument_name="BTC-PERPETUAL",
        start_timestamp=end - 60 * DAY_MS,
        end_timestamp=end,
    )
    assert len(longer) == 744


async def test_candles_agree_with_trades(served: Served) -> None:
    minute = now_ms() // 60_000 * 60_000 - 120_000
    chart = await served.get(
        "get_tradingview_chart_data",
        instrument_name="SOL_USDC-PERPETUAL",
        start_timestamp=minute,
        end_timestamp=minute + 59_999,
        resolution="1",
    )
    assert (chart["status"], chart["ticks"]) == ("ok", [minute])
    trades = await served.get(
        "get_last_trades_by_instrument_and_time",
        instrument_name="SOL_USDC-PERPETUAL",
        start_timestamp=minute,
        end_timestamp=minute + 59_999,
        count=1000,
    )
    amounts = [row["amount"] for row in trades["trades"]]
    assert chart["volume"][0] == pytest.approx(sum(amounts))
    assert chart["open"][0] == trades["trades"][0]["price"]
    month = await served.get(
        "get_tradingview_chart_data",
        instrument_name="BTC-PERPETUAL",
        start_timestamp=now_ms() - 30 * DAY_MS,
        end_timestamp=now_ms(),
        resolution="30",
    )
    assert len(month["ticks"]) == 1440


async def test_volatility_index_pages_backwards(served: Served) -> None:
    end = now_ms()
    query = {"currency": "BTC", "resolution": "60", "start_timestamp": end - DAY_MS}
    page = await served.get("get_volatility_index_data", **query, end_timestamp=end)
    assert len(page["data"]) == 1000
    before = await served.get(
        "get_volatility_index_data", **query, end_timestamp=page["continuation"]
    )
    assert before["data"][-1][0] == page["data"][0][0] - 60_000
    assert before["continuation"] is None
    assert all(low <= o <= high for _, o, high, low, _ in page["data"])


async def test_refusals(served: Served) -> None:
    assert await served.refused("nothing") == (400, -32601)
    assert await served.refused("ticker") == (400, -32602)
    assert await served.refused("ticker", instrument_name="BTC-NOPE") == (400, 13020)
    assert await served.refused("get_instruments", currency="NOPE") == (400, -32602)
    assert await served.refused(
        "get_tradingview_chart_data",
        instrument_name="BTC-PERPETUAL", resolution="7", start_timestamp=0, end_timestamp=1,
    ) == (400, -32602)  # fmt: skip
    assert await served.refused("get_index_price", index_name="btc_nope") == (400, -32602)


async def test_the_venue_s_own_limits(strict: Served) -> None:
    await strict.get("get_instruments", currency="BTC", kind="future")
    refused = await strict.refused("get_instruments", currency="BTC", kind="future")
    assert refused == (429, 10028)
    strict.wall.ahead_s += 1.1
    await strict.get("get_instruments", currency="ETH")
    codes = [
        (await strict.refused("get_index_price", index_name="none_usd"))[1] for _ in range(130)
    ]
    # A burst of a hundred, then twenty a second.
    assert codes[:90] == [-32602] * 90
    assert 10028 in codes[95:]
