"""The REST client against a local server: paths, paging, units, typed errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from apps.marketdata.events import FundingKind, FundingRate, MarkPrice
from apps.venues.base import VenueEndpoints
from apps.venues.binance.parse import Market
from apps.venues.binance.rest import BinanceRestClient
from apps.venues.errors import (
    VenueBadAnswer,
    VenueBadRequest,
    VenueError,
    VenueRefused,
    VenueThrottled,
    VenueUnavailable,
)
from apps.venues.limiter import LocalBudget
from tests.venues.adapter_contract import FIXTURES, fixture_instruments

BTC, PEPE, SPOT, _ = fixture_instruments("binance")
HOUR_MS = 3_600_000
T0 = 1_763_712_000_000  # a settlement: 2025-11-21 08:00 UTC
NOW_NS = (T0 + HOUR_MS) * 1_000_000


@dataclass
class Server:
    """``answers``: path → body, or a function of the query; a tuple is (status, headers, body)."""

    answers: dict[str, Any]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append((request.path, query))
        answer = self.answers[request.path]
        if callable(answer):
            answer = answer(query)
        if isinstance(answer, tuple):
            status, headers, body = answer
            return web.json_response(body, status=status, headers=headers)
        if isinstance(answer, bytes):
            return web.Response(body=answer, content_type="application/json")
        return web.json_response(answer)


@asynccontextmanager
async def rest(answers: dict[str, Any]) -> AsyncIterator[tuple[BinanceRestClient, Server]]:
    server = Server(answers)
    app = web.Application()
    app.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = BinanceRestClient(
        endpoints=VenueEndpoints(url, "ws://unused", url, "ws://unused"),
        now_ns=lambda: NOW_NS,
        rate_multiplier=100,
    )
    try:
        yield client, server
    finally:
        await client.close()
        await runner.cleanup()


def exchange_info(name: str) -> bytes:
    return (FIXTURES / "binance" / f"exchange_info_{name}.json").read_bytes()


LISTINGS: dict[str, Any] = {
    "/fapi/v1/exchangeInfo": exchange_info("um"),
    "/api/v3/exchangeInfo": exchange_info("spot"),
    "/fapi/v1/fundingInfo": [{"symbol": "1000PEPEUSDT", "fundingIntervalHours": 4}],
}


async def test_instruments_of_both_markets_with_their_intervals() -> None:
    async with rest(LISTINGS) as (client, _server):
        listed = await client.instruments()
        assert [(item.key, item.funding_interval_h) for item in listed] == [
            ("binance:perp:BTCUSDT", 8.0),
            ("binance:perp:1000PEPEUSDT", 4.0),
            ("binance:perp:GRAMUSDT", 8.0),
            ("binance:spot:BTCUSDT", None),
            ("binance:spot:PEPEUSDT", None),
        ]
        assert any(drop.asset == "LDO" for _, drop in client.drops)


async def test_funding_history_pages_and_drops_special_rows() -> None:
    rows = [
        {
            "symbol": "BTCUSDT",
            "fundingTime": T0 + step * 8 * HOUR_MS + step % 48,
            "fundingRate": "-0.00010000" if step % 2 else "0.00010000",
            "markPrice": "",
            "rateType": "Special" if step == 7 else "Regular",
        }
        for step in range(1_500)
    ]

    def page(query: dict[str, str]) -> list[dict[str, Any]]:
        start, end, limit = (int(query[name]) for name in ("startTime", "endTime", "limit"))
        return [row for row in rows if start <= row["fundingTime"] <= end][:limit]  # type: ignore[operator]  # a time

    async with rest({"/fapi/v1/fundingRate": page}) as (client, server):
        end_ms = T0 + 1_400 * 8 * HOUR_MS
        rates = await client.funding_history(BTC, T0, end_ms)
    assert len(server.asked) == 2
    assert len(rates) == 1_399
    assert [rate.funding_ts for rate in rates[:2]] == [
        T0 * 1_000_000,
        (T0 + 8 * HOUR_MS) * 1_000_000,
    ]
    assert rates[1].rate == -0.0001
    assert rates[1].rate_raw == "-0.00010000"
    assert {rate.kind for rate in rates} == {FundingKind.SETTLED}
    assert {rate.interval_h for rate in rates} == {8.0}


async def test_past_intervals_follow_the_gaps() -> None:
    times = [T0, T0 + 8 * HOUR_MS, T0 + 12 * HOUR_MS, T0 + 13 * HOUR_MS, T0 + 77 * HOUR_MS]
    body = [{"symbol": "BTCUSDT", "fundingTime": at, "fundingRate": "0.0001"} for at in times]
    async with rest({"/fapi/v1/fundingRate": body}) as (client, _server):
        rates = await client.funding_history(BTC, T0, T0 + 100 * HOUR_MS)
    assert [rate.interval_h for rate in rates] == [8.0, 8.0, 4.0, 1.0, 8.0]


async def test_candles_keep_taker_volumes_and_resolve_multiples() -> None:
    row = [
        T0,
        "0.008",
        "0.009",
        "0.007",
        "0.0085",
        "1000",
        T0 + 299_999,
        "8.5",
        12,
        "400",
        "3.4",
        "0",
    ]
    late = [T0 + 4 * HOUR_MS, *row[1:6], T0 + 4 * HOUR_MS + 299_999, *row[7:]]
    async with rest({"/fapi/v1/klines": [row, late, ["broken"]]}) as (client, server):
        first, last = await client.candles(PEPE, 300, T0, T0 + 5 * HOUR_MS)
        assert client.bad_rows == 1
    assert server.asked[0][1]["interval"] == "5m"
    assert first.open == pytest.approx(0.000008)
    assert (first.volume_base, first.volume_usd, first.trades) == (1_000_000.0, 8.5, 12)
    assert (first.buy_base, first.buy_usd, first.interval_s) == (400_000.0, 3.4, 300)
    assert (first.is_closed, last.is_closed) == (True, False)


async def test_spot_candles_come_from_the_spot_host() -> None:
    row = [T0, "1", "1", "1", "1", "1", T0 + 59_999, "1", 1, "1", "1", "0"]
    async with rest({"/api/v3/klines": [row]}) as (client, _server):
        (bar,) = await client.candles(SPOT, 60, T0, T0 + 60_000)
    assert bar.instrument == SPOT


async def test_open_interest_now_and_then() -> None:
    answers = {
        "/fapi/v1/openInterest": {"symbol": "1000PEPEUSDT", "openInterest": "50", "time": T0},
        "/futures/data/openInterestHist": lambda query: [
            {
                "symbol": "BTCUSDT",
                "sumOpenInterest": "10.5",
                "sumOpenInterestValue": "945000",
                "timestamp": int(query["startTime"]),
            }
        ],
    }
    async with rest(answers) as (client, server):
        now = await client.open_interest(PEPE)
        assert (now.oi_contracts, now.oi_base, now.oi_usd) == (50.0, 50_000.0, None)
        then = await client.open_interest_history(BTC, 300, T0, T0 + 3 * 500 * 300_000)
        assert [(row.oi_base, row.oi_usd) for row in then] == [(10.5, 945_000.0)] * 3
    windows = [int(query["startTime"]) for path, query in server.asked if "Hist" in path]
    assert windows == [T0, T0 + 150_000_000, T0 + 300_000_000]


@pytest.mark.parametrize(
    ("series", "path", "body", "share"),
    [
        ("accounts", "globalLongShortAccountRatio", {"longAccount": "0.5647"}, 0.5647),
        ("top_accounts", "topLongShortAccountRatio", {"longAccount": "0.61"}, 0.61),
        ("top_positions", "topLongShortPositionRatio", {"longAccount": "0.52"}, 0.52),
        ("taker", "takerlongshortRatio", {"buyVol": "30", "sellVol": "10"}, 0.75),
    ],
)
async def test_positioning(series: str, path: str, body: dict[str, str], share: float) -> None:
    async with rest({f"/futures/data/{path}": [{"timestamp": T0, **body}]}) as (client, _server):
        (ratio,) = await client.positioning(BTC, series, 300, T0, T0 + 300_000)
    assert (ratio.series, ratio.long_share, ratio.period_s) == (series, share, 300)


async def test_mark_prices_of_all_instruments_in_one_call() -> None:
    body = [
        {
            "symbol": symbol,
            "markPrice": price,
            "indexPrice": price,
            "lastFundingRate": "0.00010000",
            "nextFundingTime": T0 + 8 * HOUR_MS,
            "time": T0,
        }
        for symbol, price in (("BTCUSDT", "90000"), ("1000PEPEUSDT", "0.008"), ("ABCUSDT", "1"))
    ]
    async with rest({**LISTINGS, "/fapi/v1/premiumIndex": body}) as (client, _server):
        events = await client.mark_prices()
    marks = [event for event in events if isinstance(event, MarkPrice)]
    rates = [event for event in events if isinstance(event, FundingRate)]
    assert [mark.mark_price for mark in marks] == [90_000.0, pytest.approx(0.000008)]
    assert [rate.interval_h for rate in rates] == [8.0, 4.0]


async def test_book_snapshots() -> None:
    answers = {
        "/fapi/v1/depth": (FIXTURES / "binance" / "depth_um.json").read_bytes(),
        "/api/v3/depth": (FIXTURES / "binance" / "depth_spot.json").read_bytes(),
    }
    async with rest(answers) as (client, server):
        assert (await client.book_snapshot(BTC)).seq == 1003
        assert (await client.book_snapshot(SPOT)).seq == 502
    assert server.asked[0][1] == {"symbol": "BTCUSDT", "limit": "1000"}


@pytest.mark.parametrize(
    ("status", "headers", "kind", "retry_after"),
    [
        (429, {"Retry-After": "17"}, VenueThrottled, 17.0),
        (418, {}, VenueThrottled, 120.0),
        (451, {}, VenueRefused, 600.0),
        (403, {}, VenueRefused, 600.0),
        (500, {}, VenueUnavailable, None),
        (503, {}, VenueUnavailable, None),
        (400, {}, VenueBadRequest, None),
    ],
)
@pytest.mark.parametrize(
    "call",
    [lambda client: client.open_interest(BTC), lambda client: client.book_snapshot(BTC)],
    ids=["ccxt", "direct"],
)
async def test_errors_are_typed(
    status: int,
    headers: dict[str, str],
    kind: type[VenueError],
    retry_after: float | None,
    call: Callable[[BinanceRestClient], Any],
) -> None:
    answer = (status, headers, {"code": -1, "msg": "no"})
    async with rest({"/fapi/v1/openInterest": answer, "/fapi/v1/depth": answer}) as (client, _):
        with pytest.raises(kind) as caught:
            await call(client)
    assert (caught.value.venue, caught.value.status) == ("binance", status)
    assert caught.value.retry_after == retry_after


@pytest.mark.parametrize(
    "body", [b"<html>maintenance</html>", b"[]", b'{"symbol":"BTCUSDT"}', b"null"]
)
async def test_an_answer_of_another_shape_is_a_bad_answer(body: bytes) -> None:
    async with rest({"/fapi/v1/openInterest": body, "/fapi/v1/depth": body}) as (client, _):
        with pytest.raises(VenueBadAnswer):
            await client.book_snapshot(BTC)
        with pytest.raises((VenueBadAnswer, VenueUnavailable)):
            await client.open_interest(BTC)


async def test_nobody_there_is_unavailable() -> None:
    endpoints = VenueEndpoints("http://127.0.0.1:9", "", "http://127.0.0.1:9", "")
    away = BinanceRestClient(endpoints=endpoints, now_ns=lambda: NOW_NS, rate_multiplier=100)
    with pytest.raises(VenueUnavailable):
        await away.book_snapshot(BTC)
    with pytest.raises(VenueUnavailable):
        await away.open_interest(BTC)
    await away.close()


async def test_a_ban_closes_our_own_budgets() -> None:
    slept: list[float] = []
    clock = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal clock
        slept.append(seconds)
        clock += seconds

    async with rest({"/fapi/v1/depth": (418, {"Retry-After": "90"}, {})}) as (_client, server):
        pool = _client._weight_pools[Market.UM]
        pool._budget = LocalBudget(2300, 60, monotonic=lambda: clock)
        pool._sleep = sleep
        for _ in range(2):
            with pytest.raises(VenueThrottled):
                await _client.book_snapshot(BTC)
        assert len(server.asked) == 2
    assert slept == [90.0]


async def test_an_interval_the_venue_does_not_have() -> None:
    async with rest({}) as (client, _):
        with pytest.raises(ValueError, match="received 77"):
            await client.candles(BTC, 77, T0, T0 + 1)
