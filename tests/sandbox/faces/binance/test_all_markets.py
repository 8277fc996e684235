"""All-market streams carry coin-margined contracts too, and say so with ``st``."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from apps.sandbox.market.dated import deliveries, ms_of
from tests.sandbox.conftest import Client, Starter
from tests.sandbox.faces.binance.following import BEGIN, published

DAY_MS = 86_400_000


def of(messages: list[dict[str, Any]], stream: str) -> list[Any]:
    return [one["data"] for one in messages if one["stream"] == stream]


def test_liquidations_of_coin_margined_contracts_come_in_dollars_contracts() -> None:
    messages = published(["!forceOrder@arr"], BEGIN, BEGIN + 1_800_000, 1_000)
    orders = [one["o"] for one in of(messages, "!forceOrder@arr")]
    coins = [one for one in orders if one["st"] == 2]
    assert coins
    assert {one["s"] for one in coins} <= {"BTCUSD_PERP", "ETHUSD_PERP"}
    for one in coins:
        # A whole number of contracts, not coins.
        assert one["q"] == one["z"] == str(int(one["q"]))
        assert one["ps"] == one["s"].removesuffix("_PERP")
    ours = [one for one in orders if one["st"] == 1]
    assert all(one["ps"] == one["s"] and not one["s"].endswith("_PERP") for one in ours)


def test_tickers_mini_tickers_and_quotes_of_all() -> None:
    names = ["!ticker@arr", "!miniTicker@arr", "!bookTicker", "btcusdt@miniTicker"]
    messages = published(names, BEGIN, BEGIN + 2_100)
    for name in names[:2]:
        rows = of(messages, name)[0]
        assert {row["st"] for row in rows if row["s"].endswith("_PERP")} == {2}
        assert {row["st"] for row in rows if not row["s"].endswith("_PERP")} == {1}
    assert of(messages, "btcusdt@miniTicker")[0]["e"] == "24hrMiniTicker"
    quotes = of(messages, "!bookTicker")
    assert {row["st"] for row in quotes if row["s"] == "BTCUSD_PERP"} == {2}
    # A ticker's turnover of coin-margined contracts is in coins: volume × 100 USD / price.
    row = next(one for one in of(messages, "!ticker@arr")[0] if one["s"] == "BTCUSD_PERP")
    assert float(row["q"]) * float(row["w"]) / (float(row["v"]) * 100.0) == pytest.approx(
        1.0, rel=0.02
    )


def test_marks_of_all_are_of_stablecoin_margin_alone() -> None:
    (rows, *_) = of(published(["!markPrice@arr@1s"], BEGIN, BEGIN + 1_100), "!markPrice@arr@1s")
    assert {row["st"] for row in rows} == {1}
    assert {"BTCUSDT", "BTCUSDC"} <= {row["s"] for row in rows}


def test_dated_contracts_speak_as_futures_do() -> None:
    (delivery, *_) = deliveries(BEGIN)
    symbol = f"btcusdt_{delivery:%y%m%d}"
    channels = [f"{symbol}@depth", f"{symbol}@aggTrade", f"{symbol}@bookTicker"]
    messages = published(channels, BEGIN, BEGIN + 60_000, 250)
    books = of(messages, channels[0])
    assert all(b["pu"] == a["u"] for a, b in pairwise(books))
    assert {one["st"] for one in books} == {1}
    assert all("nq" in one and "M" not in one for one in of(messages, channels[1]))
    assert {one["e"] for one in of(messages, channels[2])} == {"bookTicker"}


def test_a_delivery_is_told_on_contract_info() -> None:
    at = ms_of(deliveries(BEGIN)[0])
    told = of(published(["!contractInfo"], at - 2_000, at + 2_000, 500), "!contractInfo")
    assert {(one["s"], one["cs"]) for one in told} == {
        (f"{asset}USDT_{deliveries(BEGIN)[0]:%y%m%d}", "SETTLING") for asset in ("BTC", "ETH")
    }
    assert {one["dt"] for one in told} == {at}


def test_speeds_that_the_venue_has_not_bring_nothing() -> None:
    names = ["btcusdt@depth@0ms", "btcusdt@depth@1000ms", "btcusdt@depth5@250ms"]
    assert {one["stream"] for one in published(names, BEGIN, BEGIN + 1_100)} == {names[2]}


async def test_the_coin_margined_list_shares_the_weight(start: Starter) -> None:
    client = await start()
    rows = (await client.get("um", "/dapi/v1/exchangeInfo"))["symbols"]
    assert {(row["symbol"], row["contractSize"]) for row in rows} == {
        ("BTCUSD_PERP", 100),
        ("ETHUSD_PERP", 10),
    }
    assert client.binance("um").limits.weight.used == 1
    # They have no place among the others.
    symbols = {
        one["symbol"] for one in (await client.get("um", "/fapi/v1/exchangeInfo"))["symbols"]
    }
    assert "BTCUSD_PERP" not in symbols
    assert await client.refused("um", "/fapi/v1/depth", symbol="BTCUSD_PERP") == (400, -1121)


async def test_special_settlements_stand_beside_the_regular_ones(start: Starter) -> None:
    client = await start()
    now = client.binance("um").source.now_ms()
    rows = await client.get(
        "um", "/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=now - 330 * DAY_MS, limit=1000
    )
    kinds = [row["rateType"] for row in rows]
    assert 980 <= kinds.count("Normal") <= 999
    assert kinds.count("Special") == 1000 - kinds.count("Normal") or len(rows) < 1000
    regular = [row["fundingTime"] for row in rows if row["rateType"] == "Normal"]
    assert {round((b - a) / 3_600_000, 2) for a, b in pairwise(regular)} == {8.0}
    # Pages meet: what follows the middle is the rest.
    middle = rows[len(rows) // 2]["fundingTime"]
    rest = await client.get(
        "um", "/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=middle + 1, limit=1000
    )
    assert rows[len(rows) // 2 + 1 :] == rest[: len(rows) - len(rows) // 2 - 1]


async def test_trades_older_than_two_days_are_gone(start: Starter) -> None:
    client: Client = await start()
    now = client.binance("um").source.now_ms()
    old, recent = now - 3 * DAY_MS, now - DAY_MS
    query = {"symbol": "BTCUSDT", "limit": 5}
    span = {"startTime": old, "endTime": old + 600_000}
    assert await client.get("um", "/fapi/v1/aggTrades", **query, **span) == []
    span = {"startTime": recent, "endTime": recent + 600_000}
    assert len(await client.get("um", "/fapi/v1/aggTrades", **query, **span)) == 5


async def test_spot_says_when_it_shuts_down(start: Starter) -> None:
    client = await start()
    ws = await client.socket("spot", "/ws")
    client.binance("spot").sockets.announce_end()
    message = await ws.receive_json(timeout=5)
    assert (message["e"], set(message)) == ("serverShutdown", {"e", "E"})
