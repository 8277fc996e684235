"""Faults reach the venue that they name and no other, and our clients recover by themselves."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from apps.ingest.emulator import Emulator
from apps.ingest.setups import VenueSetup, emulator_setups, listed_instruments
from apps.marketdata.books import BookState
from apps.marketdata.events import BookDelta, Event
from apps.marketdata.instruments import Instrument
from apps.sandbox.faces.registry import VENUES
from apps.sandbox.faults import Faults, UnknownFault, Verdict, is_kind, words_of
from apps.venues.base import StreamClient, StreamState, StreamStatus
from apps.venues.registry import ADAPTERS
from tests.sandbox.conftest import Client, Starter

PASS, DROP, BREAK = Verdict(), Verdict(drop=True), Verdict(broken=True)


@dataclass
class Watched:
    """One venue's client and what it told."""

    setup: VenueSetup
    states: list[StreamState] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    instruments: list[Instrument] = field(default_factory=list)
    client: StreamClient | None = None

    @property
    def gaps(self) -> int:
        assert self.client is not None
        return sum(book.gap_count for book in self.client.books.values())

    def is_live(self) -> bool:
        assert self.client is not None
        books = self.client.books.values()
        return bool(books) and all(book.state is BookState.LIVE for book in books)

    def lost(self) -> set[StreamStatus]:
        bad = (StreamStatus.RECONNECTING, StreamStatus.STALE)
        return {one.status for one in self.states if one.status in bad}

    def book_symbol(self) -> str:
        plan = self.setup.plan(self.instruments)
        return next(one.symbol for one in plan if one.kind == "book" and one.asset == "BTC")


