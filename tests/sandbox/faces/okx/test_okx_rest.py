"""REST of the face: rows as the venue writes them, newest first, refusals with HTTP 200."""

from __future__ import annotations

from itertools import pairwise

import pytest

from apps.marketdata.universe import ASSETS
from apps.sandbox.faces.okx.face import listings
from tests.sandbox.faces.okx.conftest import DAY_MS, START_MS, Starter

BTC, PEPE, STRK = "BTC-USDT-SWAP", "PEPE-USDT-SWAP", "STRK-USDT-SWAP"
MINUTE_MS = 60_000


def test_listings_are_the_venues_own() -> None:
    by_asset = {one.asset: one for one in listings(ASSETS)}
    assert len(by_asset) == 65
    assert by_asset["PEPE"].contract_size == 10_000_000.0
    assert by_asset["GRAM"].symbol == "GRAM-USDT-SWAP"
    assert (by_asset["BTC"].contract_size, by_asset["BTC"].tick) == (0.01, 0.1)
    assert {one.price_mult for one in by_asset.values()} == {1.0}
    assert {one.funding_interval_h for one in by_asset.values()} == {1, 2, 4, 8}
    for one in by_asset.values():
        assert float(one.price(1)) == pytest.approx(one.tick), one.symbol
        assert float(one.size(1)) == pytest.approx(one.lot), one.symbol


async def test_instruments(start: Starter) -> None:
    venue = await start()
    rows = {row["instId"]: row for row in await venue.get("/public/instruments", instType="SWAP")}
    assert set(rows) == {BTC, PEPE, STRK}
    btc = rows[BTC]
    assert (btc["ctVal"], btc["ctMult"], btc["ctValCcy"], btc["ctType"]) == (
        "0.01", "1", "BTC", "linear",
    )  # fmt: skip
    assert (btc["tickSz"], btc["lotSz"], btc["settleCcy"], btc["state"]) == (
        "0.1", "0.01", "USDT", "live",
    )  # fmt: skip
    assert rows[PEPE]["ctVal"] == "10000000"
    (only,) = await venue.get("/public/instruments", instType="SWAP", instId=BTC)
    assert only == btc


