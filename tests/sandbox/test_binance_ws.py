"""The WebSocket protocol and the model's streams over loopback."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import aiohttp
import orjson

from apps.sandbox.faces.binance.listings import binance_listings
from apps.sandbox.faces.binance.plan import plan
from apps.sandbox.faces.binance.publisher import Publisher
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.registry import urls
from apps.sandbox.faults import Faults
from apps.sandbox.market.candles import bar_of_trades
from apps.sandbox.market.model import SeededMarket
from tests.sandbox.conftest import Client, Starter
from tests.sandbox.faces.binance.following import Keeper

FAST = 8.0


async def read(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    return [await ws.receive_json(timeout=FAST) for _ in range(count)]


async def is_silent(ws: aiohttp.ClientWebSocketResponse, seconds: float = 0.6) -> bool:
    try:
        await ws.receive(timeout=seconds)
    except TimeoutError:
        return True
    return False


async def ask(ws: aiohttp.ClientWebSocketResponse, request: Any) -> Any:
    await ws.send_str(request if isinstance(request, str) else orjson.dumps(request).decode())
    return await ws.receive_json(timeout=FAST)


async def test_books_only_on_public_everything_else_only_on_market(start: Starter) -> None:
    client = await start()
    book = await client.socket("um", "/public/ws", "btcusdt@depth@100ms")
    assert (await read(book, 1))[0]["e"] == "depthUpdate"
    mark = await client.socket("um", "/market/ws", "btcusdt@markPrice@1s")
    assert (await read(mark, 1))[0]["e"] == "markPriceUpdate"
    # Acknowledged, and then nothing: the trap that clients must notice by themselves.
    silent = [
        await client.socket("um", "/market/ws", "btcusdt@depth@100ms"),
        await client.socket("um", "/public/ws", "btcusdt@markPrice@1s"),
        await client.socket("um", "/ws", "btcusdt@depth@100ms"),
        await client.socket("um", "/public/ws", "nopeusdt@depth@100ms"),
    ]
    assert all(await asyncio.gather(*(is_silent(ws, 1.3) for ws in silent)))


async def test_combined_and_raw_framing(start: Starter) -> None:
    client = await start()
    by_url = await client.socket(
        "um", "/public/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker"
    )
    message = (await read(by_url, 1))[0]
    assert message["stream"] in ("btcusdt@bookTicker", "ethusdt@bookTicker")
    assert message["data"]["e"] == "bookTicker"
    assert message["data"]["st"] == 1
    raw = await client.socket("spot", "/ws/btcusdt@bookTicker")
    quote = (await read(raw, 1))[0]
    assert set(quote) == {"u", "s", "b", "B", "a", "A"}


async def test_requests_and_refusals(start: Starter) -> None:
    client = await start()
    ws = await client.socket("um", "/market/ws", "ethusdt@forceOrder")
    assert await ask(ws, {"method": "LIST_SUBSCRIPTIONS", "id": 2}) == {
        "result": ["ethusdt@forceOrder"],
        "id": 2,
    }
    gone = await ask(ws, {"method": "UNSUBSCRIBE", "params": ["ethusdt@forceOrder"], "id": 3})
    assert gone == {"result": None, "id": 3}
    assert (await ask(ws, {"method": "LIST_SUBSCRIPTIONS", "id": 4}))["result"] == []
    assert (await ask(ws, "{oops"))["error"]["code"] == 3
    assert (await ask(ws, {"method": "SHOUT", "id": 5}))["error"]["code"] == 2
    assert (await ask(ws, {"params": []}))["error"]["code"] == 2
    too_many = [f"x{n}usdt@aggTrade" for n in range(1_025)]
    refused = await ask(ws, {"method": "SUBSCRIBE", "params": too_many, "id": 6})
    assert "1024" in refused["error"]["msg"]


async def test_a_flood_of_requests_is_cut(start: Starter) -> None:
    client = await start()
    ws = await client.socket("um", "/market/ws")
    for number in range(40):
        await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
    answers = 0
    async for _ in ws:
        answers += 1
    assert ws.close_code == 1008
    assert 10 <= answers <= 20


async def synchronised(client: Client, face: str, symbol: str) -> int:
    """Follow a book by the venue's rules; returns how many updates were applied without a gap."""
    spot = face == "spot"
    ws = await client.socket(face, "/ws" if spot else "/public/ws", f"{symbol.lower()}@depth@100ms")
    updates = await read(ws, 2)
    path = "/api/v3/depth" if spot else "/fapi/v1/depth"
    body = await client.get(face, path, symbol=symbol, limit=1000)
    updates += await read(ws, 8)
    last = body["lastUpdateId"]
    book = {"b": dict(body["bids"]), "a": dict(body["asks"])}
    kept = [one for one in updates if one["u"] > last or (not spot and one["u"] == last)]
    assert kept[0]["U"] <= last <= kept[0]["u"]
    for before, after in pairwise(kept):
        assert after["U"] == before["u"] + 1
        assert spot == ("pu" not in after)
        assert spot or after["pu"] == before["u"]
    for one in kept:
        for side in ("b", "a"):
            for price, size in one[side]:
                book[side][price] = size
            book[side] = {price: size for price, size in book[side].items() if float(size) > 0}
    assert max(map(float, book["b"])) < min(map(float, book["a"]))
    # The same book as the model's own at that step.
    source: Any = client.binance(face).source
    market = source._market
    listing = source._listings[symbol]
    step = kept[-1]["u"] // (listing.book_step_ms * 41 // 100)
    model = market.book(listing, step)
    assert book["b"] == {listing.price(p): listing.size(q) for p, q in model.bids.items()}
    assert book["a"] == {listing.price(p): listing.size(q) for p, q in model.asks.items()}
    return len(kept)


