"""The streaming client: against the emulated venue, and against a server that plays Deribit's part."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from apps.marketdata.books import BookState
from apps.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Event,
    FundingRate,
    IndexPrice,
    MarkPrice,
    OptionMark,
    Trade,
    VolatilityIndex,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.base import VenueEndpoints
from apps.venues.deribit.rest import DeribitRestClient
from apps.venues.deribit.stream import DeribitDialect, DeribitStreamClient, stream_plan
from apps.venues.stream_client import StreamSpec, StreamState, StreamStatus
from apps.venues.timing import Timing
from tests.sandbox.faces.deribit.conftest import Served
from tests.sandbox.faces.deribit.conftest import serve as serve_face
from tests.venues.adapter_contract import fixture_instruments, frame

BTC, SOL, CALL, XRP_CALL = fixture_instruments("deribit")
BOOK = StreamSpec("public", "book.BTC-PERPETUAL.100ms", "BTC", "book", 1000.0, "BTC-PERPETUAL")
TRADES = StreamSpec("public", "trades.BTC-PERPETUAL.100ms", "BTC", "trade", 1000.0, "BTC-PERPETUAL")
QUICK = Timing(
    ack_timeout=0.5, first_frame=5.0, watch_period=0.01, resubscribe_after=0.05, healthy_after=0.0
)


@dataclass
class Listener:
    events: list[Event] = field(default_factory=list)
    states: list[StreamState] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self.changed.set()

    def on_state(self, state: StreamState) -> None:
        self.states.append(state)
        self.changed.set()

    async def until(self, condition: Callable[[], bool], seconds: float = 8.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def streaming(
    ws: str,
    listener: Listener,
    *specs: StreamSpec,
    instruments: tuple[Instrument, ...],
    timing: Timing = QUICK,
) -> AsyncIterator[DeribitStreamClient]:
    async def sleep(seconds: float) -> None:
        # Back-offs and pacing are shortened; periods stay.
        is_short = seconds < 4 and seconds != timing.lifetime
        await asyncio.sleep(min(seconds, 0.02) if is_short else seconds)

    client = DeribitStreamClient(
        endpoints=VenueEndpoints(ws, ws),
        instruments=instruments,
        stream_plan=specs,
        on_event=listener.on_event,
        on_state=listener.on_state,
        now_ns=time.time_ns,
        rng=random.Random(5),
        sleep=sleep,
        timing=timing,
    )
    task = asyncio.ensure_future(client.run())
    try:
        yield client
    finally:
        await client.stop()
        await asyncio.wait_for(task, 5)


def test_the_plan_follows_the_instruments() -> None:
    perpetuals = [spec.channel for spec in stream_plan([BTC, SOL])]
    assert perpetuals == [
        "trades.BTC-PERPETUAL.100ms",
        "book.BTC-PERPETUAL.100ms",
        "ticker.BTC-PERPETUAL.100ms",
        "trades.SOL_USDC-PERPETUAL.100ms",
        "book.SOL_USDC-PERPETUAL.100ms",
        "ticker.SOL_USDC-PERPETUAL.100ms",
    ]
    options = [spec.channel for spec in stream_plan([CALL, XRP_CALL])]
    assert options == [
        "markprice.options.btc_usd",
        "deribit_price_index.btc_usd",
        "deribit_volatility_index.btc_usd",
        "markprice.options.xrp_usdc",
        "deribit_price_index.xrp_usdc",
        "trades.option.BTC.100ms",
        "trades.option.USDC.100ms",
    ]
    # Raw channels are refused without a login.
    assert not any("raw" in channel for channel in perpetuals + options)


def test_frames_name_their_channel() -> None:
    dialect = DeribitDialect(VenueEndpoints("", ""))
    assert dialect.channel_of(frame("deribit", "book_change.json")) == BOOK.channel
    assert dialect.channel_of(frame("deribit", "subscribe_ack.json")) is None
    assert dialect.reply(frame("deribit", "heartbeat.json")) is None
    answer = dialect.reply(frame("deribit", "test_request.json"))
    assert answer is not None
    assert json.loads(answer)["method"] == "public/test"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async for one in serve_face(50.0):
        yield one


async def test_everything_of_the_emulated_venue_arrives(served: Served) -> None:
    endpoints = VenueEndpoints(served.rest, served.ws)
    rest = DeribitRestClient(endpoints=endpoints, now_ns=time.time_ns, rate_multiplier=20.0)
    instruments = await rest.instruments()
    for currency in ("BTC", "ETH", "USDC"):
        instruments += await rest.option_instruments(currency)
    await rest.close()
    listener = Listener()
    plan = stream_plan(instruments)
    async with streaming(served.ws, listener, *plan, instruments=tuple(instruments)) as client:
        wanted = {Trade, BookDelta, BookSnapshot, MarkPrice, FundingRate, OptionMark, IndexPrice,
                  VolatilityIndex}  # fmt: skip
        await listener.until(lambda: wanted <= {type(event) for event in listener.events})
        await listener.until(lambda: len(client.books) == 4)
        assert {book.state for book in client.books.values()} == {BookState.LIVE}
        assert sum(book.gap_count for book in client.books.values()) == 0
        # Trades of quiet coins and of options may take longer.
        expected = {spec.channel for spec in plan if spec.kind != "trade"}
        await listener.until(
            lambda: (
                expected
                <= {one.channel for one in listener.states if one.status is StreamStatus.LIVE}
            )
        )
        assert not client.stats.malformed
        assert not client.stats.unknown
        marked = {one.instrument.asset for one in listener.events if isinstance(one, OptionMark)}
        assert marked == {"BTC", "ETH", "SOL", "XRP"}

        # A lost frame: the gap is seen, the channel is subscribed anew, the book lives again.
        served.faults.apply({"fault": "gap", "symbol": "BTC-PERPETUAL", "count": 1})
        book = client.books[instruments[0].key]
        await listener.until(lambda: book.gap_count == 1)
        await listener.until(lambda: book.state is BookState.LIVE)

        # A cut connection: books go stale, and come back on a new one.
        assert served.face.drop("") >= 1
        await listener.until(lambda: book.state is not BookState.LIVE)
        await listener.until(lambda: book.state is BookState.LIVE)
    assert instruments[0].kind is InstrumentKind.PERP


@dataclass
class Part:
    """What the venue's part in a script has heard."""

    requests: list[dict[str, Any]] = field(default_factory=list)

    def asked(self, method: str) -> list[list[str]]:
        return [
            request["params"].get("channels", [])
            for request in self.requests
            if request["method"] == method
        ]


