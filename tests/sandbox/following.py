"""Our own clients on an emulator, and what they tell."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from apps.ingest.emulator import Emulator
from apps.ingest.setups import VenueSetup, emulator_setups, listed_instruments
from apps.marketdata.books import BookState
from apps.marketdata.events import Event
from apps.marketdata.instruments import Instrument
from apps.venues.registry import ADAPTERS
from apps.venues.rest_client import RestClient
from apps.venues.stream_client import StreamClient, StreamState, StreamStatus
from tests.sandbox.conftest import Client


@dataclass
class Watched:
    """One venue's client and what it told."""

    setup: VenueSetup
    states: list[StreamState] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    instruments: list[Instrument] = field(default_factory=list)
    client: StreamClient | None = None
    rest: RestClient | None = None

    @property
    def venue(self) -> str:
        return self.setup.adapter.venue

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
        one.rest = rest
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


@asynccontextmanager
async def rest_of(sandbox: Client, venue: str) -> AsyncIterator[RestClient]:
    """Our own REST client of a venue."""
    (setup,) = await emulator_setups([ADAPTERS[venue]], Emulator("127.0.0.1", sandbox.config.port))
    rest = setup.adapter.rest_client(
        endpoints=setup.endpoints, now_ns=time.time_ns, rate_multiplier=setup.rate_multiplier
    )
    try:
        yield rest
    finally:
        await rest.close()