async def test_rest_book_and_updates_join_without_a_gap(start: Starter) -> None:
    client = await start()
    counts = await asyncio.gather(
        synchronised(client, "um", "BTCUSDT"), synchronised(client, "spot", "ETHUSDT")
    )
    assert min(counts) >= 7


async def test_a_dropped_update_shows_in_the_chain(start: Starter) -> None:
    client = await start()
    ws = await client.socket("um", "/public/ws", "btcusdt@depth@100ms")
    before = (await read(ws, 1))[0]
    assert await client.post("/faults", {"fault": "gap", "symbol": "BTCUSDT"}) == {"fault": "gap"}
    updates = [before, *await read(ws, 4)]
    breaks = [b["pu"] != a["u"] for a, b in pairwise(updates)]
    assert breaks.count(True) == 1


async def test_stall_malformed_mute_and_cut(start: Starter) -> None:
    client = await start()
    ws = await client.socket("um", "/public/ws", "btcusdt@depth@100ms")
    await client.post("/faults", {"fault": "malformed", "kind": "book"})
    texts = [(await ws.receive(timeout=FAST)).data for _ in range(3)]
    assert sum(text == '{"e":"depthUpdate","E":17230' for text in texts) == 1
    await client.post("/faults", {"fault": "ack_without_data"})
    mute = await client.socket("um", "/public/ws", "btcusdt@depth@100ms")
    assert await is_silent(mute)
    dropped = await client.post("/faults", {"fault": "drop_connections", "path": "public"})
    assert dropped == {"fault": "drop_connections", "dropped": 2}
    async for _ in ws:
        pass
    assert ws.closed


async def test_http_faults_and_unknown_ones(start: Starter) -> None:
    client = await start()
    fault = {"fault": "http_status", "path": "/fapi/v1/time", "status": 503, "count": 1}
    await client.post("/faults", fault)
    assert (await client.refused("um", "/fapi/v1/time"))[0] == 503
    assert (await client.get("um", "/fapi/v1/time"))["serverTime"] > 1e12
    assert "expected one of" in (await client.post("/faults", {"fault": "earthquake"}))["error"]
    assert "seconds" in (await client.post("/faults", {"fault": "stall", "symbol": "X"}))["error"]


def published(channels: list[str], from_ms: int, to_ms: int) -> list[dict[str, Any]]:
    """Everything the publisher sends between two moments, with a clock of our own."""
    market = SeededMarket(3, binance_listings(("BTC", "ETH")))
    hub = Hub(Faults(lambda: 0.0))
    clock = [from_ms]
    perps = [one for one in market.listings if one.is_perp]
    publisher = Publisher(market, perps, hub, lambda: clock[0])
    connection = Keeper()
    hub.add(connection)
    hub.subscribe(connection, channels, silent=False)
    for now in range(from_ms, to_ms, 50):
        clock[0] = now
        publisher.tick(now)
    return [orjson.loads(one) for one in connection.messages]