def book_frame(kind: str, change_id: int, previous: int | None, amount: float) -> str:
    data = {
        "type": kind, "timestamp": 1763719200120, "instrument_name": "BTC-PERPETUAL",
        "change_id": change_id, "prev_change_id": previous,
        "bids": [["new", 90000.0, amount]], "asks": [["new", 90001.0, amount]],
    }  # fmt: skip
    params = {"channel": BOOK.channel, "data": data}
    document = {"jsonrpc": "2.0", "method": "subscription", "params": params}
    return json.dumps(document, separators=(",", ":"))


async def test_gaps_refusals_and_test_requests() -> None:
    part = Part()

    async def play(socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for raw in socket:
                request = json.loads(raw)
                part.requests.append(request)
                names = request["params"].get("channels")
                if names is None:
                    result: Any = "ok"
                else:
                    # Trades are not among what the venue accepts.
                    result = [name for name in names if name.startswith("book.")]
                answer = {"jsonrpc": "2.0", "id": request["id"], "result": result}
                await socket.send(json.dumps(answer))
                if request["method"] == "public/subscribe" and BOOK.channel in names:
                    count = len(part.asked("public/subscribe"))
                    await socket.send(book_frame("snapshot", 100 * count, None, 90000.0))
                    await socket.send(book_frame("change", 100 * count + 1, 100 * count, 180000.0))
                    if not any(BOOK.channel in one for one in part.asked("public/unsubscribe")):
                        await socket.send(book_frame("change", 109, 105, 10.0))
                        await socket.send(frame("deribit", "test_request.json").decode())

    listener = Listener()
    async with serve(play, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with streaming(
            f"ws://127.0.0.1:{port}", listener, BOOK, TRADES, instruments=(BTC,)
        ) as client:
            await listener.until(lambda: bool(client.books))
            book = client.books[BTC.key]
            await listener.until(lambda: book.gap_count == 1)
            await listener.until(lambda: book.state is BookState.LIVE and book.applied_count > 1)
            await listener.until(lambda: any("accepted" in one.reason for one in listener.states))
            assert book.book.bids == {90000.0: 2.0}
    assert part.requests[0]["method"] == "public/set_heartbeat"
    assert part.requests[0]["params"] == {"interval": 30}
    assert [BOOK.channel] in part.asked("public/unsubscribe")
    assert any(request["method"] == "public/test" for request in part.requests)
    refused = [one for one in listener.states if "accepted" in one.reason]
    assert {one.channel for one in refused} == {TRADES.channel}
    assert {one.status for one in refused} == {StreamStatus.STALE}


async def test_planned_replacements_lose_nothing_and_break_no_book(served: Served) -> None:
    endpoints = VenueEndpoints(served.rest, served.ws)
    rest = DeribitRestClient(endpoints=endpoints, now_ns=time.time_ns, rate_multiplier=20.0)
    instruments = await rest.instruments()
    await rest.close()
    listener = Listener()
    # Lives of half a second: quiet channels count as ready once they are acknowledged.
    plan = [
        replace(spec, max_silence_s=float("inf")) if spec.kind == "trade" else spec
        for spec in stream_plan(instruments)
    ]
    timing = replace(QUICK, lifetime=0.5, lifetime_spread=0.0, overlap=5.0)
    async with streaming(
        served.ws, listener, *plan, instruments=tuple(instruments), timing=timing
    ) as client:
        await listener.until(lambda: min(lane.replacements for lane in client.lanes) >= 3, 20.0)
        books = list(client.books.values())
        assert len(books) == 4
        assert [(book.state, book.gap_count) for book in books] == [(BookState.LIVE, 0)] * 4
        assert [lane.reconnects for lane in client.lanes] == [0] * len(client.lanes)
        ids = [
            (one.instrument.key, one.trade_id) for one in listener.events if isinstance(one, Trade)
        ]
        assert len(ids) == len(set(ids))
