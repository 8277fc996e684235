"""Deribit's WebSocket: subscriptions, books that continue, heartbeats, refusals."""

from __future__ import annotations

from typing import Any

import aiohttp

from apps.sandbox.faces.base import StreamEntry
from apps.sandbox.faces.deribit.face import channel_of, stream_of
from tests.sandbox.faces.deribit.conftest import Served

BOOK = "book.BTC-PERPETUAL.100ms"


def apply(book: dict[str, dict[float, float]], data: Any) -> None:
    for side in ("bids", "asks"):
        for action, price, amount in data[side]:
            if action == "delete":
                del book[side][price]
            else:
                assert (action == "new") == (price not in book[side])
                book[side][price] = amount


async def test_books_begin_with_a_snapshot_and_continue(served: Served) -> None:
    socket = await served.socket()
    answer = await socket.call("public/subscribe", channels=[BOOK, "book.NOPE-PERPETUAL.100ms"])
    assert answer["result"] == [BOOK]
    assert answer["usOut"] >= answer["usIn"]
    first = await socket.data(BOOK)
    assert first["type"] == "snapshot"
    book: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
    apply(book, first)
    last = first["change_id"]
    for _ in range(8):
        change = await socket.data(BOOK)
        assert (change["type"], change["prev_change_id"]) == ("change", last)
        last = change["change_id"]
        apply(book, change)
        assert max(book["bids"]) < min(book["asks"])
    # A second reader joins the same chain, and both books are one.
    other = await served.socket()
    await other.call("public/subscribe", channels=[BOOK])
    whole = await other.data(BOOK)
    while last < whole["change_id"]:
        change = await socket.data(BOOK)
        apply(book, change)
        last = change["change_id"]
    assert last == whole["change_id"]
    fresh: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
    apply(fresh, whole)
    assert fresh == book
    assert served.subscribed == {BOOK}


async def test_every_kind_of_channel_speaks(served: Served) -> None:
    socket = await served.socket()
    option = (await served.get("get_instruments", currency="BTC", kind="option"))[0]
    channels = [
        "trades.future.any.100ms",
        "trades.option.BTC.100ms",
        "book.SOL_USDC-PERPETUAL.none.10.100ms",
        "ticker.XRP_USDC-PERPETUAL.100ms",
        "quote.ETH-PERPETUAL",
        "perpetual.ETH-PERPETUAL.100ms",
        "markprice.options.xrp_usdc",
        "deribit_price_index.btc_usd",
        "deribit_volatility_index.eth_usd",
        "chart.trades.BTC-PERPETUAL.1",
        f"ticker.{option['instrument_name']}.100ms",
        "instrument.state.option.BTC",
    ]
    answer = await socket.call("public/subscribe", channels=channels)
    assert answer["result"] == channels
    # A trade may come or not; nothing is listed before eight.
    waiting = set(channels) - {"trades.option.BTC.100ms", "instrument.state.option.BTC"}
    seen: dict[str, Any] = {}
    while waiting:
        frame = await socket.ws.receive_json(timeout=5)
        channel = frame["params"]["channel"]
        assert channel != "instrument.state.option.BTC"
        seen.setdefault(channel, frame["params"]["data"])
        waiting.discard(channel)
    marks = seen["markprice.options.xrp_usdc"]
    assert len(marks) > 100
    assert all(0.2 < row["iv"] < 5 for row in marks)
    assert 40 < seen["deribit_volatility_index.eth_usd"]["volatility"] < 100
    assert seen["ticker.XRP_USDC-PERPETUAL.100ms"]["current_funding"] is not None
    assert len(seen["book.SOL_USDC-PERPETUAL.none.10.100ms"]["bids"]) == 10


async def test_raw_channels_need_a_login(served: Served) -> None:
    socket = await served.socket()
    answer = await socket.call("public/subscribe", channels=["trades.BTC-PERPETUAL.raw"])
    assert answer["error"]["code"] == 13778
    many = ["quote.BTC-PERPETUAL"] * 501
    assert (await socket.call("public/subscribe", channels=many))["error"]["code"] == -32602
    assert (await socket.call("private/buy"))["error"]["code"] == -32601
    assert (await socket.call("public/get_time"))["result"] > 1_700_000_000_000


async def test_heartbeats_must_be_answered(served: Served) -> None:
    socket = await served.socket()
    assert (await socket.call("public/set_heartbeat", interval=5))["error"]["code"] == -32602
    assert (await socket.call("public/set_heartbeat", interval=10))["result"] == "ok"
    served.wall.ahead_s += 10
    beat = await socket.ws.receive_json(timeout=5)
    assert beat == {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}}
    assert "version" in (await socket.call("public/test"))["result"]
    served.wall.ahead_s += 10
    assert (await socket.ws.receive_json(timeout=5))["params"]["type"] == "test_request"
    served.wall.ahead_s += 10
    assert (await socket.ws.receive(timeout=5)).type in (
        aiohttp.WSMsgType.CLOSE,
        aiohttp.WSMsgType.CLOSED,
        aiohttp.WSMsgType.ERROR,
    )


async def test_too_many_subscribe_calls_close_the_connection(strict: Served) -> None:
    socket = await strict.socket()
    channels = ["quote.BTC-PERPETUAL"]
    answers = [await socket.call("public/subscribe", channels=channels) for _ in range(11)]
    assert "result" in answers[9]
    assert answers[10]["error"]["code"] == 10028
    while (message := await socket.ws.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type is aiohttp.WSMsgType.CLOSE
    assert message.data == 1008


def test_recorded_frames_find_their_channel() -> None:
    frame = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"%b","data":{}}}'
    assert channel_of(frame % BOOK.encode()) == BOOK
    assert channel_of(b'{"jsonrpc":"2.0","id":1,"result":[]}') is None
    assert stream_of(BOOK) == StreamEntry("public", BOOK, "book", "BTC-PERPETUAL")
    assert stream_of("trades.option.USDC.100ms") == StreamEntry(
        "public", "trades.option.USDC.100ms", "trade", ""
    )
    raw = "book.BTC-PERPETUAL.raw"
    assert stream_of(raw) == StreamEntry("public", raw, "book", "BTC-PERPETUAL")
    assert stream_of("chart.trades.BTC-PERPETUAL.1") is None
