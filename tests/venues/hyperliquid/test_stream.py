"""The streaming client against a local server that speaks Hyperliquid's protocol."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from apps.marketdata.books import HYPERLIQUID, BookState, BookSynchroniser, Outcome
from apps.marketdata.events import BookSnapshot, Control, Event, Trade
from apps.marketdata.universe import ASSETS
from apps.venues.base import VenueEndpoints
from apps.venues.hyperliquid.stream import (
    HyperliquidDialect,
    HyperliquidStreamClient,
    stream_plan,
)
from apps.venues.stream_client import StreamSpec, StreamState, StreamStatus
from apps.venues.timing import Timing
from tests.venues.adapter_contract import fixture_instruments
from tests.venues.local_venue import LocalVenue, Peer, Script, local_venue

BTC, PEPE, ETH = fixture_instruments("hyperliquid")
T = 1_763_719_200_000
TRADES = StreamSpec("ws", "trades:BTC", "BTC", "trade", 1000.0, "BTC")
BOOK = StreamSpec("ws", "l2Book:BTC", "BTC", "book", 1000.0, "BTC")
FAST = StreamSpec("ws", "l2Book:BTC:fast", "BTC", "book", 1000.0, "BTC")
NOPE = StreamSpec("ws", "trades:NOPE", "NOPE", "trade", 1000.0, "NOPE")
QUICK = Timing(
    ack_timeout=0.5, first_frame=0.3, watch_period=0.01, resubscribe_after=0.05, healthy_after=0.0
)


def framed(channel: str, data: object) -> bytes:
    return orjson.dumps({"channel": channel, "data": data})


def trades(*numbers: int) -> bytes:
    return framed(
        "trades",
        [
            {"coin": "BTC", "side": "B", "px": "90000.0", "sz": "0.1", "time": T, "tid": number}
            for number in numbers
        ],
    )


def book(time_ms: int, bid: str = "89999.0", ask: str = "90001.0") -> bytes:
    levels = [[{"px": bid, "sz": "1.0", "n": 1}], [{"px": ask, "sz": "1.0", "n": 1}]]
    return framed("l2Book", {"coin": "BTC", "time": time_ms, "levels": levels})


@dataclass
class Listener:
    events: list[Event] = field(default_factory=list)
    states: list[StreamState] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    client: HyperliquidStreamClient | None = None

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    def on_state(self, state: StreamState) -> None:
        self.states.append(state)
        self.changed.set()

    @property
    def trade_ids(self) -> list[str]:
        return [event.trade_id for event in self.events if isinstance(event, Trade)]

    def statuses(self, channel: str) -> list[StreamStatus]:
        return [state.status for state in self.states if state.channel == channel]

    @property
    def book(self) -> BookSynchroniser | None:
        assert self.client is not None
        return self.client.books.get(BTC.key)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def streaming(
    venue: LocalVenue, *specs: StreamSpec, timing: Timing = QUICK
) -> AsyncIterator[Listener]:
    listener = Listener()
    loop = asyncio.get_running_loop()

    async def sleep(seconds: float) -> None:
        # Back-offs, pacing and keep-alives are shortened; life spans stay.
        await asyncio.sleep(min(seconds, 0.02) if seconds < 100 else seconds)

    client = HyperliquidStreamClient(
        endpoints=VenueEndpoints("http://unused", venue.url),
        instruments=fixture_instruments("hyperliquid"),
        stream_plan=specs,
        on_event=listener.on_event,
        on_state=listener.on_state,
        now_ns=lambda: int(loop.time() * 1e9),
        rng=random.Random(7),
        sleep=sleep,
        timing=timing,
    )
    listener.client = client
    task = asyncio.create_task(client.run())
    try:
        yield listener
    finally:
        await client.stop()
        await asyncio.wait_for(task, 5)


def answer_of(request: dict[str, Any]) -> bytes:
    """What the venue answers, word for word."""
    asked = request.get("subscription", {})
    if request["method"] == "ping":
        return b'{"channel":"pong"}'
    if asked.get("coin") == "NOPE":
        return framed("error", f"Invalid subscription {json.dumps(asked)}")
    if asked["type"] == "l2Book":
        # The echo of a book leaves "fast" out, and adds what was not asked.
        asked = {"type": "l2Book", "coin": asked["coin"], "nSigFigs": None, "mantissa": None}
    return framed("subscriptionResponse", {"method": request["method"], "subscription": asked})


async def serve(peer: Peer, on_subscribe: Callable[[dict[str, Any]], list[bytes]]) -> None:
    while True:
        request = await peer.request()
        await peer.socket.send(answer_of(request), text=True)
        if request["method"] == "subscribe":
            for raw in on_subscribe(request["subscription"]):
                await peer.socket.send(raw, text=True)


def sends(*frames: bytes) -> Script:
    return lambda peer: serve(peer, lambda asked: list(frames))


async def test_one_message_per_subscription_and_their_shape() -> None:
    async with (
        local_venue(sends(trades(1), book(T))) as venue,
        streaming(venue, TRADES, FAST) as heard,
    ):
        await heard.until(lambda: heard.trade_ids != [] and heard.book is not None)
        asked = [
            request["subscription"]
            for peer in venue.peers
            for request in peer.requests
            if request["method"] == "subscribe"
        ]
        assert {peer.path for peer in venue.peers} == {"/ws"}
        assert sorted(asked, key=str) == [
            {"type": "l2Book", "coin": "BTC", "fast": True},
            {"type": "trades", "coin": "BTC"},
        ]
        for channel in (TRADES.channel, FAST.channel):
            assert heard.statuses(channel)[:2] == [StreamStatus.CONNECTING, StreamStatus.LIVE]
        assert not [one for one in heard.states if one.status is StreamStatus.RECONNECTING]


async def test_a_fast_book_is_acknowledged_though_the_echo_does_not_say_so() -> None:
    async with local_venue(sends(book(T))) as venue, streaming(venue, FAST) as heard:
        await heard.until(lambda: any(isinstance(one, Control) for one in heard.events))
        await asyncio.sleep(QUICK.ack_timeout + 0.1)
        assert not [one for one in heard.states if one.status is StreamStatus.RECONNECTING]


async def test_each_trade_passes_once_whatever_brings_it() -> None:
    """The backlog after a reconnect repeats what the connection before had brought."""

    async def first(peer: Peer) -> None:
        request = await peer.request()
        await peer.socket.send(answer_of(request), text=True)
        await peer.socket.send(trades(1, 2, 3), text=True)
        await peer.socket.send(trades(3, 4), text=True)

    async with (
        local_venue(first, sends(trades(2, 3, 4, 5, 6), trades(7))) as venue,
        streaming(venue, TRADES) as heard,
    ):
        await heard.until(lambda: heard.trade_ids[-1:] == ["7"])
        assert heard.trade_ids == ["1", "2", "3", "4", "5", "6", "7"]


async def test_a_whole_book_replaces_the_one_before_and_an_older_one_is_dropped() -> None:
    frames = [book(T), book(T + 500, "90010.0", "90011.0"), book(T + 100, "1.0", "2.0")]
    async with local_venue(sends(*frames)) as venue, streaming(venue, BOOK) as heard:
        await heard.until(lambda: sum(isinstance(one, BookSnapshot) for one in heard.events) == 3)
        assert heard.book is not None
        assert heard.book.state is BookState.LIVE
        assert (heard.book.book.bids, heard.book.book.asks) == ({90_010.0: 1.0}, {90_011.0: 1.0})
        assert heard.book.gap_count == 0


async def test_a_crossed_book_is_void_and_asked_for_again() -> None:
    async def script(peer: Peer) -> None:
        await serve(
            peer,
            lambda asked: [book(T, "5.0", "4.0")] if len(peer.requests) == 1 else [book(T + 1)],
        )

    async with local_venue(script) as venue, streaming(venue, BOOK) as heard:
        await heard.until(lambda: heard.book is not None and heard.book.state is BookState.LIVE)
        methods = [one["method"] for one in venue.peers[0].requests if one["method"] != "ping"]
        assert methods[:3] == ["subscribe", "unsubscribe", "subscribe"]


async def test_a_refused_coin_is_stale_and_the_others_go_on() -> None:
    async with local_venue(sends(trades(1))) as venue, streaming(venue, TRADES, NOPE) as heard:
        await heard.until(
            lambda: StreamStatus.STALE in heard.statuses(NOPE.channel) and heard.trade_ids == ["1"]
        )
        (reason,) = {one.reason for one in heard.states if one.channel == NOPE.channel} - {
            "connecting to /ws",
            "stopped",
        }
        assert reason.startswith("refused: Invalid subscription")
        assert heard.statuses(TRADES.channel)[-1] is StreamStatus.LIVE


async def test_pings_keep_a_quiet_connection_and_a_deaf_one_is_left() -> None:
    async def deaf(peer: Peer) -> None:
        request = await peer.request()
        await peer.socket.send(answer_of(request), text=True)
        await peer.socket.send(trades(1), text=True)
        while True:
            await peer.request()

    async with local_venue(deaf, sends(trades(2))) as venue, streaming(venue, TRADES) as heard:
        await heard.until(lambda: heard.trade_ids == ["1", "2"])
        pings = [one for one in venue.peers[0].requests if one["method"] == "ping"]
        assert pings[0] == {"method": "ping"}
        (lost,) = (one for one in heard.states if one.status is StreamStatus.RECONNECTING)
        assert lost.reason.startswith("no answer to our ping")
        await heard.until(
            lambda: any(isinstance(one, Control) and one.kind == "pong" for one in heard.events)
        )


async def test_a_silent_book_is_stale() -> None:
    silent = StreamSpec("ws", "l2Book:BTC", "BTC", "book", 0.1, "BTC")

    def once(asked: dict[str, Any]) -> list[bytes]:
        return [trades(1)] if asked["type"] == "trades" else [book(T)]

    async with (
        local_venue(lambda peer: serve(peer, once)) as venue,
        streaming(venue, silent, TRADES) as heard,
    ):
        await heard.until(lambda: StreamStatus.RECONNECTING in heard.statuses(silent.channel))
        assert "silent" in next(
            one.reason for one in heard.states if one.status is StreamStatus.RECONNECTING
        )
        # The trades are on a connection of their own.
        assert StreamStatus.RECONNECTING not in heard.statuses(TRADES.channel)


async def test_broken_frames_are_counted_and_the_stream_goes_on() -> None:
    frames = [b"{", b"", framed("weather", {}), framed("trades", "no"), trades(3)]
    async with local_venue(sends(trades(1), *frames)) as venue, streaming(venue, TRADES) as heard:
        await heard.until(lambda: heard.trade_ids == ["1", "3"])
        assert heard.client is not None
        assert heard.client.stats.malformed.total() == 3
        assert heard.client.stats.unknown == {"weather": 1}


def test_the_universe_fits_the_venues_caps() -> None:
    listed = [
        type(BTC)(venue="hyperliquid", symbol=asset, asset=asset, kind=BTC.kind, quote="USDC")
        for asset in ASSETS
    ]
    plan = stream_plan(listed, fast_books=("BTC",))
    assert len(plan) == 195 < 1_000
    by_channel = {spec.channel: spec for spec in plan}
    # Stale after three times the cadence.
    assert by_channel["l2Book:BTC:fast"].max_silence_s == 1.5
    assert by_channel["l2Book:ETH"].max_silence_s == 15.0
    client = HyperliquidStreamClient(
        endpoints=VenueEndpoints("http://unused", "ws://unused"),
        instruments=listed,
        stream_plan=plan,
        on_event=lambda event: None,
        on_state=lambda state: None,
        now_ns=lambda: 0,
        rng=random.Random(1),
    )
    assert [len(lane.specs) for lane in client.lanes] == [130, 65]
    dialect = HyperliquidDialect(VenueEndpoints("", ""))
    # Every lane twice while a replacement overlaps, and still under 10 connections.
    assert 2 * len(client.lanes) <= 10
    assert dialect.keep_alive("ws") == (20.0, b'{"method":"ping"}')
    assert 60 / dialect.message_gap_s("ws") <= 2_000


def test_a_venue_that_goes_back_in_time_is_believed_in_the_end() -> None:
    books = BookSynchroniser(BTC, HYPERLIQUID)

    def at(time_ms: int) -> BookSnapshot:
        return BookSnapshot(BTC, time_ms, 1, time_ms, [(1.0, 1.0)], [(2.0, float(time_ms))])

    assert books.on_snapshot(at(5_000)) is Outcome.APPLIED
    assert books.on_snapshot(at(5_000)) is Outcome.APPLIED
    outcomes = [books.on_snapshot(at(1_000 + step)) for step in range(101)]
    assert outcomes == [Outcome.DROPPED] * 100 + [Outcome.APPLIED]
    assert books.book.asks == {2.0: 1_100.0}


def test_a_silent_book_goes_on_with_the_next_newer_one() -> None:
    books = BookSynchroniser(BTC, HYPERLIQUID)
    states: list[BookState] = []
    for step in (1_000, None, 900, 2_000):
        if step is None:
            books.mark_stale("silent")
        else:
            books.on_snapshot(BookSnapshot(BTC, step, 1, step, [(1.0, 1.0)], [(2.0, 1.0)]))
        states.append(books.state)
    assert states == [BookState.LIVE, BookState.STALE, BookState.STALE, BookState.LIVE]