def test_candles_equal_the_trades_that_were_streamed() -> None:
    minute = 29_920_000
    channels = ["btcusdt@aggTrade", "btcusdt@kline_1m"]
    messages = published(channels, minute * 60_000 - 50, (minute + 1) * 60_000 + 1_000)
    trades = [
        one["data"]
        for one in messages
        if one["stream"].endswith("aggTrade") and one["data"]["T"] // 60_000 == minute
    ]
    closed = [
        one["data"]["k"] for one in messages if "kline" in one["stream"] and one["data"]["k"]["x"]
    ]
    candle = next(one for one in closed if one["t"] == minute * 60_000)
    assert [one["a"] for one in trades] == list(range(trades[0]["a"], trades[0]["a"] + len(trades)))
    assert candle["n"] == len(trades) == candle["L"] - candle["f"] + 1
    prices = [float(one["p"]) for one in trades]
    assert (float(candle["o"]), float(candle["c"])) == (prices[0], prices[-1])
    assert (float(candle["h"]), float(candle["l"])) == (max(prices), min(prices))
    volume = round(sum(float(one["q"]) for one in trades), 3)
    assert float(candle["v"]) == volume
    bought = round(sum(float(one["q"]) for one in trades if not one["m"]), 3)
    assert float(candle["V"]) == bought
    quote = sum(float(one["q"]) * float(one["p"]) for one in trades)
    assert abs(float(candle["q"]) - quote) < 0.01


async def test_klines_served_since_the_start_equal_the_trades(start: Starter) -> None:
    client = await start()
    source: Any = client.binance("um").source
    now = source.now_ms()
    source._started_ms = now - 5 * 60_000
    rows = await client.get("um", "/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=4)
    listing = source._listings["BTCUSDT"]
    for row in rows[:-1]:
        tape = source._market.tape(listing, row[0] // 60_000)
        made = bar_of_trades(listing, tape, row[6])
        assert made is not None
        o, h, low, c, volume, buy, quote, buy_quote, count = made
        assert row[1:5] == [listing.price(x) for x in (o, h, low, c)]
        assert (row[5], row[9], row[8]) == (listing.size(volume), listing.size(buy), count)
        assert (row[7], row[10]) == (f"{quote:.5f}", f"{buy_quote:.5f}")


def test_forced_orders_are_throttled_to_the_largest_of_a_second() -> None:
    begin = 29_920_000 * 60_000
    messages = published(["!forceOrder@arr", "btcusdt@forceOrder"], begin, begin + 900_000)
    everyone = [one["data"]["o"] for one in messages if one["stream"] == "!forceOrder@arr"]
    assert len(everyone) > 5
    seconds = [(one["s"], one["T"] // 1_000) for one in everyone]
    assert len(seconds) == len(set(seconds))
    own = [one["data"]["o"] for one in messages if one["stream"] == "btcusdt@forceOrder"]
    assert own == [one for one in everyone if one["s"] == "BTCUSDT"]
    assert {one["S"] for one in everyone} == {"BUY", "SELL"}


def test_marks_once_a_second_and_all_in_one() -> None:
    begin = 29_920_000 * 60_000
    messages = published(["!markPrice@arr@1s", "ethusdt@markPrice"], begin, begin + 6_050)
    arrays = [one["data"] for one in messages if one["stream"] == "!markPrice@arr@1s"]
    assert len(arrays) == 6
    assert [row["s"] for row in arrays[0]] == ["BTCUSDT", "ETHUSDT"]
    assert [row[0]["E"] - begin for row in arrays] == [1_000 * n for n in range(1, 7)]
    assert sum(one["stream"] == "ethusdt@markPrice" for one in messages) == 2


def test_depth_streams_of_every_speed_keep_their_chain() -> None:
    begin = 29_920_000 * 60_000
    names = ["btcusdt@depth@100ms", "btcusdt@depth", "btcusdt@depth@500ms", "btcusdt@depth20@100ms"]
    messages = published(names, begin, begin + 3_050)
    for name, fewest in zip(names[:3], (29, 10, 5), strict=True):
        own = [one["data"] for one in messages if one["stream"] == name]
        assert len(own) >= fewest
        assert all(b["pu"] == a["u"] for a, b in pairwise(own)), name
    top = next(one["data"] for one in messages if one["stream"] == names[3])
    assert len(top["b"]) == len(top["a"]) == 20


def test_the_plan_leaves_out_what_the_venue_does_not_know() -> None:
    listings = {one.symbol.lower(): one for one in binance_listings(("BTC",)) if one.is_perp}
    wanted = plan(
        {"btcusdt@nonsense", "BTCUSDT@aggTrade", "xusdt@aggTrade", "btcusdt@depth5"}, listings
    )
    assert list(wanted) == ["btcusdt"]
    assert [one.levels for one in wanted["btcusdt"].depth] == [5]
    assert not wanted["btcusdt"].has_trades


def test_urls_follow_the_port() -> None:
    binance = urls("127.0.0.1", 9_000)["binance"]
    assert binance["ws"] == "ws://127.0.0.1:9001"
    assert binance["spot"] == {"rest": "http://127.0.0.1:9002", "ws": "ws://127.0.0.1:9002"}
