"""Past marks and indices: candles joined by time, and each venue's own names and pages for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from apps.marketdata.events import MarkPrice
from apps.venues.base import VenueEndpoints
from apps.venues.binance.rest import BinanceRestClient
from apps.venues.bybit.rest import BybitRestClient
from apps.venues.marks import paired
from apps.venues.okx.rest import OkxRestClient
from apps.venues.registry import ADAPTERS
from apps.venues.rest_client import GivesMarkHistory
from tests.venues.adapter_contract import fixture_instruments

STEP_S, STEP = 300, 300_000
T0 = 1_763_712_000_000
COUNT = 1_700
"""More than a page of any venue."""
END = T0 + COUNT * STEP
NOW_NS = (END - STEP + 1) * 1_000_000
"""The last candle is still open."""
Rows = list[list[str]]


def price(opening: int, level: float) -> str:
    return f"{level + (opening - T0) / STEP / 100:.4f}"


def candles(level: float, first: int, last: int) -> Rows:
    """Open, high, low and close of each opening from ``first`` to ``last``."""
    openings = range(max(first, T0), min(last, END - STEP) + 1, STEP)
    return [[str(at), "1", "9", "1", price(at, level)] for at in openings]


def test_closes_are_paired_at_the_close_while_both_are_known() -> None:
    instrument = fixture_instruments("binance")[1]
    assert instrument.price_mult == 1000
    marks, indices = {0: 2000.0, 1000: 3000.0, 3000: 5000.0}, {0: 1000.0, 2000: 1.0, 3000: 1.0}
    found = paired(instrument, 1, marks, indices, 3_999 * 1_000_000)
    assert found == [MarkPrice(instrument, 10**9, 3_999 * 1_000_000, 2.0, 1.0)]
    assert len(paired(instrument, 1, marks, indices, 4_000 * 1_000_000)) == 2


def binance(query: dict[str, str], level: float) -> Any:
    first, last, limit = (int(query[name]) for name in ("startTime", "endTime", "limit"))
    rows = candles(level, -(-first // STEP) * STEP, last)[:limit]
    return [[int(row[0]), *row[1:], "0", int(row[0]) + STEP - 1, "0", 60, "0", "0"] for row in rows]


def bybit(query: dict[str, str], level: float) -> Any:
    first, last, limit = (int(query[name]) for name in ("start", "end", "limit"))
    rows = candles(level, -(-first // STEP) * STEP, last)[::-1][:limit]
    return {"retCode": 0, "retMsg": "OK", "result": {"list": rows}, "time": 0}


def okx(query: dict[str, str], level: float) -> Any:
    rows = candles(level, T0, int(query["after"]) - 1)[::-1][: int(query["limit"])]
    return {"code": "0", "msg": "", "data": [[*row, "1"] for row in rows]}


VENUES: dict[str, tuple[Any, Callable[[dict[str, str], float], Any], dict[str, float]]] = {
    "binance": (
        BinanceRestClient,
        binance,
        {"/fapi/v1/markPriceKlines": 101.0, "/fapi/v1/indexPriceKlines": 100.0},
    ),
    "bybit": (
        BybitRestClient,
        bybit,
        {"/v5/market/mark-price-kline": 101.0, "/v5/market/index-price-kline": 100.0},
    ),
    "okx": (
        OkxRestClient,
        okx,
        {
            "/api/v5/market/history-mark-price-candles": 101.0,
            "/api/v5/market/history-index-candles": 100.0,
        },
    ),
}


@asynccontextmanager
async def served(venue: str, asked: list[dict[str, str]]) -> AsyncIterator[Any]:
    make, answer, levels = VENUES[venue]

    async def handle(request: web.Request) -> web.Response:
        query = dict(request.query)
        asked.append(query)
        return web.json_response(answer(query, levels[request.path]))

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = make(
        endpoints=VenueEndpoints(url, "ws://unused"), now_ns=lambda: NOW_NS, rate_multiplier=1000
    )
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


@pytest.mark.parametrize("venue", VENUES)
async def test_all_pages_of_both_series(venue: str) -> None:
    instrument = fixture_instruments(venue)[0]
    asked: list[dict[str, str]] = []
    async with served(venue, asked) as client:
        assert isinstance(client, GivesMarkHistory)
        found = await client.mark_history(instrument, STEP_S, T0, END)
    closes = [one.ts_event // 1_000_000 for one in found]
    assert closes == [T0 + n * STEP for n in range(1, COUNT)]
    for one in (found[0], found[-1]):
        opening = one.ts_event // 1_000_000 - STEP
        assert one.mark_price == float(price(opening, 101.0))
        assert one.index_price == float(price(opening, 100.0))
    names = {query.get("symbol") or query.get("pair") or query["instId"] for query in asked}
    expected = {"BTC-USDT-SWAP", "BTC-USDT"} if venue == "okx" else {"BTCUSDT"}
    assert names == expected


def test_who_has_a_past_of_marks_says_how_large_its_pages_are() -> None:
    assert {name: one.offer.mark_page for name, one in ADAPTERS.items() if one.offer.mark_page} == {
        "binance": 1500,
        "bybit": 1000,
        "okx": 100,
    }
