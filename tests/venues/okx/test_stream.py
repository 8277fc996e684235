"""The client against a local server that speaks OKX: acks per channel, text pings, books that repair."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from apps.marketdata.books import BookState
from apps.marketdata.events import BookSnapshot, Control, Event, Trade
from apps.venues.base import VenueEndpoints
from apps.venues.okx.stream import (
    LIQUIDATIONS,
    OkxDialect,
    OkxStreamClient,
    arg_of,
    channel_of,
    stream_plan,
)
from apps.venues.stream_client import StreamSpec, StreamState, StreamStatus
from apps.venues.timing import Timing
from tests.venues.adapter_contract import fixture_instruments, frame
from tests.venues.local_venue import LocalVenue, local_venue
from tests.venues.okx.peer import OkxPeer, background, script_of, then_accept

BTC, PEPE, _ = fixture_instruments("okx")
INF = float("inf")
TRADES = StreamSpec("public", "trades:BTC-USDT-SWAP", "BTC", "trade", 1000.0, "BTC-USDT-SWAP")
PEPE_TRADES = StreamSpec(
    "public", "trades:PEPE-USDT-SWAP", "PEPE", "trade", 1000.0, "PEPE-USDT-SWAP"
)
BOOK = StreamSpec("public", "books:BTC-USDT-SWAP", "BTC", "book", 1000.0, "BTC-USDT-SWAP")
FORCED = StreamSpec("public", LIQUIDATIONS, "*", "liquidation", INF)
CANDLES = StreamSpec("business", "candle1m:BTC-USDT-SWAP", "BTC", "candle", 1000.0, "BTC-USDT-SWAP")
QUICK = Timing(
    ack_timeout=0.5, first_frame=0.2, watch_period=0.01, resubscribe_after=0.05, healthy_after=0.0
)


def book_frame(action: str, seq: int, previous: int, bid_size: str = "100") -> bytes:
    asks = [["90000.1", "415", "0", "1"]] if action == "snapshot" else []
    bids = [["90000", bid_size, "0", "1"]] if seq != previous else []
    row = {"asks": asks, "bids": bids, "ts": "1763719200100", "seqId": seq, "prevSeqId": previous}
    arg = {"channel": "books", "instId": "BTC-USDT-SWAP"}
    document = {"arg": arg, "action": action, "data": [row]}
    return json.dumps(document, separators=(",", ":")).encode()


def trade_frame(trade_id: int) -> bytes:
    return frame("okx", "trades.json").replace(b"700001", str(trade_id).encode())


@dataclass
class Listener:
    """Collects what the client says; ``until`` waits for a condition on it."""

    events: list[Event] = field(default_factory=list)
    states: list[StreamState] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    client: OkxStreamClient | None = None

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    def on_state(self, state: StreamState) -> None:
        self.states.append(state)
        self.changed.set()

    @property
    def trade_ids(self) -> list[str]:
        return [event.trade_id for event in self.events if isinstance(event, Trade)]

    def of(self, spec: StreamSpec) -> list[tuple[StreamStatus, str]]:
        return [(one.status, one.reason) for one in self.states if one.channel == spec.channel]

    @property
    def book(self) -> Any:
        assert self.client is not None
        return self.client.books[BTC.key]

    def is_live(self, seq: int) -> bool:
        assert self.client is not None
        book = self.client.books.get(BTC.key)
        return book is not None and book.state is BookState.LIVE and book.book.last_seq == seq

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def streaming(
    venue: LocalVenue, *specs: StreamSpec, timing: Timing = QUICK, pings_s: float = 0.0
) -> AsyncIterator[Listener]:
    """``pings_s``: what a period of 20 s lasts here; 0 for the real one."""
    listener = Listener()
    loop = asyncio.get_running_loop()

    async def sleep(seconds: float) -> None:
        if seconds == 20.0:
            await asyncio.sleep(pings_s or seconds)
            return
        if 0.3 < seconds < 100:
            listener.delays.append(seconds)
        await asyncio.sleep(min(seconds, 0.02) if seconds < 100 else seconds)

    client = OkxStreamClient(
        endpoints=VenueEndpoints("http://unused", venue.url),
        instruments=fixture_instruments("okx"),
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


async def test_public_and_business_channels_go_to_their_own_paths() -> None:
    accepting = script_of(lambda peer: peer.accept_for_ever())
    async with local_venue(accepting) as venue, streaming(venue, TRADES, FORCED, BOOK, CANDLES):
        await venue.wait_for_peers(3)
        assert sorted(peer.path for peer in venue.peers) == [
            "/ws/v5/business",
            "/ws/v5/public",
            "/ws/v5/public",
        ]


async def test_each_channel_is_acknowledged_by_itself() -> None:
    async def play(peer: OkxPeer) -> None:
        request = await peer.next()
        assert request["args"] == [
            {"channel": "trades", "instId": "BTC-USDT-SWAP"},
            {"channel": "liquidation-orders", "instType": "SWAP"},
        ]
        await peer.accept({**request, "args": request["args"][1:]})
        await peer.accept({**request, "args": request["args"][:1]})
        await peer.say(trade_frame(1))
        await peer.accept_for_ever()

    async with local_venue(script_of(play)) as venue, streaming(venue, TRADES, FORCED) as heard:
        await heard.until(lambda: heard.trade_ids == ["1"])
        assert heard.of(FORCED) == [
            (StreamStatus.CONNECTING, "connecting to /ws/v5/public"),
            (StreamStatus.LIVE, ""),
        ]
        acks = [event for event in heard.events if isinstance(event, Control)]
        assert [ack.channel for ack in acks] == [LIQUIDATIONS, TRADES.channel]


async def test_one_refused_channel_leaves_the_others_alone() -> None:
    async def play(peer: OkxPeer) -> None:
        request = await peer.next()
        good, bad = request["args"]
        await peer.refuse(request, bad)
        await peer.accept({**request, "args": [good]})
        await peer.say(trade_frame(1))
        await peer.accept_for_ever()

    async with (
        local_venue(script_of(play)) as venue,
        streaming(venue, TRADES, PEPE_TRADES) as heard,
    ):
        await heard.until(lambda: heard.trade_ids == ["1"])
        await heard.until(lambda: len(heard.of(PEPE_TRADES)) == 2)
        status, reason = heard.of(PEPE_TRADES)[-1]
        assert status is StreamStatus.STALE
        assert reason.startswith(
            "refused: 60018: Wrong URL or channel:trades,instId:PEPE-USDT-SWAP"
        )
        assert len(venue.peers) == 1


async def test_a_missing_ack_ends_the_connection() -> None:
    async def half(peer: OkxPeer) -> None:
        request = await peer.next()
        await peer.accept({**request, "args": request["args"][:1]})
        await peer.peer.socket.wait_closed()

    async with (
        local_venue(script_of(half), then_accept(trade_frame(5))) as venue,
        streaming(venue, TRADES, PEPE_TRADES) as heard,
    ):
        await heard.until(lambda: heard.trade_ids == ["5"])
        reasons = [one.reason for one in heard.states if one.status is StreamStatus.RECONNECTING]
        assert "no ack for 1 channels" in reasons[0]


async def test_text_pings_keep_the_connection_and_pongs_are_control() -> None:
    peers: list[OkxPeer] = []

    async def play(peer: OkxPeer) -> None:
        peers.append(peer)
        await peer.accept_for_ever()

    async with (
        local_venue(script_of(play)) as venue,
        streaming(venue, FORCED, pings_s=0.02) as heard,
    ):
        await heard.until(
            lambda: sum(getattr(event, "kind", "") == "pong" for event in heard.events) >= 3
        )
        assert peers[0].pings >= 3
        assert len(venue.peers) == 1


async def test_a_connection_that_answers_no_ping_is_opened_anew() -> None:
    deaf = script_of(lambda peer: peer.accept_for_ever(), answers_pings=False)
    async with (
        local_venue(deaf, then_accept(frame("okx", "liquidation_long.json"))) as venue,
        streaming(venue, FORCED, pings_s=0.05) as heard,
    ):
        await heard.until(lambda: any(hasattr(event, "position_side") for event in heard.events))
        reasons = [one.reason for one in heard.states if one.status is StreamStatus.RECONNECTING]
        assert reasons[0].startswith("no answer to our ping")


async def test_a_book_lives_on_its_chain_through_heartbeats_and_resets() -> None:
    frames = (
        book_frame("snapshot", 100, -1),
        book_frame("update", 107, 100, "200"),
        *[book_frame("update", 107, 107)] * 150,
        book_frame("update", 3, 107, "300"),
        book_frame("update", 9, 3, "400"),
    )
    async with local_venue(then_accept(*frames)) as venue, streaming(venue, BOOK) as heard:
        await heard.until(lambda: heard.is_live(9))
        assert (heard.book.gap_count, heard.book.applied_count) == (0, 153)
        assert heard.book.book.bids == {90000.0: 4.0}


async def test_a_gap_is_repaired_by_leaving_and_joining_the_channel() -> None:
    peers: list[OkxPeer] = []

    async def play(peer: OkxPeer) -> None:
        peers.append(peer)
        await peer.accept(await peer.next())
        await peer.say(book_frame("snapshot", 100, -1), book_frame("update", 130, 120))
        await peer.accept(await peer.next())
        await peer.accept(await peer.next())
        await peer.say(
            book_frame("snapshot", 200, -1, "500"), book_frame("update", 210, 200, "600")
        )
        await peer.accept_for_ever()

    async with local_venue(script_of(play)) as venue, streaming(venue, BOOK) as heard:
        await heard.until(lambda: heard.is_live(210))
        assert peers[0].asked("unsubscribe") == [BOOK.channel]
        assert peers[0].asked("subscribe") == [BOOK.channel] * 2
        assert heard.book.gap_count == 1
        assert heard.book.book.bids == {90000.0: 6.0}
        assert len(venue.peers) == 1
        stale = [reason for status, reason in heard.of(BOOK) if status is StreamStatus.STALE]
        assert "expected a delta after 100" in stale[0]
        assert [event.seq for event in heard.events if isinstance(event, BookSnapshot)] == [
            100,
            200,
        ]


async def test_a_lost_book_comes_back_whole() -> None:
    async def cut(peer: OkxPeer) -> None:
        await peer.accept(await peer.next())
        await peer.say(book_frame("snapshot", 100, -1))
        await peer.peer.socket.close(1001, "maintenance")

    async with (
        local_venue(script_of(cut), then_accept(book_frame("snapshot", 50, -1, "700"))) as venue,
        streaming(venue, BOOK) as heard,
    ):
        await heard.until(lambda: heard.is_live(50))
        assert heard.book.book.bids == {90000.0: 7.0}
        assert any("maintenance" in reason for _, reason in heard.of(BOOK))


async def test_a_notice_of_closing_opens_a_replacement_without_losing_or_repeating_a_trade() -> (
    None
):
    opened = asyncio.Event()

    async def first(peer: OkxPeer) -> None:
        await peer.accept(await peer.next())
        await peer.say(trade_frame(1), frame("okx", "notice_64008.json"))
        await opened.wait()
        await peer.say(trade_frame(2))
        await peer.accept_for_ever()

    async def second(peer: OkxPeer) -> None:
        opened.set()
        await peer.accept(await peer.next())
        await peer.say(trade_frame(2), trade_frame(3))
        await peer.accept_for_ever()

    async with (
        local_venue(script_of(first), script_of(second)) as venue,
        streaming(venue, TRADES) as heard,
    ):
        await heard.until(lambda: "3" in heard.trade_ids)
        assert sorted(heard.trade_ids) == ["1", "2", "3"]
        assert StreamStatus.RECONNECTING not in [status for status, _ in heard.of(TRADES)]


async def test_requests_stay_within_the_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OkxDialect, "requests_per_hour", 2)
    peers: list[OkxPeer] = []

    async def play(peer: OkxPeer) -> None:
        peers.append(peer)
        await peer.accept(await peer.next())
        await peer.say(book_frame("snapshot", 100, -1), book_frame("update", 130, 120))
        async with background(peer.accept_for_ever()):
            while True:
                await asyncio.sleep(0.01)
                await peer.say(book_frame("update", 140, 135))

    async with local_venue(script_of(play)) as venue, streaming(venue, BOOK) as heard:
        # The snapshot's request and one more; the third would be the second after the hour.
        await heard.until(lambda: len(heard.events) > 30)
        assert len(peers[0].requests) == 2


def test_books_go_thirty_to_a_connection() -> None:
    many = [replace(BOOK, channel=f"books:X{number}-USDT-SWAP") for number in range(65)]
    flow = [replace(TRADES, channel=f"trades:X{number}-USDT-SWAP") for number in range(150)]
    client = OkxStreamClient(
        endpoints=VenueEndpoints("http://unused", "ws://unused"),
        instruments=(),
        stream_plan=[*many, *flow],
        on_event=lambda event: None,
        on_state=lambda state: None,
        now_ns=lambda: 0,
        rng=random.Random(1),
    )
    assert [len(lane.specs) for lane in client.lanes] == [30, 30, 5, 100, 50]


def test_the_plan_asks_for_everything_of_each_swap() -> None:
    plan = stream_plan([BTC, PEPE])
    assert [spec.channel for spec in plan if spec.asset == "PEPE"] == [
        "trades:PEPE-USDT-SWAP",
        "books:PEPE-USDT-SWAP",
        "mark-price:PEPE-USDT-SWAP",
        "index-tickers:PEPE-USDT",
        "funding-rate:PEPE-USDT-SWAP",
        "open-interest:PEPE-USDT-SWAP",
    ]
    assert [spec.channel for spec in plan if spec.asset == "*"] == [LIQUIDATIONS]
    assert stream_plan([]) == []


@pytest.mark.parametrize(
    ("channel", "arg"),
    [
        ("books:BTC-USDT-SWAP", {"channel": "books", "instId": "BTC-USDT-SWAP"}),
        ("liquidation-orders:SWAP", {"channel": "liquidation-orders", "instType": "SWAP"}),
    ],
)
def test_channel_names(channel: str, arg: dict[str, str]) -> None:
    assert arg_of(channel) == arg
    raw = json.dumps({"arg": arg, "data": []}, separators=(",", ":")).encode()
    assert channel_of(raw) == channel


@pytest.mark.parametrize(
    "raw", [b"", b"pong", b"{}", b'{"arg":{"channel":"', b'{"arg":{"channel":"books"},"data":[]}']
)
def test_frames_of_no_channel(raw: bytes) -> None:
    assert channel_of(raw) is None
