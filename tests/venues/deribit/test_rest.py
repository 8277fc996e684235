"""Deribit's REST client: against the emulated venue, and against answers made by hand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from apps.marketdata.events import FundingKind, FundingRate, Liquidation, MarkPrice, Trade
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.base import VenueEndpoints
from apps.venues.deribit.rest import DeribitRestClient
from apps.venues.errors import VenueBadAnswer, VenueBadRequest, VenueThrottled, VenueUnavailable
from tests.sandbox.faces.deribit.conftest import Served, serve
from tests.venues.adapter_contract import fixture_instruments

BTC, SOL, CALL, _ = fixture_instruments("deribit")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOW_MS = 1_763_719_200_000
Handler = Callable[[str, dict[str, str]], tuple[int, Any]]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async for one in serve(50.0):
        yield one


@pytest.fixture
async def client(served: Served) -> AsyncIterator[DeribitRestClient]:
    endpoints = VenueEndpoints(served.rest, served.ws)
    made = DeribitRestClient(endpoints=endpoints, now_ns=time.time_ns, rate_multiplier=20.0)
    yield made
    await made.close()


async def test_the_emulated_venue(client: DeribitRestClient) -> None:
    instruments = await client.instruments()
    assert [(one.symbol, one.asset, one.is_inverse) for one in instruments] == [
        ("BTC-PERPETUAL", "BTC", True),
        ("ETH-PERPETUAL", "ETH", True),
        ("SOL_USDC-PERPETUAL", "SOL", False),
        ("XRP_USDC-PERPETUAL", "XRP", False),
    ]
    assert {drop.reason for drop in client.dropped()} == {"not listed"}
    events = await client.mark_prices()
    marks = {one.instrument.asset: one for one in events if isinstance(one, MarkPrice)}
    rates = [one for one in events if isinstance(one, FundingRate)]
    assert len(marks) == len(rates) == 4
    assert {one.interval_h for one in rates} == {8.0}
    for interest in await client.open_interests():
        mark = marks[interest.instrument.asset].mark_price
        assert interest.oi_usd == pytest.approx(interest.oi_base * mark, rel=1e-3)
        assert interest.oi_contracts > 0
    one = await client.open_interest(instruments[2])
    assert one.oi_usd is not None
    assert one.oi_usd > 1e6
    end = time.time_ns() // 1_000_000
    funding = await client.funding_history(instruments[0], end - 40 * DAY_MS, end)
    assert len(funding) == 960
    assert {(rate.interval_h, rate.kind) for rate in funding} == {(1.0, FundingKind.SETTLED)}
    assert len({rate.funding_ts for rate in funding}) == 960
    candles = await client.candles(instruments[1], 300, end - 30 * DAY_MS, end)
    assert len(candles) == 8640
    assert [bar.is_closed for bar in candles[-2:]] == [True, False]
    assert candles[0].volume_base * candles[0].close == pytest.approx(
        candles[0].volume_usd, rel=0.02
    )
    book = await client.book_snapshot(instruments[0])
    assert book.bids[0][0] < book.asks[0][0]
    assert 0 < book.bids[0][1] < 1_000
    assert await client.open_interest_history(instruments[0], 300, 0, 1) == []
    assert await client.positioning(instruments[0], "accounts", 300, 0, 1) == []
    assert client.bad_rows == 0


async def test_the_emulated_options(client: DeribitRestClient) -> None:
    options = await client.option_instruments("USDC")
    assert {one.asset for one in options} == {"SOL", "XRP"}
    broken = [one for one in options if "d" in one.symbol.split("-")[2]]
    assert broken
    for one in broken:
        assert one.strike == float(one.symbol.split("-")[2].replace("d", "."))
    chain = await client.option_chain("USDC", options)
    assert len(chain) == len(options)
    assert all(quote.mark_iv is not None and 0.3 < quote.mark_iv < 6 for quote in chain)
    quote = await client.option_quote(options[0])
    assert quote.delta is not None
    assert abs(quote.delta) <= 1
    index = await client.index_price("SOL")
    assert quote.underlying_price == pytest.approx(index.price, rel=0.01)
    end = time.time_ns() // 1_000_000
    closes = await client.volatility_index("ETH", 60, end - DAY_MS, end)
    # Two pages of at most a thousand.
    assert len(closes) in (1440, 1441)
    assert all(0.3 < one.volatility < 2.5 for one in closes)


async def test_trades_page_by_page(client: DeribitRestClient) -> None:
    perpetuals = await client.instruments()
    end = time.time_ns() // 1_000_000
    events = await client.trades("BTC", InstrumentKind.PERP, perpetuals, end - 2 * HOUR_MS, end)
    trades = [one for one in events if isinstance(one, Trade)]
    assert len({one.trade_id for one in trades}) == len(trades) > 3_000
    assert [one.ts_event for one in trades] == sorted(one.ts_event for one in trades)
    numbers = [int(one.trade_id) for one in trades]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert any(isinstance(one, Liquidation) for one in events)


# --- answers made by hand -------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
async def against() -> AsyncIterator[
    Callable[[Handler], Awaitable[tuple[DeribitRestClient, Clock]]]
]:
    """A client of a venue that answers with ``handler(method, params)``."""
    runners: list[web.AppRunner] = []
    clients: list[DeribitRestClient] = []

    async def start(handler: Handler) -> tuple[DeribitRestClient, Clock]:
        async def answer(request: web.Request) -> web.Response:
            status, body = handler(request.match_info["method"], dict(request.query))
            return web.json_response(body, status=status)

        app = web.Application()
        app.router.add_get("/api/v2/public/{method}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url, clock = f"http://127.0.0.1:{runner.addresses[0][1]}", Clock()
        made = DeribitRestClient(
            endpoints=VenueEndpoints(url, url),
            now_ns=lambda: NOW_MS * 1_000_000,
            monotonic=clock.monotonic,
            sleep=clock.sleep,
        )
        clients.append(made)
        return made, clock

    yield start
    for made in clients:
        await made.close()
    for runner in runners:
        await runner.cleanup()


def failing(status: int, code: int) -> Handler:
    error = {"jsonrpc": "2.0", "error": {"code": code, "message": "no"}, "usIn": 1}
    return lambda method, params: (status, error)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 10028, VenueThrottled),
        (429, 10028, VenueThrottled),
        (400, 13020, VenueBadRequest),
        (400, 11051, VenueUnavailable),
        (500, 11094, VenueUnavailable),
    ],
)
async def test_the_venue_s_codes_become_typed_errors(
    against: Any, status: int, code: int, kind: type[Exception]
) -> None:
    client, clock = await against(failing(status, code))
    with pytest.raises(kind):
        await client.index_price("BTC")
    before = clock.now
    with pytest.raises(kind):
        await client.index_price("BTC")
    # Who was throttled comes back after ten seconds.
    assert clock.now - before >= (10 if kind is VenueThrottled else 0)


async def test_only_the_hourly_rate_of_a_row_is_used(against: Any) -> None:
    rows = [
        {"timestamp": NOW_MS - HOUR_MS * back, "index_price": 9e4, "prev_index_price": 9e4,
         "interest_8h": 0.0008, "interest_1h": 1e-4}
        for back in (2, 1, 0)
    ]  # fmt: skip
    client, _ = await against(lambda method, params: (200, {"result": rows}))
    rates = await client.funding_history(BTC, NOW_MS - 3 * HOUR_MS, NOW_MS)
    assert [(one.rate, one.rate_raw, one.interval_h) for one in rates] == [
        (1e-4, "0.0001", 1.0)
    ] * 2
    assert rates[0].funding_ts == (NOW_MS - 2 * HOUR_MS) * 1_000_000


async def test_the_instrument_list_is_asked_for_once_a_second(against: Any) -> None:
    asked: list[str] = []

    def handler(method: str, params: dict[str, str]) -> tuple[int, Any]:
        asked.append(params["currency"])
        return 200, {"result": []}

    client, clock = await against(handler)
    assert await client.instruments() == []
    assert asked == ["BTC", "ETH", "USDC"]
    assert clock.now >= 2.0


async def test_what_is_left_out_is_said(against: Any) -> None:
    def row(name: str, base: str, **changes: Any) -> dict[str, Any]:
        return {
            "instrument_name": name, "kind": "future", "base_currency": base,
            "quote_currency": "USDC", "settlement_currency": "USDC", "is_active": True,
            "tick_size": 0.01, "contract_size": 1.0, "min_trade_amount": 1.0,
            "settlement_period": "perpetual", **changes,
        }  # fmt: skip

    rows = [
        row("SOL_USDC-PERPETUAL", "SOL"),
        row("XRP_USDC-PERPETUAL", "XRP", state="halted"),
        row("DOGE_USDC-PERPETUAL", "DOGE"),
        {"instrument_name": "broken"},
    ]
    client, _ = await against(
        lambda method, params: (200, {"result": rows if params["currency"] == "USDC" else []})
    )
    assert [one.symbol for one in await client.instruments()] == ["SOL_USDC-PERPETUAL"]
    reasons = {drop.asset: drop.reason for drop in client.dropped()}
    assert reasons["XRP"] == "state halted"
    assert reasons["DOGE"] == "only BTC, ETH, SOL, XRP are followed"
    assert reasons["BTC"] == "not listed"
    assert client.bad_rows == 1


async def test_nonsense_is_refused(against: Any) -> None:
    client, _ = await against(lambda method, params: (200, {"result": {"nothing": 1}}))
    with pytest.raises(VenueBadAnswer):
        await client.book_snapshot(BTC)
    with pytest.raises(VenueBadAnswer):
        await client.open_interest(SOL)
    with pytest.raises(ValueError, match="interval"):
        await client.candles(BTC, 7, 0, 1)


def test_an_option_has_what_a_chain_needs() -> None:
    assert isinstance(CALL, Instrument)
    assert (CALL.strike, CALL.option_type) == (100000.0, "call")