async def test_candles_come_newest_first_in_three_volumes(start: Starter) -> None:
    venue = await start()
    rows = await venue.get("/market/candles", instId=BTC, bar="1m", limit=3)
    times = [int(row[0]) for row in rows]
    assert times == [START_MS // MINUTE_MS * MINUTE_MS - at * MINUTE_MS for at in range(3)]
    assert [row[8] for row in rows] == ["0", "1", "1"]
    for row in rows:
        contracts, coins, quote = (float(value) for value in row[5:8])
        assert coins == pytest.approx(contracts * 0.01)
        assert quote / coins == pytest.approx(float(row[4]), rel=0.01)
        assert float(row[3]) <= min(float(row[1]), float(row[4]))


async def test_candle_pages_join_without_gap_or_repeat(start: Starter) -> None:
    venue = await start()
    older: list[int] = []
    after = START_MS
    for _ in range(3):
        page = await venue.get("/market/history-candles", instId=BTC, bar="5m", after=after)
        older += [int(row[0]) for row in page]
        after = older[-1]
    assert len(older) == 300
    assert {a - b for a, b in pairwise(older)} == {300_000}
    newer = await venue.get("/market/candles", instId=BTC, bar="5m", before=older[10], limit=300)
    assert [int(row[0]) for row in newer] == older[:10]
    deep = START_MS - 10 * DAY_MS
    assert await venue.get("/market/candles", instId=BTC, bar="1m", after=deep) == []
    assert len(await venue.get("/market/history-candles", instId=BTC, bar="1m", after=deep)) == 100


async def test_a_days_bar_starts_at_utc8_unless_it_says_utc(start: Starter) -> None:
    venue = await start()
    ((utc8, *_),) = await venue.get("/market/candles", instId=BTC, bar="1D", limit=1)
    ((utc, *_),) = await venue.get("/market/candles", instId=BTC, bar="1Dutc", limit=1)
    assert int(utc) % DAY_MS == 0
    assert int(utc8) % DAY_MS == 16 * 3_600_000


async def test_mark_and_index_candles(start: Starter) -> None:
    venue = await start()
    mark = await venue.get("/market/mark-price-candles", instId=BTC, bar="1H", limit=3)
    index = await venue.get("/market/index-candles", instId="BTC-USDT", bar="1H", limit=3)
    assert [row[0] for row in mark] == [row[0] for row in index]
    assert {len(row) for row in mark + index} == {6}
    assert float(mark[1][4]) == pytest.approx(float(index[1][4]), rel=0.01)


async def test_funding_now_and_then_agree(start: Starter) -> None:
    venue = await start()
    rows = {row["instId"]: row for row in await venue.get("/public/funding-rate", instId="ANY")}
    hours = {
        symbol: (int(row["nextFundingTime"]) - int(row["fundingTime"])) / 3_600_000
        for symbol, row in rows.items()
    }
    assert hours == {BTC: 8, PEPE: 4, STRK: 1}
    for symbol, row in rows.items():
        (newest,) = await venue.get("/public/funding-rate-history", instId=symbol, limit=1)
        assert newest["fundingTime"] == row["prevFundingTime"]
        assert newest["realizedRate"] == row["settFundingRate"]
        assert row["nextFundingRate"] == ""


async def test_a_month_of_funding_in_pages(start: Starter) -> None:
    venue = await start()
    times: list[int] = []
    after = START_MS
    while after > START_MS - 30 * DAY_MS:
        page = await venue.get("/public/funding-rate-history", instId=STRK, after=after)
        times += [int(row["fundingTime"]) for row in page]
        after = times[-1]
    assert {a - b for a, b in pairwise(times)} == {3_600_000}
    assert len(times) >= 720


async def test_open_interest_now_and_then_agree(start: Starter) -> None:
    venue = await start()
    rows = await venue.get("/public/open-interest", instType="SWAP")
    assert [row["instId"] for row in rows] == [BTC, PEPE, STRK]
    pepe = rows[1]
    assert float(pepe["oiCcy"]) == pytest.approx(float(pepe["oi"]) * 1e7)
    (mark,) = await venue.get("/public/mark-price", instType="SWAP", instId=PEPE)
    assert float(pepe["oiUsd"]) == pytest.approx(
        float(pepe["oiCcy"]) * float(mark["markPx"]), rel=1e-6
    )
    history = await venue.get(
        "/rubik/stat/contracts/open-interest-history", instId=PEPE, period="5m", limit=5
    )
    assert [int(a[0]) - int(b[0]) for a, b in pairwise(history)] == [300_000] * 4
    assert float(history[0][1]) == pytest.approx(float(pepe["oi"]), rel=0.02)


async def test_statistics(start: Starter) -> None:
    venue = await start()
    base = "/rubik/stat/contracts"
    for path in (
        f"{base}/long-short-account-ratio-contract",
        f"{base}/long-short-account-ratio-contract-top-trader",
        f"{base}/long-short-position-ratio-contract-top-trader",
    ):
        rows = await venue.get(path, instId=BTC, period="1H", limit=4)
        assert len(rows) == 4
        assert all(0.2 < float(ratio) < 5 for _, ratio in rows)
    end = int(rows[-1][0])
    (older,) = await venue.get(path, instId=BTC, period="1H", limit=1, end=end)
    assert int(older[0]) == end - 3_600_000


async def test_taker_volume_lists_sells_first_and_sums_to_the_candle(start: Starter) -> None:
    venue = await start()
    path = "/rubik/stat/taker-volume-contract"
    coins = await venue.get(path, instId=BTC, period="5m", unit=0, limit=3)
    contracts = await venue.get(path, instId=BTC, period="5m", limit=3)
    candles = {row[0]: row for row in await venue.get("/market/candles", instId=BTC, bar="5m")}
    assert len(coins) >= 2
    for (at, sell, buy), row in zip(coins, contracts, strict=True):
        assert float(sell) + float(buy) == pytest.approx(float(candles[at][6]))
        assert float(row[1]) == pytest.approx(100 * float(sell))


async def test_books_trades_and_tickers(start: Starter) -> None:
    venue = await start()
    (book,) = await venue.get("/market/books", instId=BTC, sz=400)
    bids = [float(level[0]) for level in book["bids"]]
    assert bids == sorted(bids, reverse=True)
    assert bids[0] < float(book["asks"][0][0])
    assert list(book) == ["asks", "bids", "ts", "seqId"]
    (one,) = await venue.get("/market/books", instId=BTC)
    assert len(one["bids"]) == len(one["asks"]) == 1
    trades = await venue.get("/market/trades", instId=BTC, limit=5)
    numbers = [int(trade["tradeId"]) for trade in trades]
    assert numbers == sorted(numbers, reverse=True)
    assert {trade["side"] for trade in trades} <= {"buy", "sell"}
    (ticker,) = await venue.get("/market/ticker", instId=BTC)
    assert float(ticker["volCcy24h"]) == pytest.approx(float(ticker["vol24h"]) * 0.01)
    assert len(await venue.get("/market/tickers", instType="SWAP")) == 3
    assert len(await venue.get("/market/index-tickers", quoteCcy="USDT")) == 3


@pytest.mark.parametrize(
    ("path", "query", "code", "status"),
    [
        ("/market/candles", {"instId": "TON-USDT-SWAP"}, "51001", 200),
        ("/market/candles", {}, "50014", 400),
        ("/market/candles", {"instId": BTC, "bar": "7m"}, "51000", 400),
        ("/market/candles", {"instId": BTC, "after": "-1"}, "51000", 400),
        ("/market/candles", {"instId": BTC, "limit": "0"}, "51000", 400),
        ("/public/instruments", {"instType": "PERP"}, "51000", 400),
        ("/market/index-tickers", {"instId": "TON-USDT"}, "51001", 200),
        ("/rubik/stat/taker-volume-contract", {"instId": BTC, "unit": "9"}, "51000", 400),
    ],
)
async def test_refusals(
    start: Starter, path: str, query: dict[str, str], code: str, status: int
) -> None:
    venue = await start()
    body, answered = await venue.ask(path, **query)
    assert (body["code"], body["data"], answered) == (code, [], status)


async def test_each_endpoint_has_a_limit_of_its_own(start: Starter) -> None:
    venue = await start(multiplier=0.2)
    path = "/public/mark-price"
    for _ in range(2):
        await venue.get(path, instType="SWAP")
    body, status = await venue.ask(path, instType="SWAP")
    assert (body["code"], status) == ("50011", 200)
    await venue.get("/public/open-interest", instType="SWAP")
    venue.wall[0] += 2.0
    await venue.get(path, instType="SWAP")
