"""Messages have the form of recorded ones; what else VENUES section 5 says of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from apps.sandbox.faces.okx.publisher import Fill, merge
from tests.sandbox.faces.okx.conftest import START_MS, Running, Starter
from tests.sandbox.faces.shapes import differences, document, lines

BTC, USD = "BTC-USDT-SWAP", "BTC-USD-SWAP"
NEWER = ("seqId", "prevSeqId", "source", "instIdCode", "tradeQuoteCcyList")


@pytest.mark.parametrize(
    ("path", "file", "query"),
    [
        ("/public/instruments", "http_get_instruments_swap", {"instType": "SWAP"}),
        ("/public/mark-price", "http_get_mark_price", {"instType": "SWAP", "instId": BTC}),
        ("/market/candles", "http_get_candlesticks_full", {"instId": BTC}),
        ("/market/trades", "http_get_trades", {"instId": BTC}),
        ("/market/history-trades", "http_get_trades", {"instId": BTC}),
        ("/market/books", "http_get_order_book", {"instId": BTC}),
    ],
)
async def test_answers(
    start: Starter, captures_dir: Path, path: str, file: str, query: dict[str, str]
) -> None:
    venue = await start()
    recorded = document(captures_dir / f"okx/samples/{file}.json")["data"]
    assert differences(await venue.get(path, **query), recorded, new=NEWER) == []


@pytest.mark.parametrize(
    ("file", "path", "query"),
    [
        ("http_get_index_price", "/market/index-tickers", {"instId": "BTC-USDT"}),
        ("http_get_funding_rate_history", "/public/funding-rate-history", {"instId": BTC}),
        ("http_get_instruments_option", "/public/instruments",
         {"instType": "OPTION", "instFamily": "BTC-USD"}),
        ("http_get_option_summary", "/public/opt-summary", {"instFamily": "BTC-USD"}),
    ],
)  # fmt: skip
async def test_answers_of_which_samples_show_a_part(
    start: Starter, captures_dir: Path, file: str, path: str, query: dict[str, str]
) -> None:
    """These samples are shortened: every field of theirs is there, with its type."""
    venue = await start()
    (recorded, *_) = document(captures_dir / f"okx/samples/{file}.json")["data"]
    made = (await venue.get(path, **query))[0]
    assert {name: type(made[name]) for name in recorded} == {
        name: type(value) for name, value in recorded.items()
    }


async def _pushed(venue: Running, *args: dict[str, str]) -> dict[str, Any]:
    """The first push of each (channel, action)."""
    socket = await venue.socket("public", *args)
    found: dict[str, Any] = {}
    asked = len(args)
    while True:
        message = orjson.loads((await socket.receive(timeout=5)).data)
        if message.get("event") == "subscribe":
            asked -= 1
            for _ in range(0 if asked else 60):
                venue.tick(500)
        elif "data" in message:
            found.setdefault(message["arg"]["channel"] + message.get("action", ""), message)
        if len(found) == len(args) + any(one["channel"] == "books" for one in args):
            return found


async def test_pushes(start: Starter, captures_dir: Path) -> None:
    names = ("books", "bbo-tbt", "trades", "tickers", "funding-rate")
    venue = await start()
    found = await _pushed(venue, *({"channel": name, "instId": BTC} for name in names))
    files = {
        "bookssnapshot": "ws_books_snapshot",
        "booksupdate": "ws_books_update",
        "bbo-tbt": "ws_bbo_tbt",
        "trades": "ws_trades",
        "tickers": "ws_tickers",
    }
    for name, file in files.items():
        recorded = document(captures_dir / f"okx/samples/{file}.json")
        assert differences(found[name], recorded, new=NEWER) == [], name
    books = [found[name]["data"][0] for name in ("bookssnapshot", "booksupdate")]
    assert (books[0]["prevSeqId"], books[0]["checksum"]) == (-1, 0)
    assert books[1]["prevSeqId"] == books[0]["seqId"] < books[1]["seqId"]


async def test_liquidations(start: Starter, captures_dir: Path) -> None:
    recorded = next(lines(captures_dir / "okx/liquidations/liquidation_orders_frames_2026.ndjson"))
    venue = await start(others=True)
    publisher: Any = venue.face._publisher
    sent: list[bytes] = []
    publisher._hub.publish = lambda _channel, data: sent.append(data)
    begin = 29_920_000 * 60_000
    publisher._publish_forced(begin, begin + 3 * 3_600_000)
    pushes = [orjson.loads(one) for one in sent]
    assert all(differences(one, recorded) == [] for one in pushes)
    rows = {row["instId"]: row["details"] for one in pushes for row in one["data"]}
    assert {BTC, USD} <= set(rows)
    assert all((one["posSide"] == "long") is (one["side"] == "sell") for one in rows[BTC])
    # Newest first, as nothing is promised about order.
    times = [int(one["ts"]) for one in rows[BTC]]
    assert times == sorted(times, reverse=True)
    assert len(times) > 1
    # Whole contracts of 100 USD.
    assert all(one["sz"] == str(int(one["sz"])) for one in rows[USD])


async def test_inverse_swaps_are_counted_in_contracts_of_a_hundred_dollars(start: Starter) -> None:
    venue = await start(others=True)
    rows = {row["instId"]: row for row in await venue.get("/public/instruments", instType="SWAP")}
    usd = rows[USD]
    assert (usd["ctVal"], usd["ctValCcy"], usd["ctType"], usd["settleCcy"], usd["lotSz"]) == (
        "100", "USD", "inverse", "BTC", "1",
    )  # fmt: skip
    (candle, *_) = (await venue.get("/market/candles", instId=USD, bar="1H", limit=2))[1:]
    contracts, coins, turnover = (float(one) for one in candle[5:8])
    assert contracts * 100 == pytest.approx(turnover, rel=0.01)
    assert turnover / coins == pytest.approx(float(candle[4]), rel=0.02)
    interest = {
        row["instId"]: row for row in await venue.get("/public/open-interest", instType="SWAP")
    }
    assert float(interest[USD]["oi"]) * 100 == pytest.approx(
        float(interest[USD]["oiUsd"]), rel=1e-4
    )
    indices = await venue.get("/market/index-tickers", quoteCcy="USD")
    assert [row["instId"] for row in indices] == ["BTC-USD"]
    (book,) = await venue.get("/market/books", instId=USD, sz=5)
    assert all(level[1] == str(int(level[1])) for level in book["bids"])


async def test_options_have_volatilities_as_fractions_and_two_kinds_of_greeks(
    start: Starter,
) -> None:
    venue = await start()
    rows = await venue.get("/public/opt-summary", instFamily="BTC-USD")
    listed = await venue.get("/public/instruments", instType="OPTION", instFamily="BTC-USD")
    assert [row["instId"] for row in rows] == [row["instId"] for row in listed]
    assert len(rows) > 300
    assert {row["ctMult"] for row in listed} == {"0.01"}
    strikes = {row["instId"]: float(row["stk"]) for row in listed}
    for row in rows:
        bid, mark, ask = (float(row[name]) for name in ("bidVol", "markVol", "askVol"))
        assert 0.05 < mark < 3.0
        assert bid < mark < ask
    # Call minus put: one coin's forward in USD terms, less its premiums in coins.
    pairs = {row["instId"][:-2]: {} for row in rows}  # type: dict[str, dict[str, Any]]
    for row in rows:
        pairs[row["instId"][:-2]][row["instId"][-1]] = row
    for pair in pairs.values():
        call, put = pair["C"], pair["P"]
        assert float(call["deltaBS"]) - float(put["deltaBS"]) == pytest.approx(1.0, abs=1e-8)
        forward = float(call["fwdPx"])
        assert float(call["delta"]) - float(put["delta"]) == pytest.approx(
            strikes[call["instId"]] / forward, abs=1e-6
        )
        assert float(call["vega"]) * forward == pytest.approx(float(call["vegaBS"]), abs=1e-4)
    expiry = rows[-1]["instId"].split("-")[2]
    part = await venue.get("/public/opt-summary", instFamily="BTC-USD", expTime=expiry)
    assert {row["instId"].split("-")[2] for row in part} == {expiry}
    body, _ = await venue.ask("/public/opt-summary", instFamily="DOGE-USD")
    assert body["code"] == "51000"


async def test_past_trades_page_by_number_and_by_time(start: Starter) -> None:
    venue = await start()
    path = "/market/history-trades"
    first = await venue.get(path, instId=BTC)
    assert len(first) == 100
    second = await venue.get(path, instId=BTC, after=first[-1]["tradeId"])
    numbers = [int(row["tradeId"]) for row in first + second]
    assert {a - b for a, b in pairwise(numbers)} == {1}
    newer = await venue.get(path, instId=BTC, after=first[0]["tradeId"], before=first[9]["tradeId"])
    assert newer == first[1:9]
    old = START_MS - 20 * 86_400_000
    rows = await venue.get(path, instId=BTC, type=2, after=old, limit=50)
    times = [int(row["ts"]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert old - 600_000 < times[-1] <= times[0] < old
    again = await venue.get(path, instId=BTC, after=int(rows[10]["tradeId"]), limit=5)
    assert again == rows[11:16]
    body, _ = await venue.ask(path, instId=BTC, type=3)
    assert body["code"] == "51000"


async def test_the_full_book_has_three_columns(start: Starter) -> None:
    venue = await start()
    (book,) = await venue.get("/market/books-full", instId=BTC, sz=5000)
    assert {len(level) for level in book["bids"] + book["asks"]} == {3}
    assert len(book["bids"]) > 100


async def test_realised_rates_are_not_the_forecast(start: Starter) -> None:
    venue = await start()
    rows = await venue.get("/public/funding-rate-history", instId=BTC, limit=90)
    apart = [float(row["fundingRate"]) - float(row["realizedRate"]) for row in rows]
    assert all(abs(one) <= 2e-6 for one in apart)
    assert np.std(apart) > 5e-7


async def test_days_begin_twice(start: Starter) -> None:
    venue = await start()
    (ticker,) = await venue.get("/market/ticker", instId=BTC)
    for name, bar in (("sodUtc0", "1Dutc"), ("sodUtc8", "1D")):
        ((_, opened, *_),) = await venue.get("/market/candles", instId=BTC, bar=bar, limit=1)
        assert float(ticker[name]) == pytest.approx(float(opened), rel=1e-4)
    assert ticker["sodUtc0"] != ticker["open24h"]


async def test_the_fastest_books_are_for_others(start: Starter) -> None:
    venue = await start()
    for name in ("books-l2-tbt", "books50-l2-tbt"):
        socket = await venue.socket("public", {"channel": name, "instId": BTC})
        answer = await socket.receive_json(timeout=5)
        assert (answer["event"], answer["code"]) == ("error", "60011")


async def test_limits_by_instrument_or_not(start: Starter) -> None:
    venue = await start(multiplier=0.1)
    path = "/public/funding-rate"
    await venue.get(path, instId=BTC)
    assert (await venue.ask(path, instId=BTC))[0]["code"] == "50011"
    await venue.get(path, instId="PEPE-USDT-SWAP")
    for symbol in (BTC, "PEPE-USDT-SWAP", BTC, BTC):
        await venue.get("/market/books", instId=symbol)
    assert (await venue.ask("/market/books", instId="STRK-USDT-SWAP"))[0]["code"] == "50011"


def test_fills_of_one_order_are_one_row() -> None:
    fills = [
        Fill(7, 10, 100, 2, True),
        Fill(8, 10, 100, 3, True),
        Fill(9, 10, 101, 1, True),
        Fill(10, 10, 101, 1, False),
        Fill(11, 12, 101, 4, False),
    ]
    assert merge(fills) == [
        (Fill(8, 10, 100, 5, True), 2),
        (Fill(9, 10, 101, 1, True), 1),
        (Fill(10, 10, 101, 1, False), 1),
        (Fill(11, 12, 101, 4, False), 1),
    ]


async def test_a_book_without_changes_speaks_once_a_minute(start: Starter) -> None:
    venue = await start()
    publisher: Any = venue.face._publisher
    market = publisher._market
    still = market.book(publisher._feeds[BTC].wire.listing, START_MS // 200)

    def unchanged(_listing: Any, step: int) -> Any:
        return replace(still, step=step, time_ms=step * 200)

    socket = await venue.socket("public", {"channel": "books", "instId": BTC})
    assert (await socket.receive_json(timeout=5))["event"] == "subscribe"
    first = (await socket.receive_json(timeout=5))["data"][0]
    sent: list[bytes] = []
    publisher._market = type("Still", (), {"book": staticmethod(unchanged)})()
    publisher._hub.publish = lambda _channel, data: sent.append(data)
    feed = publisher._feeds[BTC]
    for second in range(1, 150):
        publisher._publish_book(feed, {"books"}, START_MS + second * 1_000)
    beats = [orjson.loads(one)["data"][0] for one in sent]
    assert len(beats) == 2
    for beat in beats:
        assert (beat["bids"], beat["asks"]) == ([], [])
        assert beat["seqId"] == beat["prevSeqId"] == first["seqId"]