async def until(check: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    begin = time.monotonic()
    while not check():
        assert time.monotonic() - begin < seconds, what
        await asyncio.sleep(0.02)


@asynccontextmanager
async def following(sandbox: Client, *venues: str) -> AsyncIterator[list[Watched]]:
    """Clients of the venues, with live books."""
    emulator = Emulator("127.0.0.1", sandbox.config.port)
    watched = [
        Watched(one) for one in await emulator_setups([ADAPTERS[v] for v in venues], emulator)
    ]
    rests, running = [], []
    for one in watched:
        adapter, endpoints = one.setup.adapter, one.setup.endpoints
        rest = adapter.rest_client(
            endpoints=endpoints, now_ns=time.time_ns, rate_multiplier=one.setup.rate_multiplier
        )
        rests.append(rest)
        one.instruments = await listed_instruments(one.setup, rest, frozenset({"BTC", "ETH"}))
        one.client = adapter.stream_client(
            endpoints=endpoints,
            instruments=one.instruments,
            stream_plan=one.setup.plan(one.instruments),
            on_event=one.events.append,
            on_state=one.states.append,
            now_ns=time.time_ns,
            rng=random.Random(3),
            fetch_snapshot=rest.book_snapshot,
        )
        running.append(asyncio.create_task(one.client.run()))
    try:
        for one in watched:
            await until(one.is_live, f"{one.setup.adapter.venue}: books are live")
            one.states.clear()
        yield watched
    finally:
        for one in watched:
            if one.client is not None:
                await one.client.stop()
        await asyncio.gather(*running, return_exceptions=True)
        for rest in rests:
            await rest.close()


def other_than(venue: str) -> str:
    return next(one for one in VENUES if one != venue)


@pytest.mark.parametrize("venue", VENUES)
async def test_one_venues_sockets_are_cut_and_come_back(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue, other_than(venue)) as (cut, other):
        answer = await sandbox.post("/faults", {"fault": "drop_connections", "venue": venue})
        assert answer["dropped"] >= 1
        await until(lambda: StreamStatus.RECONNECTING in cut.lost(), "the cut is noticed")
        await until(cut.is_live, "books are live again")
        assert other.lost() == set()
        assert other.is_live()


@pytest.mark.parametrize("venue", VENUES)
async def test_a_gap_is_found_and_repaired(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue, other_than(venue)) as (hit, other):
        symbol = hit.book_symbol()
        hit.events.clear()
        await sandbox.post("/faults", {"fault": "gap", "venue": venue, "symbol": symbol})
        hub = sandbox.sandbox.faults
        await until(lambda: set(hub.gaps.values()) == {0}, "a frame was held back")
        if any(isinstance(event, BookDelta) for event in hit.events):
            await until(lambda: hit.gaps >= 1, "the gap is counted")
        await until(hit.is_live, "books are live again")
        assert other.gaps == 0
        assert other.lost() == set()


@pytest.mark.parametrize("venue", VENUES)
async def test_a_stalled_venue_says_nothing_while_others_go_on(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue, other_than(venue)) as (stalled, other):
        await sandbox.post(
            "/faults", {"fault": "stall", "venue": venue, "symbol": "*", "seconds": 1.5}
        )
        await asyncio.sleep(0.3)
        stalled.events.clear()
        other.events.clear()
        await until(lambda: len(other.events) > 5, "the other venue goes on", 1.1)
        assert stalled.events == []
        await until(lambda: len(stalled.events) > 5, "it goes on")


async def test_a_venue_that_is_not_there_is_refused(start: Starter) -> None:
    sandbox = await start()
    answer = await sandbox.post("/faults", {"fault": "drop_connections", "venue": "nyse"})
    assert answer["error"].startswith("drop_connections: ")
    assert "expected one of binance" in answer["error"]


def test_words_and_kinds_of_every_venues_channels() -> None:
    assert words_of("btcusdt@depth@100ms") == ("btcusdt", "depth", "100ms")
    assert words_of("book.BTC-PERPETUAL.100ms") == ("book", "btc-perpetual", "100ms")
    books = (
        "btcusdt@depth@100ms",
        "orderbook.50.BTCUSDT",
        "books:BTC-USDT-SWAP",
        "book.BTC-PERPETUAL.100ms",
        "l2Book:BTC",
    )
    assert all(is_kind("book", words_of(name)) for name in books)
    others = ("btcusdt@bookTicker", "publicTrade.BTCUSDT", "tickers:BTC-USDT-SWAP")
    assert not any(is_kind("book", words_of(name)) for name in others)
    assert is_kind("trade", words_of("publicTrade.BTCUSDT"))
    assert is_kind("quote", words_of("btcusdt@bookTicker"))
    assert is_kind("liquidation", words_of("liquidation-orders:SWAP"))


def test_verdicts_by_venue_symbol_and_kind() -> None:
    now = [100.0]
    faults = Faults(lambda: now[0])
    faults.apply({"fault": "gap", "venue": "bybit", "symbol": "BTCUSDT", "count": 2})
    assert faults.judge("binance", "btcusdt@depth@100ms") == PASS
    assert faults.judge("bybit", "publicTrade.BTCUSDT") == PASS
    assert [faults.judge("bybit", "orderbook.50.BTCUSDT") for _ in range(3)] == [DROP, DROP, PASS]
    faults.apply({"fault": "stall", "symbol": "BTCUSDT", "seconds": 5})
    assert faults.judge("binance", "btcusdt@trade") == DROP
    assert faults.judge("bybit", "publicTrade.BTCUSDT") == DROP
    assert faults.judge("bybit", "publicTrade.ETHUSDT") == PASS
    now[0] = 105.0
    assert faults.judge("bybit", "publicTrade.BTCUSDT") == PASS
    faults.apply({"fault": "malformed", "venue": "okx", "kind": "mark"})
    assert faults.judge("binance", "btcusdt@markPrice@1s") == PASS
    assert faults.judge("okx", "mark-price:BTC-USDT-SWAP") == BREAK
    assert faults.judge("okx", "mark-price:BTC-USDT-SWAP") == PASS
    with pytest.raises(UnknownFault, match="gap: KeyError"):
        faults.apply({"fault": "gap"})
