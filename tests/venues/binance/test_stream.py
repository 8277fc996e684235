"""The streaming client against a local server: acks, silence, loss, repair, replacement, isolation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from apps.marketdata.books import BookState
from apps.marketdata.events import BookSnapshot, Event, Trade
from apps.marketdata.instruments import Instrument
from apps.venues.base import VenueEndpoints
from apps.venues.binance.stream import BinanceDialect, BinanceStreamClient, stream_plan
from apps.venues.errors import VenueThrottled
from apps.venues.stream_client import StreamSpec, StreamState, StreamStatus
from apps.venues.timing import Timing
from tests.venues.adapter_contract import fixture_instruments, frame
from tests.venues.local_venue import LocalVenue, Peer, Script, local_venue

BTC, PEPE, SPOT, _ = fixture_instruments("binance")
INF = float("inf")
TRADES = StreamSpec("market", "btcusdt@aggTrade", "BTC", "trade", 1000.0, "BTCUSDT")
PEPE_TRADES = StreamSpec("market", "1000pepeusdt@aggTrade", "PEPE", "trade", 1000.0, "1000PEPEUSDT")
BOOK = StreamSpec("public", "btcusdt@depth@100ms", "BTC", "book", 1000.0, "BTCUSDT")
LIQUIDATIONS = StreamSpec("market", "!forceOrder@arr", "*", "liquidation", INF)
QUICK = Timing(
    ack_timeout=0.5, first_frame=0.2, watch_period=0.01, resubscribe_after=0.05, healthy_after=0.0
)


def trade_frame(trade_id: int, symbol: str = "BTCUSDT") -> bytes:
    raw = frame("binance", "um_agg_trade.json").replace(b"700001", str(trade_id).encode())
    lower = symbol.lower().encode()
    return raw.replace(b"btcusdt", lower).replace(b"BTCUSDT", symbol.encode())


def depth_frame(first: int, last: int, prev: int, bid_qty: str = "1") -> bytes:
    return (
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1763719200130,"T":1763719200125,'
        b'"s":"BTCUSDT","U":%d,"u":%d,"pu":%d,"b":[["90000.00","%s"]],"a":[]}}'
        % (first, last, prev, bid_qty.encode())
    )


def snapshot_of(instrument: Instrument, seq: int) -> BookSnapshot:
    return BookSnapshot(instrument, 1, 1, seq, [(89999.0, 1.0)], [(90001.0, 1.0)])


@dataclass
class Listener:
    """Collects what the client says; ``until`` waits for a condition on it."""

    events: list[Event] = field(default_factory=list)
    states: list[StreamState] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    client: BinanceStreamClient | None = None
    delays: list[float] = field(default_factory=list)

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

    def reasons(self, status: StreamStatus) -> list[str]:
        return [state.reason for state in self.states if state.status is status]

    def book_state(self) -> BookState | None:
        assert self.client is not None
        book = self.client.books.get(BTC.key)
        return book.state if book else None

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def streaming(
    venue: LocalVenue | str,
    *specs: StreamSpec,
    timing: Timing = QUICK,
    fetch_snapshot: Callable[[Instrument], object] | None = None,
) -> AsyncIterator[Listener]:
    listener = Listener()
    loop = asyncio.get_running_loop()
    url = venue if isinstance(venue, str) else venue.url

    async def sleep(seconds: float) -> None:
        # Back-offs and pacing are noted and shortened; periods stay.
        if 0.3 < seconds < 100:
            listener.delays.append(seconds)
        await asyncio.sleep(min(seconds, 0.02) if seconds < 100 else seconds)

    client = BinanceStreamClient(
        endpoints=VenueEndpoints("http://unused", url, "http://unused", url),
        instruments=fixture_instruments("binance"),
        stream_plan=specs,
        on_event=listener.on_event,
        on_state=listener.on_state,
        now_ns=lambda: int(loop.time() * 1e9),
        rng=random.Random(7),
        fetch_snapshot=fetch_snapshot,  # type: ignore[arg-type]  # tests hand over simple coroutines
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


def send_then_wait(*frames: bytes, channels: int = 1) -> Script:
    async def script(peer: Peer) -> None:
        await peer.accept(channels)
        for raw in frames:
            await peer.socket.send(raw, text=True)
        await peer.accept_for_ever()

    return script


async def test_books_and_the_rest_go_to_their_own_paths() -> None:
    spot = StreamSpec("spot", "btcusdt@aggTrade", "BTC", "trade", 1000.0, "BTCUSDT")
    async with local_venue(lambda peer: peer.accept_for_ever()) as venue:
        async with streaming(venue, TRADES, BOOK, spot, LIQUIDATIONS, timing=Timing()):
            await venue.wait_for_peers(3)
            for peer in venue.peers:
                await asyncio.wait_for(peer.asked.wait(), 5)
        asked = {peer.path: sorted(peer.channels) for peer in venue.peers}
    assert asked == {
        "/market/stream": ["!forceOrder@arr", "btcusdt@aggTrade"],
        "/public/stream": ["btcusdt@depth@100ms"],
        "/stream": ["btcusdt@aggTrade"],
    }


async def test_events_are_delivered_and_the_channel_is_live() -> None:
    async with (
        local_venue(send_then_wait(trade_frame(1), trade_frame(2))) as venue,
        streaming(venue, TRADES) as heard,
    ):
        await heard.until(lambda: heard.trade_ids == ["1", "2"])
        assert heard.statuses(TRADES.channel) == [StreamStatus.CONNECTING, StreamStatus.LIVE]
    assert heard.statuses(TRADES.channel)[-1] is StreamStatus.STOPPED


async def test_a_channel_whose_silence_means_nothing_is_live_once_acknowledged() -> None:
    async with (
        local_venue(send_then_wait()) as venue,
        streaming(venue, LIQUIDATIONS) as heard,
    ):
        await heard.until(lambda: StreamStatus.LIVE in heard.statuses(LIQUIDATIONS.channel))
        assert heard.statuses(LIQUIDATIONS.channel) == [StreamStatus.CONNECTING, StreamStatus.LIVE]
        assert heard.trade_ids == []


async def test_subscriptions_are_batched_and_each_is_acknowledged() -> None:
    many = [
        replace(TRADES, channel=f"x{number}@aggTrade", symbol=f"X{number}") for number in range(120)
    ]
    async with (
        local_venue(send_then_wait(channels=120)) as venue,
        streaming(venue, *many, timing=Timing()) as heard,
    ):
        await heard.until(
            lambda: sum(not hasattr(event, "instrument") for event in heard.events) == 3
        )
        requests = venue.peers[0].requests
        assert [len(request["params"]) for request in requests] == [50, 50, 20]
        assert [request["id"] for request in requests] == [1, 2, 3]


async def test_connections_carry_at_most_200_channels() -> None:
    many = [replace(TRADES, channel=f"x{number}@aggTrade") for number in range(450)]
    async with local_venue(send_then_wait(channels=50)) as venue, streaming(venue, *many) as heard:
        assert heard.client is not None
        assert [len(lane.specs) for lane in heard.client.lanes] == [200, 200, 50]


async def test_acknowledged_without_data_is_a_wrong_path() -> None:
    async with (
        local_venue(send_then_wait(), send_then_wait(trade_frame(5))) as venue,
        streaming(venue, replace(TRADES, max_silence_s=0.2)) as heard,
    ):
        await heard.until(lambda: heard.trade_ids == ["5"])
        (reason,) = heard.reasons(StreamStatus.RECONNECTING)
        assert "acknowledged but no data" in reason


async def test_no_ack_ends_the_connection() -> None:
    async def deaf(peer: Peer) -> None:
        await peer.request()
        await peer.socket.wait_closed()

    async with (
        local_venue(deaf, send_then_wait(trade_frame(5))) as venue,
        streaming(venue, TRADES) as heard,
    ):
        await heard.until(lambda: heard.trade_ids == ["5"])
        assert "no ack for 1 channels" in heard.reasons(StreamStatus.RECONNECTING)[0]


async def test_a_lost_connection_is_opened_again_with_growing_delays() -> None:
    async def drop(peer: Peer) -> None:
        await peer.socket.close(1011, "going down")

    async with (
        local_venue(*[drop] * 6, send_then_wait(trade_frame(9))) as venue,
        streaming(venue, TRADES) as heard,
    ):
        await heard.until(lambda: heard.trade_ids == ["9"])
        assert len(heard.reasons(StreamStatus.RECONNECTING)) == 6
        assert "going down" in heard.reasons(StreamStatus.RECONNECTING)[0]
        for delay, nominal in zip(heard.delays, (1, 2, 4, 8, 16, 30), strict=False):
            assert nominal * 0.75 <= delay <= nominal * 1.25


async def test_a_refused_connection_is_tried_again() -> None:
    async with local_venue(send_then_wait()) as venue:
        url = venue.url
    # The server is closed now: its port refuses.
    async with streaming(url, TRADES) as heard:
        await heard.until(lambda: len(heard.reasons(StreamStatus.RECONNECTING)) >= 2)
        assert "could not connect" in heard.reasons(StreamStatus.RECONNECTING)[0]


async def test_malformed_frames_are_counted_and_the_stream_goes_on() -> None:
    frames = [
        b"",
        b"{",
        b'{"e":"weather"}',
        b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","s":7}}',
        b'{"stream":"' + b"x" * 500,
        trade_frame(3),
    ]
    async with (
        local_venue(send_then_wait(trade_frame(1), *frames)) as venue,
        streaming(venue, TRADES) as heard,
    ):
        await heard.until(lambda: heard.trade_ids == ["1", "3"])
        assert heard.client is not None
        assert heard.client.stats.malformed.total() == 4
        assert heard.client.stats.unknown == {"weather": 1}
        assert not heard.reasons(StreamStatus.RECONNECTING)


async def test_a_failing_listener_does_not_stop_the_stream() -> None:
    problems: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with (
        local_venue(send_then_wait(trade_frame(1), trade_frame(2))) as venue,
        streaming(venue, TRADES) as heard,
    ):
        assert heard.client is not None
        received = heard.on_event

        def failing(event: Event) -> None:
            received(event)
            if heard.trade_ids == ["1"]:
                raise RuntimeError("listener broke")

        heard.client._on_event = failing
        await heard.until(lambda: heard.trade_ids == ["1", "2"])
    assert str(problems[0]["exception"]) == "listener broke"


async def test_a_ping_of_the_venue_is_answered() -> None:
    ponged = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept(1)
        await (await peer.socket.ping(b"1763719200000"))
        ponged.set()
        await peer.accept_for_ever()

    async with local_venue(script) as venue, streaming(venue, TRADES):
        await asyncio.wait_for(ponged.wait(), 5)
        assert len(venue.peers) == 1, "the connection goes on after the ping"


async def test_one_silent_channel_goes_stale_and_is_subscribed_anew_alone() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(2)
        feeder = asyncio.create_task(feed(peer))
        try:
            await peer.accept_for_ever()
        finally:
            feeder.cancel()

    async def feed(peer: Peer) -> None:
        for number in range(1_000_000):
            await peer.socket.send(trade_frame(number), text=True)
            await asyncio.sleep(0.01)

    lively = replace(TRADES, max_silence_s=0.25)
    silent = replace(PEPE_TRADES, max_silence_s=0.25)
    async with local_venue(script) as venue, streaming(venue, lively, silent) as heard:
        await heard.until(lambda: StreamStatus.STALE in heard.statuses(silent.channel))
        peer = venue.peers[0]
        await heard.until(lambda: len(peer.requests) >= 3)
        assert StreamStatus.STALE not in heard.statuses(lively.channel)
        assert peer.requests[1]["method"] == "UNSUBSCRIBE"
        assert peer.requests[1]["params"] == peer.requests[2]["params"] == [silent.channel]
        assert len(venue.peers) == 1


async def test_a_refused_batch_is_tried_one_by_one() -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if "1000pepeusdt@aggTrade" in request["params"]:
                await peer.refuse(request, "unknown stream")
            else:
                await peer.ack(request)
                await peer.socket.send(trade_frame(4), text=True)

    async with local_venue(script) as venue, streaming(venue, TRADES, PEPE_TRADES) as heard:
        await heard.until(lambda: StreamStatus.STALE in heard.statuses(PEPE_TRADES.channel))
        await heard.until(lambda: "4" in heard.trade_ids)
        assert "unknown stream" in heard.reasons(StreamStatus.STALE)[0]
        assert heard.statuses(TRADES.channel)[-1] is StreamStatus.LIVE


class TestBooks:
    async def test_a_book_is_fetched_joined_and_kept(self) -> None:
        async def fetch(instrument: Instrument) -> BookSnapshot:
            return snapshot_of(instrument, 105)

        frames = (depth_frame(101, 110, 100, "5"), depth_frame(111, 120, 110, "6"))
        async with (
            local_venue(send_then_wait(*frames)) as venue,
            streaming(venue, BOOK, fetch_snapshot=fetch) as heard,
        ):
            await heard.until(lambda: heard.book_state() is BookState.LIVE)
            assert heard.client is not None
            await heard.until(lambda: heard.client.books[BTC.key].book.last_seq == 120)  # type: ignore[union-attr]  # set above
            book = heard.client.books[BTC.key]
            assert book.book.bids == {89999.0: 1.0, 90000.0: 6.0}
            assert (book.gap_count, book.book.best_bid) == (0, 90000.0)
            assert sum(isinstance(event, BookSnapshot) for event in heard.events) == 1

    async def test_a_gap_is_repaired_by_another_snapshot(self) -> None:
        sequence = iter([105, 205])

        async def fetch(instrument: Instrument) -> BookSnapshot:
            return snapshot_of(instrument, next(sequence))

        async def script(peer: Peer) -> None:
            await peer.accept(1)
            await peer.socket.send(depth_frame(101, 110, 100), text=True)
            await lively.wait()
            await peer.socket.send(depth_frame(201, 210, 200, "9"), text=True)
            await peer.accept_for_ever()

        lively = asyncio.Event()
        async with (
            local_venue(script) as venue,
            streaming(venue, BOOK, fetch_snapshot=fetch) as heard,
        ):
            await heard.until(lambda: heard.book_state() is BookState.LIVE)
            lively.set()
            assert heard.client is not None
            book = heard.client.books[BTC.key]
            await heard.until(lambda: book.book.last_seq == 210)
            assert (book.state, book.gap_count) == (BookState.LIVE, 1)
            assert book.book.bids[90000.0] == 9.0
            assert heard.statuses(BOOK.channel)[-2:] == [StreamStatus.STALE, StreamStatus.LIVE]
            assert "expected a delta after 110" in heard.reasons(StreamStatus.STALE)[0]

    async def test_a_throttled_snapshot_is_asked_again_after_the_venue_s_delay(self) -> None:
        answers: list[object] = [
            VenueThrottled("binance", "depth", status=429, retry_after=17.0),
            snapshot_of(BTC, 105),
        ]

        async def fetch(instrument: Instrument) -> BookSnapshot:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, BookSnapshot)
            return answer

        async with (
            local_venue(send_then_wait(depth_frame(101, 110, 100))) as venue,
            streaming(venue, BOOK, fetch_snapshot=fetch) as heard,
        ):
            await heard.until(lambda: heard.book_state() is BookState.LIVE)
            assert 17.0 in heard.delays

    async def test_a_lost_connection_makes_the_book_stale_until_it_is_whole_again(self) -> None:
        sequence = iter([105, 305])

        async def fetch(instrument: Instrument) -> BookSnapshot:
            return snapshot_of(instrument, next(sequence))

        async def drops(peer: Peer) -> None:
            await peer.accept(1)
            await peer.socket.send(depth_frame(101, 110, 100), text=True)
            await lively.wait()
            await peer.socket.close(1001)

        lively = asyncio.Event()
        again = send_then_wait(depth_frame(301, 310, 300, "3"))
        async with (
            local_venue(drops, again) as venue,
            streaming(venue, BOOK, fetch_snapshot=fetch) as heard,
        ):
            await heard.until(lambda: heard.book_state() is BookState.LIVE)
            lively.set()
            await heard.until(lambda: heard.book_state() is BookState.STALE)
            assert heard.client is not None
            book = heard.client.books[BTC.key]
            await heard.until(lambda: book.book.last_seq == 310)
            assert (book.state, book.gap_count) == (BookState.LIVE, 1)

    async def test_one_book_without_snapshots_does_not_hold_up_another(self) -> None:
        other = StreamSpec(
            "public", "1000pepeusdt@depth@100ms", "PEPE", "book", 1000.0, "1000PEPEUSDT"
        )

        async def fetch(instrument: Instrument) -> BookSnapshot:
            if instrument.asset == "PEPE":
                await asyncio.Event().wait()
            return snapshot_of(instrument, 105)

        pepe = frame("binance", "um_depth_update_multiple.json")
        async with (
            local_venue(send_then_wait(pepe, depth_frame(101, 110, 100), channels=2)) as venue,
            streaming(venue, other, BOOK, fetch_snapshot=fetch) as heard,
        ):
            await heard.until(lambda: heard.book_state() is BookState.LIVE)
            assert heard.client is not None
            assert heard.client.books[PEPE.key].state is BookState.RESYNCING


class TestReplacement:
    async def test_an_old_connection_is_replaced_with_an_overlap_and_nothing_twice(self) -> None:
        async def old(peer: Peer) -> None:
            await peer.accept(1)
            await peer.socket.send(trade_frame(1), text=True)
            await overlapping.wait()
            await peer.socket.send(trade_frame(2), text=True)
            await peer.socket.send(trade_frame(3), text=True)
            both.set()
            await peer.accept_for_ever()

        async def new(peer: Peer) -> None:
            await peer.accept(1)
            overlapping.set()
            await both.wait()
            for number in (2, 3, 4):
                await peer.socket.send(trade_frame(number), text=True)
            await peer.accept_for_ever()

        overlapping, both = asyncio.Event(), asyncio.Event()
        timing = replace(QUICK, lifetime=0.35, lifetime_spread=0.0, overlap=99.0, first_frame=60.0)
        async with local_venue(old, new) as venue, streaming(venue, TRADES, timing=timing) as heard:
            await heard.until(lambda: "4" in heard.trade_ids)
            assert heard.trade_ids == ["1", "2", "3", "4"]
            assert not heard.reasons(StreamStatus.RECONNECTING)
            await asyncio.wait_for(venue.peers[0].socket.wait_closed(), 5)
            assert heard.statuses(TRADES.channel).count(StreamStatus.CONNECTING) == 1
            assert heard.statuses(TRADES.channel)[-1] is StreamStatus.LIVE

    async def test_a_replacement_that_fails_leaves_the_old_connection_alone(self) -> None:
        async def old(peer: Peer) -> None:
            await peer.accept(1)
            await peer.socket.send(trade_frame(1), text=True)
            await replaced_badly.wait()
            await peer.socket.send(trade_frame(2), text=True)
            await peer.accept_for_ever()

        async def broken(peer: Peer) -> None:
            replaced_badly.set()

        replaced_badly = asyncio.Event()
        timing = replace(QUICK, lifetime=0.35, lifetime_spread=0.0, overlap=99.0, first_frame=60.0)
        good = send_then_wait(trade_frame(3))
        async with (
            local_venue(old, broken, good) as venue,
            streaming(venue, TRADES, timing=timing) as heard,
        ):
            await heard.until(lambda: "3" in heard.trade_ids)
            assert heard.trade_ids == ["1", "2", "3"]
            assert not heard.reasons(StreamStatus.RECONNECTING)

    async def test_a_shutdown_notice_brings_the_replacement_forward(self) -> None:
        notice = b'{"e":"serverShutdown","E":1763719200000}'
        async with (
            local_venue(
                send_then_wait(trade_frame(1), notice), send_then_wait(trade_frame(2))
            ) as venue,
            streaming(venue, TRADES) as heard,
        ):
            await heard.until(lambda: "2" in heard.trade_ids)
            await asyncio.wait_for(venue.peers[0].socket.wait_closed(), 5)
            assert not heard.reasons(StreamStatus.RECONNECTING)


def test_the_plan_covers_every_instrument_and_respects_the_paths() -> None:
    plan = stream_plan([BTC, SPOT])
    assert {(spec.connection, spec.channel) for spec in plan} == {
        ("market", "btcusdt@aggTrade"),
        ("public", "btcusdt@depth@100ms"),
        ("spot", "btcusdt@aggTrade"),
        ("spot", "btcusdt@depth@100ms"),
        ("market", "!markPrice@arr@1s"),
        ("market", "!forceOrder@arr"),
    }
    assert [spec.connection for spec in stream_plan([SPOT])] == ["spot", "spot"]


@pytest.mark.parametrize(
    ("raw", "channel"),
    [
        (b'{"stream":"btcusdt@depth@100ms","data":{}}', "btcusdt@depth@100ms"),
        (b'{"result":null,"id":1}', None),
        (b'{"stream":"' + b"x" * 300, None),
        (b'{"stream":"\xff","data":{}}', "\ufffd"),
        (b"", None),
    ],
)
def test_the_channel_is_read_without_decoding(raw: bytes, channel: str | None) -> None:
    assert BinanceDialect(VenueEndpoints("", "")).channel_of(raw) == channel
