"""The REST client against a local server: questions, paging, units, weights, typed errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiohttp import web

from apps.marketdata.events import FundingKind, FundingRate, MarkPrice
from apps.venues.base import VenueEndpoints
from apps.venues.errors import (
    VenueBadAnswer,
    VenueBadRequest,
    VenueError,
    VenueRefused,
    VenueThrottled,
    VenueUnavailable,
)
from apps.venues.hyperliquid.adapter import ADAPTER
from apps.venues.hyperliquid.rest import HyperliquidRestClient
from apps.venues.rest_client import ListsOpenInterest, TellsDrops
from tests.venues.adapter_contract import FIXTURES, fixture_instruments

BTC, PEPE, ETH = fixture_instruments("hyperliquid")
HOUR_MS = 3_600_000
T0 = 1_763_712_000_000  # a settlement: 2025-11-21 08:00 UTC
NOW_NS = (T0 + HOUR_MS // 2) * 1_000_000
META = orjson.loads((FIXTURES / "hyperliquid" / "meta_and_asset_ctxs.json").read_bytes())


@dataclass
class Weights:
    """A budget that never waits and writes down what was spent."""

    spent: list[float] = field(default_factory=list)
    blocked: list[float] = field(default_factory=list)
    name: str = ""

    def __call__(self, name: str, weight: float, window_s: float) -> Weights:
        self.name = f"{name} {weight:.0f}/{window_s:.0f}s"
        return self

    async def take(self, weight: float, spare: float = 0.0) -> float:
        self.spent.append(weight)
        return 0.0

    def block_for(self, seconds: float) -> None:
        self.blocked.append(seconds)


@dataclass
class Server:
    """``answers``: type → body, or a function of the question; a tuple is (status, text)."""

    answers: dict[str, Any]
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        question = orjson.loads(await request.read())
        self.asked.append(question)
        answer = self.answers[question["type"]]
        if callable(answer):
            answer = answer(question)
        if isinstance(answer, tuple):
            return web.Response(status=answer[0], text=answer[1])
        return web.Response(body=orjson.dumps(answer), content_type="application/json")


@dataclass
class Setup:
    client: HyperliquidRestClient
    server: Server
    weights: Weights


@asynccontextmanager
async def rest(answers: dict[str, Any]) -> AsyncIterator[Setup]:
    server, weights = Server(answers), Weights()
    app = web.Application()
    app.router.add_post("/info", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = HyperliquidRestClient(
        endpoints=VenueEndpoints(f"http://127.0.0.1:{runner.addresses[0][1]}", "ws://unused"),
        now_ns=lambda: NOW_NS,
        budgets=weights,
    )
    try:
        yield Setup(client, server, weights)
    finally:
        await client.close()
        await runner.cleanup()


async def test_instruments_and_what_is_left_out() -> None:
    async with rest({"metaAndAssetCtxs": META}) as setup:
        listed = await setup.client.instruments()
        assert [item.key for item in listed] == [
            "hyperliquid:perp:BTC",
            "hyperliquid:perp:ETH",
            "hyperliquid:perp:SOL",
            "hyperliquid:perp:kPEPE",
        ]
        assert isinstance(setup.client, TellsDrops)
        assert {drop.asset for drop in setup.client.dropped()} >= {"LDO", "GRAM"}
        assert await setup.client.funding_intervals() == {}
        assert setup.weights.spent == [20.0]
        assert setup.weights.name == "hyperliquid:weight 1150/60s"


async def test_states_are_joined_by_index() -> None:
    async with rest({"metaAndAssetCtxs": META}) as setup:
        found = await setup.client.mark_prices()
        marks = {one.instrument.symbol: one for one in found if isinstance(one, MarkPrice)}
        assert {name: mark.mark_price for name, mark in marks.items()} == {
            "BTC": 90_000.0,
            "ETH": 3_000.0,
            "SOL": 150.0,
            "kPEPE": pytest.approx(8.5e-6),
        }
        rates = [one for one in found if isinstance(one, FundingRate)]
        assert {rate.funding_ts for rate in rates} == {(T0 + HOUR_MS) * 1_000_000}
        assert {(rate.kind, rate.interval_h) for rate in rates} == {(FundingKind.PREDICTED, 1.0)}
        assert isinstance(setup.client, ListsOpenInterest)
        interests = {one.instrument.symbol: one for one in await setup.client.open_interests()}
        assert interests["kPEPE"].oi_base == pytest.approx(27_353_176.82)
        assert interests["kPEPE"].oi_usd == pytest.approx(27_353.17682 * 0.0085)
        assert (await setup.client.open_interest(ETH)).oi_contracts == 27_353.17682


async def test_a_bad_state_costs_only_itself() -> None:
    meta, states = META
    broken = [
        meta,
        [*states[:1], {"funding": "nan", "markPx": "1", "openInterest": "1"}, *states[2:]],
    ]
    async with rest({"metaAndAssetCtxs": broken}) as setup:
        interests = await setup.client.open_interests()
        assert {one.instrument.symbol for one in interests} == {"SOL", "kPEPE", "ETH"}
        assert setup.client.bad_rows == 1
        with pytest.raises(VenueBadAnswer, match="no open interest of BTC"):
            await setup.client.open_interest(BTC)


async def test_funding_pages_of_500() -> None:
    every = [
        {
            "coin": "BTC",
            "fundingRate": f"0.{step:07d}",
            "time": T0 + step * HOUR_MS + step % 90,
        }
        for step in range(1_300)
    ]

    def page(question: dict[str, Any]) -> list[dict[str, Any]]:
        start, end = question["startTime"], question["endTime"]
        return [row for row in every if start <= int(str(row["time"])) <= end][:500]

    async with rest({"fundingHistory": page}) as setup:
        rates = await setup.client.funding_history(BTC, T0, T0 + 1_200 * HOUR_MS)
    assert len(setup.server.asked) == 3
    assert len(rates) == 1_200
    assert [rate.funding_ts for rate in rates] == [
        (T0 + step * HOUR_MS) * 1_000_000 for step in range(1_200)
    ]
    assert (rates[7].rate, rates[7].rate_raw) == (7e-7, "0.0000007")
    assert {(rate.kind, rate.interval_h) for rate in rates} == {(FundingKind.SETTLED, 1.0)}
    assert setup.weights.spent == [45.0, 45.0, pytest.approx(20 + 200 / 20, abs=0.2)]


async def test_intervals_of_eight_hours_only_where_rows_lie_so() -> None:
    hours = [0, 8, 16, 17, 18, 21]
    body = [
        {"coin": "BTC", "fundingRate": "0.0001", "time": T0 + hour * HOUR_MS + 40} for hour in hours
    ]
    async with rest({"fundingHistory": body}) as setup:
        rates = await setup.client.funding_history(BTC, T0, T0 + 100 * HOUR_MS)
    assert [rate.interval_h for rate in rates] == [8.0, 8.0, 8.0, 1.0, 1.0, 1.0]


def bars(question: dict[str, Any]) -> list[dict[str, Any]]:
    asked = question["req"]
    first = asked["startTime"] // 60_000 * 60_000
    return [
        {
            "t": start, "T": start + 59_999, "s": asked["coin"], "i": asked["interval"],
            "o": "0.0085", "c": "0.0086", "h": "0.0087", "l": "0.0084", "v": "1000.0", "n": 3,
        }
        for start in range(first, asked["endTime"], 60_000)
    ]  # fmt: skip


async def test_candles_in_base_units() -> None:
    now_ms = NOW_NS // 1_000_000
    async with rest({"candleSnapshot": bars}) as setup:
        found = await setup.client.candles(PEPE, 60, now_ms - 120_000, now_ms + 30_000)
    assert [one.open_ts // 1_000_000 for one in found] == [
        now_ms - 120_000,
        now_ms - 60_000,
        now_ms,
    ]
    assert [one.is_closed for one in found] == [True, True, False]
    assert (found[0].open, found[0].volume_base) == pytest.approx((8.5e-6, 1_000_000.0))
    assert found[0].volume_usd == pytest.approx(1_000 * 0.00855)
    assert (found[0].buy_base, found[0].trades) == (None, 3)


async def test_candles_reach_back_5000_bars() -> None:
    now_ms = NOW_NS // 1_000_000
    async with rest({"candleSnapshot": bars}) as setup:
        found = await setup.client.candles(BTC, 60, now_ms - 30 * 86_400_000, now_ms)
        assert len(setup.server.asked) == 1
        assert setup.server.asked[0]["req"]["startTime"] == now_ms - 5_000 * 60_000
        assert len(found) == 5_000
        assert setup.weights.spent == [pytest.approx(20 + 5_000 / 60, abs=0.1)]
        assert await setup.client.candles(BTC, 60, 0, now_ms - 6_000 * 60_000) == []
        assert len(setup.server.asked) == 1
        with pytest.raises(ValueError, match="expected an interval"):
            await setup.client.candles(BTC, 61, 0, now_ms)


async def test_a_book_costs_two() -> None:
    body = {
        "coin": "kPEPE",
        "time": T0,
        "levels": [[{"px": "0.0085", "sz": "10", "n": 1}], [{"px": "0.0086", "sz": "20", "n": 2}]],
    }
    async with rest({"l2Book": body}) as setup:
        book = await setup.client.book_snapshot(PEPE)
        assert (book.seq, book.ts_event, book.ts_recv) == (T0, T0 * 1_000_000, NOW_NS)
        assert book.bids[0] == pytest.approx((8.5e-6, 10_000.0))
        assert setup.weights.spent == [2.0]


async def test_what_the_venue_lacks_is_empty_and_said() -> None:
    async with rest({}) as setup:
        assert await setup.client.open_interest_history(BTC, 300, 0, T0) == []
        assert await setup.client.positioning(BTC, "accounts", 300, 0, T0) == []
        assert setup.server.asked == []
    assert not ADAPTER.offer.open_interest_history
    assert not ADAPTER.offer.taker_candles
    assert ADAPTER.offer.positioning == frozenset()
    assert (ADAPTER.offer.max_connections, ADAPTER.offer.connects) == (10, (30, 60.0))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((429, "null"), VenueThrottled),
        ((403, "denied"), VenueRefused),
        ((502, "bad gateway"), VenueUnavailable),
        ((500, "null"), VenueBadRequest),
        ((422, "Failed to deserialize the JSON body into the target type"), VenueBadRequest),
        ({"not": "a list"}, VenueBadAnswer),
        ([{"nor": "rows"}], VenueBadAnswer),
    ],
)
async def test_errors_are_typed(answer: Any, error: type[VenueError]) -> None:
    async with rest(
        {"fundingHistory": answer, "l2Book": answer, "metaAndAssetCtxs": answer}
    ) as setup:
        calls: list[Callable[[], Any]] = [
            lambda: setup.client.funding_history(BTC, T0, T0 + HOUR_MS),
            lambda: setup.client.book_snapshot(BTC),
            setup.client.instruments,
        ]
        for call in calls:
            with pytest.raises(VenueError) as raised:
                await call()
            assert type(raised.value) is error
        assert setup.weights.blocked == ([10.0] * 3 if error is VenueThrottled else [])


async def test_no_connection_is_unavailable() -> None:
    async with rest({}) as setup:
        pass
    with pytest.raises(VenueUnavailable):
        await setup.client.instruments()
    with pytest.raises(VenueUnavailable):
        await setup.client.book_snapshot(BTC)
    await setup.client.close()
