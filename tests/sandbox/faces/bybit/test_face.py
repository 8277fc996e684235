"""The face as FOCSAL's own adapter reads it, and the venue's refusals."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from typing import Any

import pytest

from apps.marketdata.books import BookState
from apps.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FundingRate,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
)
from apps.venues.base import VenueEndpoints
from apps.venues.bybit.rest import BybitRestClient
from apps.venues.bybit.stream import BybitStreamClient, stream_plan
from apps.venues.errors import VenueRefused
from apps.venues.stream_client import StreamState, StreamStatus
from tests.sandbox.faces.bybit.conftest import Starter, Venue

DAY_MS = 86_400_000


def endpoints(venue: Venue) -> VenueEndpoints:
    return VenueEndpoints(rest=venue.url, ws=venue.url.replace("http", "ws"))


def rest_of(venue: Venue) -> BybitRestClient:
    return BybitRestClient(endpoints=endpoints(venue), now_ns=time.time_ns, rate_multiplier=100.0)


async def test_our_rest_client_reads_thirty_days(start: Starter) -> None:
    venue = await start()
    client = rest_of(venue)
    try:
        listed = {item.asset: item for item in await client.instruments()}
        assert set(listed) == {"BTC", "ETH", "PEPE", "ARB"}
        pepe, btc = listed["PEPE"], listed["BTC"]
        assert (pepe.symbol, pepe.price_mult) == ("1000PEPEUSDT", 1_000.0)
        assert len(client.dropped()) == 61
        now_ms = time.time_ns() // 1_000_000
        rates = await client.funding_history(btc, now_ms - 30 * DAY_MS, now_ms)
        assert len(rates) == 90
        assert {rate.interval_h for rate in rates} == {8.0}
        bars = await client.candles(pepe, 300, now_ms - 30 * DAY_MS, now_ms)
        assert len(bars) in (8_640, 8_641)
        steps = {b.open_ts - a.open_ts for a, b in itertools.pairwise(bars)}
        assert steps == {300_000_000_000}
        assert [bar.is_closed for bar in bars[-2:]] == [True, False]
        assert 1e-6 < bars[0].close < 1e-4
        day = await client.open_interest_history(btc, 300, now_ms - 2 * DAY_MS, now_ms)
        assert len(day) in (576, 577)
        one = await client.open_interest(btc)
        assert one.oi_usd is not None
        assert one.oi_base == pytest.approx(day[-1].oi_base, rel=0.05)
        assert {item.instrument.asset for item in await client.open_interests()} == set(listed)
        prices = await client.mark_prices()
        assert sum(isinstance(item, MarkPrice) for item in prices) == 4
        assert sum(isinstance(item, FundingRate) for item in prices) == 4
        shares = await client.positioning(btc, "accounts", 3_600, now_ms - DAY_MS, now_ms)
        assert len(shares) == 24
        book = await client.book_snapshot(pepe)
        assert 0 < book.bids[0][0] < book.asks[0][0] < 1e-4
    finally:
        await client.close()


async def test_our_stream_keeps_every_book_live(start: Starter) -> None:
    venue = await start()
    rest = rest_of(venue)
    listed = await rest.instruments()
    await rest.close()
    events: list[Event] = []
    states: list[StreamState] = []
    changed = asyncio.Event()
    kinds = {Trade, BookSnapshot, BookDelta, MarkPrice, FundingRate, OpenInterest, Ticker}

    def on_event(event: Event) -> None:
        events.append(event)
        if kinds <= {type(one) for one in events[-1:]} | seen:
            changed.set()
        seen.add(type(event))

    seen: set[type[Any]] = set()
    client = BybitStreamClient(
        endpoints=endpoints(venue),
        instruments=listed,
        stream_plan=stream_plan(listed),
        on_event=on_event,
        on_state=states.append,
        now_ns=time.time_ns,
        rng=random.Random(1),
    )
    task = asyncio.create_task(client.run())
    try:
        async with asyncio.timeout(20):
            await changed.wait()
            while sum(book.applied_count > 2 for book in client.books.values()) < 4:
                await asyncio.wait({task}, timeout=0.1)
        assert {book.state for book in client.books.values()} == {BookState.LIVE}
        assert {book.gap_count for book in client.books.values()} == {0}
        stats = client.stats
        assert not stats.malformed
        assert not stats.unknown
        live = {state.channel for state in states if state.status is StreamStatus.LIVE}
        assert {f"allLiquidation.{item.symbol}" for item in listed} <= live
    finally:
        await client.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_late_reader_of_tickers_gets_all_and_then_only_changes(start: Starter) -> None:
    venue = await start()
    socket = await venue.socket()
    await socket.send_json({"op": "subscribe", "args": ["tickers.BTCUSDT"], "req_id": "7"})
    ack = await socket.receive_json(timeout=5)
    assert (ack["success"], ack["op"], ack["req_id"]) == (True, "subscribe", "7")
    whole = await socket.receive_json(timeout=5)
    assert whole["type"] == "snapshot"
    assert float(whole["data"]["openInterest"]) == pytest.approx(
        2 * float(whole["data"]["singleOpenInterest"])
    )
    change = await socket.receive_json(timeout=5)
    assert change["type"] == "delta"
    assert change["cs"] > whole["cs"]
    assert len(change["data"]) < len(whole["data"])
    await socket.close()


async def test_requests_are_refused_as_the_venue_does(start: Starter) -> None:
    venue = await start()
    socket = await venue.socket()

    async def ask(**request: Any) -> Any:
        await socket.send_json(request)
        return await socket.receive_json(timeout=5)

    assert (await ask(op="ping"))["ret_msg"] == "pong"
    bad = await ask(op="subscribe", args=["tickers.NOPE", "tickers.BTCUSDT"])
    assert (bad["success"], bad["ret_msg"]) == (
        False,
        "error:handler not found,topic:tickers.NOPE",
    )
    assert not venue.subscribed
    assert (await ask(op="dance"))["success"] is False
    await socket.send_str("{")
    assert json.loads((await socket.receive(timeout=5)).data)["success"] is False
    await socket.close()
    one = {"category": "linear", "symbol": "BTCUSDT"}
    assert await venue.refused("funding/history", startTime=1, **one) == (200, 10001)
    assert await venue.refused("kline", interval="7", **one) == (200, 10001)
    assert await venue.refused("orderbook", category="linear", symbol="NOPE") == (200, 10001)
    assert (await venue.get("instruments-info", category="inverse"))["list"] == []


async def test_too_many_requests_shut_the_address_out_for_ten_minutes(start: Starter) -> None:
    venue = await start(("BTC",), 0.01)
    for _ in range(6):
        await venue.get("time")
    assert (await venue.refused("time"))[0] == 403
    venue.wall[0] += 599
    client = BybitRestClient(endpoints=endpoints(venue), now_ns=time.time_ns)
    try:
        with pytest.raises(VenueRefused) as caught:
            await client.instruments()
        assert caught.value.retry_after == 600.0
    finally:
        await client.close()
    venue.wall[0] += 2
    await venue.get("time")


async def test_instrument_lists_have_pages(start: Starter) -> None:
    venue = await start()
    first = await venue.get("instruments-info", category="linear", limit=3)
    assert [row["fundingInterval"] for row in first["list"]] == [480, 480, 480]
    rest = await venue.get(
        "instruments-info", category="linear", limit=3, cursor=first["nextPageCursor"]
    )
    assert [row["symbol"] for row in rest["list"]] == ["ARBUSDT"]
    assert rest["nextPageCursor"] == ""
