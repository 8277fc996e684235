"""The REST client: pages from the newest back, units, typed errors, a budget per endpoint."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from aiohttp import web

from apps.marketdata.events import FundingKind, FundingRate, MarkPrice
from apps.venues.base import VenueEndpoints
from apps.venues.errors import (
    VenueBadAnswer,
    VenueBadRequest,
    VenueRefused,
    VenueThrottled,
    VenueUnavailable,
)
from apps.venues.okx.rest import OkxRestClient
from apps.venues.rest_client import ListsOpenInterest, TellsDrops
from tests.venues.adapter_contract import fixture_instruments

BTC, PEPE, _ = fixture_instruments("okx")
NOW_MS = 1_763_719_230_000
HOUR_MS = 3_600_000
MS = 1_000_000
DAY_MS = 24 * HOUR_MS
Answer = Callable[[dict[str, str]], Any]


class FakeVenue:
    """Answers by path. An answer is rows, or (HTTP status, raw body)."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
        self.url = ""

    def serve(self, path: str, answer: Answer) -> None:
        self.answers[path] = answer

    async def handle(self, request: web.Request) -> web.Response:
        path, query = request.path.removeprefix("/api/v5"), dict(request.query)
        self.asked[path].append(query)
        answer = self.answers[path](query)
        if isinstance(answer, tuple):
            status, body = answer
            return web.Response(status=status, body=body, content_type="application/json")
        return web.json_response({"code": "0", "msg": "", "data": answer})


