"""Messages have the form of recorded ones."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.sandbox.faces.bybit.conftest import Starter, Venue
from tests.sandbox.faces.shapes import differences, document, lines

ONE: dict[str, Any] = {"category": "linear", "symbol": "BTCUSDT"}


async def first_of_each(venue: Venue, topics: list[str], path: str = "linear") -> dict[str, Any]:
    """The first push of each (topic, type), until each topic has spoken twice."""
    socket = await venue.socket(path)
    await socket.send_json({"op": "subscribe", "args": topics, "req_id": ""})
    found: dict[str, Any] = {"ack": await socket.receive_json(timeout=5)}
    # A quiet minute of spot has no trade at all.
    async with asyncio.timeout(180):
        while True:
            message = await socket.receive_json()
            found.setdefault(f"{message['topic']} {message['type']}", message)
            if len(found) > len(topics) + sum(one.startswith(("order", "tick")) for one in topics):
                break
    await socket.close()
    return found


async def test_pushes(start: Starter, captures_dir: Path) -> None:
    recorded: dict[str, Any] = {}
    for message in lines(captures_dir / "bybit/book/linear_stream_20260809.ndjson.gz"):
        name = f"{message['topic']} {message['type']}" if "topic" in message else "ack"
        recorded.setdefault(name, message)
    venue = await start()
    topics = ["orderbook.200.BTCUSDT", "tickers.BTCUSDT", "publicTrade.BTCUSDT", "kline.1.BTCUSDT"]
    found = await first_of_each(venue, topics)
    assert set(found) == {
        "ack",
        "orderbook.200.BTCUSDT snapshot",
        "orderbook.200.BTCUSDT delta",
        "tickers.BTCUSDT snapshot",
        "tickers.BTCUSDT delta",
        "publicTrade.BTCUSDT snapshot",
        "kline.1.BTCUSDT snapshot",
    }
    for name, message in found.items():
        if name.startswith("tickers") and message["type"] == "delta":
            assert list(message) == list(recorded[name])
            assert set(message["data"]) <= set(recorded["tickers.BTCUSDT snapshot"]["data"])
            continue
        assert differences(message, recorded[name]) == [], name


async def test_lists_and_series(start: Starter, captures_dir: Path) -> None:
    venue, folder = await start(), captures_dir / "bybit"

    async def same(path: str, file: str, *, new: tuple[str, ...] = (), **query: Any) -> None:
        body = document(folder / file)
        assert differences(await venue.get(path, **query), body["result"], new=new) == [], path

    await same("tickers", "ticker/tickers_linear_BTCUSDT_20260908.json", **ONE)
    await same(
        "open-interest",
        "open_interest/open_interest_1h_BTCUSDT_20260908.json",
        intervalTime="1h",
        **ONE,
    )
    await same(
        "account-ratio", "long_short/account_ratio_BTCUSDT_20260908.json", period="1h", **ONE
    )
    await same(
        "instruments-info",
        "instruments/instruments_info_linear_20260809.json.gz",
        category="linear",
    )
    await same("kline", "samples/http_get_klines_linear.json", interval="1", **ONE)
    await same("orderbook", "samples/http_get_orderbook.json", **ONE)
    await same("funding/history", "samples/http_get_funding_history.json", **ONE)
    newer = ("isRPITrade", "seq")
    await same("recent-trade", "samples/http_get_trades_recent.json", new=newer, **ONE)


async def test_liquidations(start: Starter, captures_dir: Path) -> None:
    """Batches of half a second; ``S`` is the position's side, the price is bankruptcy's."""
    recorded = list(lines(captures_dir / "bybit/liquidations/allLiquidation_frames_2026.ndjson"))
    venue = await start()
    publisher: Any = venue.face._publisher
    market = publisher._market
    listing = publisher._feeds["BTCUSDT"].listing
    minute, orders = next(
        (minute, orders)
        for minute in range(29_920_000, 29_930_000)
        if len(orders := market.liquidations(listing, minute)) > 1
    )
    sent: list[bytes] = []
    publisher._send = lambda _channel, data: sent.append(data)
    for half in range(120):
        begin = minute * 60_000 + half * 500
        publisher._publish_forced(listing, begin, begin + 500)
    pushes = [orjson.loads(one) for one in sent]
    assert all(differences(one, recorded[0]) == [] for one in pushes)
    rows = [row for one in pushes for row in one["data"]]
    assert [(row["T"], row["S"]) for row in rows] == [
        (one.time_ms, "Sell" if one.is_buy else "Buy") for one in orders
    ]
    for row, order in zip(rows, orders, strict=True):
        fill = order.price * listing.tick
        assert (float(row["p"]) > fill) is order.is_buy
    for one in pushes:
        assert all(0 <= one["ts"] - row["T"] <= 500 for row in one["data"])


async def test_spot_has_a_path_and_lists_of_its_own(start: Starter) -> None:
    venue = await start()
    rows = (await venue.get("instruments-info", category="spot"))["list"]
    assert [row["symbol"] for row in rows] == ["BTCUSDT", "ETHUSDT", "PEPEUSDT", "ARBUSDT"]
    spot = {"category": "spot", "symbol": "PEPEUSDT"}
    (ticker,) = (await venue.get("tickers", **spot))["list"]
    linear = (await venue.get("tickers", category="linear", symbol="1000PEPEUSDT"))["list"][0]
    assert float(ticker["lastPrice"]) * 1000 == pytest.approx(float(linear["lastPrice"]), rel=0.01)
    assert len((await venue.get("recent-trade", limit=500, **spot))["list"]) == 60
    assert len((await venue.get("recent-trade", limit=500, **ONE))["list"]) == 500
    assert len((await venue.get("kline", interval="5", **spot))["list"]) == 200
    for path in ("funding/history", "mark-price-kline", "open-interest", "account-ratio"):
        extra = {"interval": "1", "intervalTime": "1h", "period": "1h"}
        assert await venue.refused(path, **spot, **extra) == (200, 10001), path
    found = await first_of_each(
        venue, ["orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "kline.1.BTCUSDT"], "spot"
    )
    trade = found["publicTrade.BTCUSDT snapshot"]["data"][0]
    assert list(trade) == ["T", "s", "S", "v", "p", "i", "BT", "RPI", "seq"]
    # The same name on both sockets is two markets.
    price = float(trade["p"])
    perps = (await venue.get("recent-trade", limit=1000, **ONE))["list"]
    spots = (await venue.get("recent-trade", category="spot", symbol="BTCUSDT"))["list"]
    assert trade["i"] in {row["execId"] for row in spots}
    assert trade["i"] not in {row["execId"] for row in perps}
    assert price == pytest.approx(float(perps[0]["price"]), rel=0.01)


async def test_spot_takes_ten_topics_a_request_and_no_liquidations(start: Starter) -> None:
    venue = await start()
    socket = await venue.socket("spot")

    async def ask(*topics: str) -> Any:
        await socket.send_json({"op": "subscribe", "args": list(topics), "req_id": "1"})
        while True:
            answer = await socket.receive_json(timeout=5)
            if "op" in answer:
                return answer

    kinds = ("publicTrade", "tickers", "kline.1", "kline.5")
    topics = [f"{kind}.{name}USDT" for kind in kinds for name in ("BTC", "ETH", "PEPE")]
    assert (await ask(*topics[:11]))["success"] is False
    assert (await ask("allLiquidation.BTCUSDT"))["success"] is False
    assert (await ask(*topics[:10]))["success"] is True
    again = await ask(topics[0])
    assert (again["success"], again["ret_msg"]) == (
        False,
        "error:already subscribed,topic:publicTrade.BTCUSDT",
    )
    await socket.close()


async def test_an_address_holds_so_many_connections_to_a_market(start: Starter) -> None:
    venue = await start(("BTC",), 0.003)
    venue.face.sockets._connects.most = 100
    held = [await venue.socket() for _ in range(3)]
    with pytest.raises(Exception, match="403"):
        await venue.socket()
    held.append(await venue.socket("spot"))
    for socket in held:
        await socket.close()


async def test_the_touch_is_told_when_it_changes_and_after_three_seconds(start: Starter) -> None:
    venue = await start()
    publisher: Any = venue.face._publisher
    listing = publisher._feeds["ARBUSDT"].listing
    sent: list[tuple[int, bytes]] = []
    step = 0
    feed = publisher._feeds["ARBUSDT"]
    feed.best = None
    begin = 29_920_000 * 60_000 // listing.book_step_ms
    publisher._send = lambda channel, data: sent.append((step, data))
    for step in range(begin, begin + 60_000 // listing.book_step_ms):
        publisher._publish_best(feed, step)
    pushes = [(step * listing.book_step_ms, orjson.loads(data)["data"]) for step, data in sent]
    assert len(pushes) >= 20
    for (before, old), (now, new) in pairwise(pushes):
        changed = (old["b"], old["a"]) != (new["b"], new["a"])
        assert changed or now - before >= 3_000
        assert now - before <= 3_000 + listing.book_step_ms
