"""A sixth venue by settings alone: unmodified ccxt against a local stub of Bitget's public endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from apps.marketdata.events import FundingKind, FundingRate, MarkPrice
from apps.venues.base import VenueEndpoints
from apps.venues.ccxt_generic.factory import make_adapter
from apps.venues.ccxt_generic.rest import CcxtRestClient
from apps.venues.errors import VenueBadRequest, VenueThrottled, VenueUnavailable
from apps.venues.rest_client import ListsOpenInterest, TellsDrops

NOW_MS = 1_763_700_000_000
"""2025-11-21 04:40 UTC."""
NS = 1_000_000


def contract(symbol: str, base: str, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": symbol, "baseCoin": base, "quoteCoin": "USDT", "supportMarginCoins": ["USDT"],
        "symbolType": "perpetual", "symbolStatus": "normal", "minTradeNum": "0.001",
        "pricePlace": "1", "priceEndStep": "1", "volumePlace": "3", "sizeMultiplier": "0.001",
        "makerFeeRate": "0.0002", "takerFeeRate": "0.0006", "fundInterval": "8",
        "minLever": "1", "maxLever": "125", "offTime": "-1", "limitOpenTime": "-1",
    } | changes  # fmt: skip


ANSWERS: dict[str, Any] = {
    "/api/v2/mix/market/contracts": [
        contract("BTCUSDT", "BTC"),
        contract("1000BONKUSDT", "1000BONK"),
        contract("SOLUSDT", "SOL", symbolStatus="off"),
        contract("FOOUSDT", "FOO"),
    ],
    "/api/v2/mix/market/tickers": [
        {"symbol": "BTCUSDT", "lastPr": "90000", "markPrice": "90010.5", "indexPrice": "90000",
         "fundingRate": "0.00005", "holdingAmount": "30000", "ts": str(NOW_MS - 300)},
        {"symbol": "1000BONKUSDT", "lastPr": "0.012", "markPrice": "0.0125",
         "indexPrice": "0.0124", "fundingRate": "-0.0001", "ts": str(NOW_MS - 300)},
    ],
    "/api/v2/mix/market/current-fund-rate": [
        {"symbol": "BTCUSDT", "fundingRate": "0.00005", "fundingRateInterval": "8",
         "nextUpdate": str(NOW_MS + 60_000)},
        {"symbol": "1000BONKUSDT", "fundingRate": "-0.0001", "fundingRateInterval": "4",
         "nextUpdate": str(NOW_MS + 60_000)},
    ],
    "/api/v2/mix/market/open-interest": {
        "openInterestList": [{"symbol": "1000BONKUSDT", "size": "52234134"}],
        "ts": str(NOW_MS - 100),
    },
}  # fmt: skip


class Stub:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.base = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        if self.status != 200:
            return web.json_response(
                {"code": "429", "msg": "Too Many Requests"}, status=self.status
            )
        path, product = request.path, request.query.get("productType", "USDT-FUTURES")
        data: Any = ANSWERS.get(path, []) if product == "USDT-FUTURES" else []
        if path == "/api/v2/mix/market/history-fund-rate":
            data = [] if request.query.get("pageNo", "1") != "1" else [
                {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingTime": str(ts)}
                for ts in range(1_763_596_800_000, NOW_MS, 8 * 3_600_000)
            ]  # fmt: skip
        return web.json_response({"code": "00000", "msg": "success", "data": data})


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    made = Stub()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def client(stub: Stub) -> AsyncIterator[CcxtRestClient]:
    made = make_adapter("bitget", 60.0).rest_client(
        endpoints=VenueEndpoints(rest=stub.base, ws=""),
        now_ns=lambda: NOW_MS * NS,
        rate_multiplier=100,
    )
    assert isinstance(made, CcxtRestClient)
    yield made
    await made.close()


async def test_its_instruments_with_multipliers_and_drops(client: CcxtRestClient) -> None:
    listed = {one.asset: one for one in await client.instruments()}
    assert set(listed) == {"BTC", "BONK"}
    assert listed["BTC"].key == "bitget:perp:BTC/USDT:USDT"
    assert listed["BONK"].price_mult == 1000.0
    assert isinstance(client, TellsDrops)
    drops = {one.asset: one for one in client.dropped()}
    assert (drops["SOL"].symbol, drops["SOL"].reason) == ("SOL/USDT:USDT", "not active")
    assert drops["ETH"].reason == "not listed"
    assert await client.funding_intervals() == {"BTC/USDT:USDT": 8.0, "1000BONK/USDT:USDT": 4.0}


async def test_marks_and_rates_per_single_unit(client: CcxtRestClient) -> None:
    await client.instruments()
    await client.funding_intervals()
    events = await client.mark_prices()
    marks = {e.instrument.asset: e for e in events if isinstance(e, MarkPrice)}
    rates = {e.instrument.asset: e for e in events if isinstance(e, FundingRate)}
    assert (marks["BTC"].mark_price, marks["BTC"].index_price) == (90010.5, 90000.0)
    assert marks["BONK"].mark_price == pytest.approx(0.0000125)
    assert (rates["BTC"].rate, rates["BTC"].rate_raw, rates["BTC"].interval_h) == (
        0.00005, "0.00005", 8.0,
    )  # fmt: skip
    assert rates["BONK"].interval_h == 4.0
    assert rates["BONK"].kind is FundingKind.PREDICTED
    # 08:00 UTC is the next settlement of both grids.
    assert rates["BTC"].funding_ts // NS == rates["BONK"].funding_ts // NS == 1_763_712_000_000


async def test_open_interest_in_coins(client: CcxtRestClient) -> None:
    bonk = next(one for one in await client.instruments() if one.asset == "BONK")
    await client.mark_prices()
    found = await client.open_interest(bonk)
    assert found.oi_base == 52_234_134_000.0
    assert found.oi_contracts == 52_234_134.0
    assert found.ts_event == (NOW_MS - 100) * NS
    assert not isinstance(client, ListsOpenInterest)


async def test_settled_history_is_cut_to_what_was_asked(client: CcxtRestClient) -> None:
    btc = next(one for one in await client.instruments() if one.asset == "BTC")
    start = 1_763_625_600_000
    rates = await client.funding_history(btc, start, NOW_MS)
    assert [rate.funding_ts // NS for rate in rates] == [
        start,
        start + 28_800_000,
        start + 57_600_000,
    ]
    assert {(rate.kind, rate.rate_raw) for rate in rates} == {(FundingKind.SETTLED, "0.0001")}


async def test_refusals_are_typed(stub: Stub, client: CcxtRestClient) -> None:
    await client.instruments()
    stub.status = 429
    with pytest.raises(VenueThrottled) as caught:
        await client._call("fetch_funding_rates")
    assert caught.value.retry_after == 30.0


async def test_a_venue_that_is_away_or_unknown(stub: Stub) -> None:
    away = CcxtRestClient(
        venue="bitget", endpoints=VenueEndpoints(rest="http://127.0.0.1:1", ws=""),
        now_ns=lambda: NOW_MS * NS,
    )  # fmt: skip
    with pytest.raises(VenueUnavailable):
        await away.instruments()
    await away.close()
    nobody = CcxtRestClient(
        venue="nosuchvenue", endpoints=VenueEndpoints(rest="", ws=""), now_ns=lambda: 0
    )
    with pytest.raises(VenueBadRequest):
        await nobody.instruments()