@pytest.fixture
async def venue() -> AsyncIterator[FakeVenue]:
    fake = FakeVenue()
    app = web.Application()
    app.router.add_get("/{path:.*}", fake.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


class Clock:
    """Monotonic seconds that pass only in ``sleep``."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(venue: FakeVenue, clock: Clock) -> AsyncIterator[OkxRestClient]:
    rest = OkxRestClient(
        endpoints=VenueEndpoints(venue.url, "ws://unused"),
        now_ns=lambda: NOW_MS * MS,
        monotonic=clock,
        sleep=clock.sleep,
    )
    yield rest
    await rest.close()


def paged(rows: list[list[str]], page: int, key: str = "after") -> Answer:
    """The venue's way: rows strictly older than ``key``, newest first, at most ``page``."""

    def answer(query: dict[str, str]) -> Any:
        older = [row for row in rows if int(row[0]) < int(query[key])]
        return sorted(older, key=lambda row: -int(row[0]))[:page]

    return answer


def candle_rows(count: int, width_ms: int, newest_ms: int) -> list[list[str]]:
    times = [newest_ms - at * width_ms for at in range(count)]
    return [[str(at), "10", "12", "9", "11", "200", "2", "22", "1"] for at in times]


@pytest.mark.parametrize("page", [1, 7, 100, 300])
async def test_candles_are_paged_back_whatever_the_page_size(
    venue: FakeVenue, client: OkxRestClient, page: int
) -> None:
    newest = NOW_MS // HOUR_MS * HOUR_MS
    venue.serve("/market/candles", paged(candle_rows(60, HOUR_MS, newest), page))
    start = newest - 20 * HOUR_MS
    bars = await client.candles(BTC, 3_600, start, newest)
    assert [bar.open_ts for bar in bars] == [(start + at * HOUR_MS) * MS for at in range(20)]
    assert (bars[0].volume_base, bars[0].volume_usd, bars[0].buy_base) == (2.0, 22.0, None)
    assert venue.asked["/market/candles"][0] == {
        "instId": "BTC-USDT-SWAP", "bar": "1H", "limit": "300", "after": str(newest),
    }  # fmt: skip


async def test_old_candles_come_from_the_other_endpoint(
    venue: FakeVenue, client: OkxRestClient
) -> None:
    newest = NOW_MS - 40 * DAY_MS
    venue.serve("/market/history-candles", paged(candle_rows(10, 300_000, newest), 100))
    bars = await client.candles(BTC, 300, newest - 9 * 300_000, newest + 1)
    assert len(bars) == 10
    assert not venue.asked["/market/candles"]


async def test_days_are_asked_for_in_utc(venue: FakeVenue, client: OkxRestClient) -> None:
    venue.serve("/market/candles", lambda query: [])
    assert await client.candles(BTC, 86_400, NOW_MS - 5 * DAY_MS, NOW_MS) == []
    assert venue.asked["/market/candles"][0]["bar"] == "1Dutc"
    with pytest.raises(ValueError, match="expected an interval of"):
        await client.candles(BTC, 7, 0, 1)


async def test_a_page_that_does_not_move_ends_the_paging(
    venue: FakeVenue, client: OkxRestClient
) -> None:
    rows = candle_rows(3, HOUR_MS, NOW_MS)
    venue.serve("/market/candles", lambda query: rows)
    bars = await client.candles(BTC, 3_600, NOW_MS - 10 * HOUR_MS, NOW_MS - HOUR_MS)
    assert len(bars) == 1
    assert len(venue.asked["/market/candles"]) <= 2


async def test_funding_history_is_what_was_paid_with_the_gap_as_interval(
    venue: FakeVenue, client: OkxRestClient
) -> None:
    times = [NOW_MS // HOUR_MS * HOUR_MS - hours * HOUR_MS for hours in (0, 4, 8, 16, 24)]
    rows = [
        {"fundingTime": str(at), "fundingRate": "0.9", "realizedRate": f"0.000{index}"}
        for index, at in enumerate(times, 1)
    ]
    venue.serve(
        "/public/funding-rate-history",
        lambda query: [row for row in rows if int(row["fundingTime"]) < int(query["after"])][:2],
    )
    rates = await client.funding_history(BTC, times[-1], NOW_MS)
    assert [rate.rate_raw for rate in rates] == ["0.0005", "0.0004", "0.0003", "0.0002", "0.0001"]
    assert [rate.interval_h for rate in rates] == [8.0, 8.0, 8.0, 4.0, 4.0]
    assert {rate.kind for rate in rates} == {FundingKind.SETTLED}


async def test_statistics_page_by_end_and_sells_come_first(
    venue: FakeVenue, client: OkxRestClient
) -> None:
    rows = [[str(NOW_MS - at * 300_000), "30", "10"] for at in range(1, 9)]
    venue.serve("/rubik/stat/taker-volume-contract", paged(rows, 3, "end"))
    shares = await client.positioning(BTC, "taker", 300, NOW_MS - 8 * 300_000, NOW_MS)
    assert [share.long_share for share in shares] == [0.25] * 8
    assert venue.asked["/rubik/stat/taker-volume-contract"][0]["unit"] == "0"
    ratios = [[row[0], "1.5"] for row in rows]
    path = "/rubik/stat/contracts/long-short-position-ratio-contract-top-trader"
    venue.serve(path, paged(ratios, 100, "end"))
    shares = await client.positioning(BTC, "top_positions", 300, NOW_MS - 300_000, NOW_MS)
    assert [(share.series, share.long_share) for share in shares] == [("top_positions", 0.6)]
    with pytest.raises(ValueError, match="positioning series"):
        await client.positioning(BTC, "whales", 300, 0, 1)


async def test_takers_that_did_not_trade_have_no_share(
    venue: FakeVenue, client: OkxRestClient
) -> None:
    rows = [[str(NOW_MS - 300_000), "0", "0"]]
    venue.serve("/rubik/stat/taker-volume-contract", paged(rows, 100, "end"))
    assert await client.positioning(BTC, "taker", 300, NOW_MS - DAY_MS, NOW_MS) == []


async def test_open_interest_history_is_contracts_coins_dollars(
    venue: FakeVenue, client: OkxRestClient
) -> None:
    rows = [[str(NOW_MS - 300_000), "2800476.45", "28004.76", "2520428805"]]
    venue.serve("/rubik/stat/contracts/open-interest-history", paged(rows, 100, "end"))
    (row,) = await client.open_interest_history(BTC, 300, NOW_MS - DAY_MS, NOW_MS)
    assert (row.oi_contracts, row.oi_base, row.oi_usd) == (2800476.45, 28004.76, 2520428805.0)


def listing(base: str, **changes: str) -> dict[str, str]:
    return {
        "instId": f"{base}-USDT-SWAP", "instType": "SWAP", "instFamily": f"{base}-USDT",
        "settleCcy": "USDT", "ctVal": "0.01", "ctMult": "1", "ctValCcy": base, "ctType": "linear",
        "state": "live", "lotSz": "1", "tickSz": "0.1", **changes,
    }  # fmt: skip


def funding(symbol: str, hours: int, rate: str = "0.0001") -> dict[str, str]:
    due = NOW_MS // HOUR_MS * HOUR_MS + HOUR_MS
    return {
        "instId": symbol, "fundingRate": rate, "fundingTime": str(due), "nextFundingRate": "",
        "nextFundingTime": str(due + hours * HOUR_MS), "prevFundingTime": str(due - HOUR_MS),
        "settFundingRate": "0.0002", "settState": "settled", "ts": str(NOW_MS),
    }  # fmt: skip


def serve_lists(venue: FakeVenue) -> None:
    venue.serve(
        "/public/instruments", lambda query: [listing("BTC"), listing("PEPE", state="suspend")]
    )
    venue.serve(
        "/public/funding-rate",
        lambda query: [funding("BTC-USDT-SWAP", 4), funding("XCH-USDT-SWAP", 8)],
    )


async def test_instruments_with_their_intervals_and_what_is_missing(
    venue: FakeVenue, client: OkxRestClient
) -> None:
    serve_lists(venue)
    (btc,) = await client.instruments()
    assert (btc.funding_interval_h, btc.contract_size) == (4.0, 0.01)
    reasons = {drop.asset: drop.reason for drop in client.dropped()}
    assert (reasons["PEPE"], reasons["ETH"]) == ("state suspend", "not listed")
    assert venue.asked["/public/funding-rate"] == [{"instId": "ANY"}]
    assert isinstance(client, ListsOpenInterest)
    assert isinstance(client, TellsDrops)


async def test_prices_and_forecasts_of_everything_in_three_calls(
    venue: FakeVenue, client: OkxRestClient
) -> None:
    serve_lists(venue)
    marks = [{"instId": name, "markPx": "90000.4", "ts": "1"} for name in ("BTC-USDT-SWAP", "X")]
    venue.serve("/public/mark-price", lambda query: marks)
    index = [{"instId": "BTC-USDT", "idxPx": "89990.2", "ts": "1"}]
    venue.serve("/market/index-tickers", lambda query: index)
    mark, rate = await client.mark_prices()
    assert isinstance(mark, MarkPrice)
    assert (mark.mark_price, mark.index_price) == (90000.4, 89990.2)
    assert isinstance(rate, FundingRate)
    assert (rate.kind, rate.interval_h, rate.rate) == (FundingKind.PREDICTED, 4.0, 0.0001)


async def test_open_interest_of_all_in_one_call(venue: FakeVenue, client: OkxRestClient) -> None:
    serve_lists(venue)
    row = {
        "instId": "BTC-USDT-SWAP",
        "oi": "5",
        "oiCcy": "0.05",
        "oiUsd": "4500",
        "ts": str(NOW_MS),
    }
    venue.serve(
        "/public/open-interest", lambda query: [row, {**row, "instId": "X"}, {"instId": "bad"}]
    )
    (found,) = await client.open_interests()
    assert (found.oi_contracts, found.oi_base, found.oi_usd) == (5.0, 0.05, 4500.0)
    assert client.bad_rows == 1
    one = await client.open_interest(BTC)
    assert one.oi_usd == 4500.0
    assert venue.asked["/public/open-interest"][-1]["instId"] == "BTC-USDT-SWAP"


async def test_books_are_coins(venue: FakeVenue, client: OkxRestClient) -> None:
    row = {
        "asks": [["90000.1", "415", "0", "1"]],
        "bids": [["90000", "100", "0", "1"]],
        "ts": "7",
        "seqId": 9,
    }
    venue.serve("/market/books", lambda query: [row])
    book = await client.book_snapshot(BTC)
    assert (book.seq, book.bids, book.ts_event) == (9, [(90000.0, 1.0)], 7 * MS)
    assert venue.asked["/market/books"] == [{"instId": "BTC-USDT-SWAP", "sz": "400"}]


def refusal(code: str, status: int = 200) -> Answer:
    body = orjson.dumps({"code": code, "msg": "because", "data": []})
    return lambda query: (status, body)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal("50011"), VenueThrottled),
        (refusal("50011", 429), VenueThrottled),
        (refusal("50061"), VenueThrottled),
        (refusal("50026", 500), VenueUnavailable),
        (refusal("50013"), VenueUnavailable),
        (refusal("51001"), VenueBadRequest),
        (refusal("51000", 400), VenueBadRequest),
        (refusal("59999"), VenueBadRequest),
        (lambda query: (403, b"<html>"), VenueRefused),
        (lambda query: (502, b"<html>"), VenueUnavailable),
        (lambda query: (200, b"<html>"), VenueBadAnswer),
        (lambda query: (200, b'{"data":[]}'), VenueBadAnswer),
        (lambda query: (200, b'{"code":"0","data":{}}'), VenueBadAnswer),
        (lambda query: (200, b'{"code":"0","data":[[1],[2]]}'), VenueBadAnswer),
    ],
)
@pytest.mark.parametrize("call", ["candles", "book"])
async def test_refusals_are_typed(
    venue: FakeVenue, client: OkxRestClient, answer: Answer, kind: type[Exception], call: str
) -> None:
    venue.serve("/market/candles", answer)
    venue.serve("/market/books", answer)
    asking: Any = (
        client.candles(BTC, 60, NOW_MS - HOUR_MS, NOW_MS)
        if call == "candles"
        else client.book_snapshot(BTC)
    )
    with pytest.raises(kind) as caught:
        await asking
    assert type(caught.value) is kind


async def test_a_venue_that_is_away(client: OkxRestClient) -> None:
    client._endpoints = VenueEndpoints("http://127.0.0.1:9", "ws://unused")
    with pytest.raises(VenueUnavailable):
        await client.book_snapshot(BTC)
    with pytest.raises(VenueUnavailable):
        await client.candles(BTC, 60, NOW_MS - HOUR_MS, NOW_MS)


async def test_each_endpoint_keeps_to_its_own_limit(
    venue: FakeVenue, client: OkxRestClient, clock: Clock
) -> None:
    venue.serve("/rubik/stat/contracts/long-short-account-ratio-contract", lambda query: [])
    venue.serve("/market/books", lambda query: [])
    for _ in range(11):
        await client.positioning(BTC, "accounts", 300, NOW_MS - HOUR_MS, NOW_MS)
    # Five in two seconds: the eleventh is the first of the third window.
    assert clock.now == pytest.approx(4.0)
    before = clock.now
    with pytest.raises(VenueBadAnswer):
        await client.book_snapshot(BTC)
    assert clock.now == before


async def test_throttling_rests_one_endpoint_only(
    venue: FakeVenue, client: OkxRestClient, clock: Clock
) -> None:
    venue.serve("/market/candles", refusal("50011"))
    venue.serve("/market/books", lambda query: [])
    with pytest.raises(VenueThrottled) as caught:
        await client.candles(BTC, 60, NOW_MS - HOUR_MS, NOW_MS)
    assert caught.value.retry_after == 2.0
    with pytest.raises(VenueBadAnswer):
        await client.book_snapshot(BTC)
    assert clock.now == 0.0
    venue.serve("/market/candles", lambda query: [])
    await client.candles(BTC, 60, NOW_MS - HOUR_MS, NOW_MS)
    assert clock.now == pytest.approx(2.0)


async def test_budgets_are_named_for_sharing(venue: FakeVenue) -> None:
    taken: list[tuple[str, float, float]] = []

    class Shared:
        def __init__(self, name: str, weight: float, window_s: float) -> None:
            taken.append((name, weight, window_s))

        async def take(self, weight: float, spare: float = 0.0) -> float:
            return 0.0

        def block_for(self, seconds: float) -> None:
            """Never asked for here."""

    OkxRestClient(
        endpoints=VenueEndpoints(venue.url, "ws://unused"), now_ns=lambda: 0, budgets=Shared
    )
    assert ("okx:candles", 40.0, 2.0) in taken
    assert ("okx:accounts", 5.0, 2.0) in taken
    assert len({name for name, _, _ in taken}) == len(taken) == 18
