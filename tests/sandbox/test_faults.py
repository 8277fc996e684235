"""Faults reach the venue that they name and no other, and our clients recover by themselves."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from apps.marketdata.events import BookDelta, Trade
from apps.sandbox.faces.registry import VENUES
from apps.sandbox.fault_catalog import FAULTS
from apps.sandbox.faults import Action, Faults, UnknownFault, is_kind, words_of
from apps.venues.errors import VenueError, VenueRefused, VenueThrottled, VenueUnavailable
from apps.venues.stream_client import StreamStatus
from tests.sandbox.conftest import Client, Starter
from tests.sandbox.following import Watched, following, rest_of, until

REFUSALS: dict[int, type[VenueError]] = {
    429: VenueThrottled,
    418: VenueThrottled,
    403: VenueRefused,
    451: VenueRefused,
    500: VenueUnavailable,
    503: VenueUnavailable,
}
# A coin that the venue does not have is answered with 500 and "null" too.
DIFFERENT = {("hyperliquid", 500): VenueError}


def other_than(venue: str) -> str:
    return next(one for one in VENUES if one != venue)


async def cause(sandbox: Client, name: str, **values: object) -> dict[str, object]:
    answer: dict[str, object] = await sandbox.post("/faults", {"fault": name, **values})
    assert "error" not in answer, answer
    return answer


def trade_ids(one: Watched) -> list[str]:
    return [
        event.trade_id
        for event in one.events
        if isinstance(event, Trade) and event.instrument.asset == "BTC"
    ]


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


@pytest.mark.parametrize("fault", ["gap", "reorder", "malformed", "truncated"])
@pytest.mark.parametrize("venue", VENUES)
async def test_a_book_that_lost_an_update_is_repaired(
    start: Starter, venue: str, fault: str
) -> None:
    sandbox = await start()
    async with following(sandbox, venue, other_than(venue)) as (hit, other):
        client = hit.client
        assert client is not None
        if venue != "hyperliquid":
            # Until then a lost update may be one that the fetched book holds already.
            books = client.books.values()
            await until(lambda: all(one.applied_count for one in books), "updates are applied")
        hit.events.clear()
        await cause(sandbox, fault, venue=venue, symbol=hit.book_symbol(), count=1)
        faults = sandbox.sandbox.faults
        await until(lambda: not any(one.left for one in faults.frames), "a frame was met")
        if fault in ("malformed", "truncated"):
            await until(lambda: client.stats.malformed.total() == 1, "it is counted")
        if any(isinstance(event, BookDelta) for event in hit.events):
            await until(lambda: hit.gaps >= 1, "the gap is counted")
        await until(hit.is_live, "books are live again")
        unhurt = [book for book in client.books.values() if book.instrument.asset == "ETH"]
        assert [book.gap_count for book in unhurt] == [0] * len(unhurt)
        assert other.gaps == 0
        assert other.lost() == set()


@pytest.mark.parametrize("venue", VENUES)
async def test_what_comes_twice_counts_once(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue) as (hit,):
        await cause(sandbox, "duplicate", venue=venue, kind="trade", count=500)
        await cause(sandbox, "duplicate", venue=venue, kind="book", count=500)
        hit.events.clear()
        await until(lambda: len(trade_ids(hit)) >= 3, "trades go on", 40)
        ids = trade_ids(hit)
        assert len(ids) == len(set(ids))
        # A repeated update is no gap.
        assert hit.gaps == 0
        assert hit.is_live()


@pytest.mark.parametrize("venue", VENUES)
async def test_a_torn_frame_ends_the_connection_and_it_comes_back(
    start: Starter, venue: str
) -> None:
    sandbox = await start()
    async with following(sandbox, venue, other_than(venue)) as (torn, other):
        await cause(sandbox, "torn", venue=venue, symbol=torn.book_symbol())
        await until(lambda: StreamStatus.RECONNECTING in torn.lost(), "the cut is noticed")
        await until(torn.is_live, "books are live again")
        assert other.lost() == set()


@pytest.mark.parametrize("venue", VENUES)
async def test_a_stalled_venue_says_nothing_while_others_go_on(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue, other_than(venue)) as (stalled, other):
        await cause(sandbox, "stall", venue=venue, seconds=1.5)
        await asyncio.sleep(0.3)
        stalled.events.clear()
        other.events.clear()
        await until(lambda: len(other.events) > 5, "the other venue goes on", 1.1)
        assert stalled.events == []
        await until(lambda: len(stalled.events) > 5, "it goes on")


@pytest.mark.parametrize("venue", VENUES)
async def test_acknowledged_without_data(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue) as (mute,):
        await cause(sandbox, "ack_without_data", venue=venue)
        await cause(sandbox, "disconnect", venue=venue)
        await until(lambda: StreamStatus.RECONNECTING in mute.lost(), "the cut is noticed")
        hubs = [one.hub for key, one in sandbox.sandbox.faces.items() if key.venue == venue]
        await until(
            lambda: all(any(c.channels for c in hub.connections) for hub in hubs), "it subscribed"
        )
        assert not any(hub.channels() for hub in hubs)
        assert not mute.is_live()
        await cause(sandbox, "clear")
        await cause(sandbox, "disconnect", venue=venue)
        await until(mute.is_live, "books are live again")


@pytest.mark.parametrize("venue", VENUES)
async def test_rest_refuses_in_the_venues_words(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with rest_of(sandbox, venue) as rest, rest_of(sandbox, other_than(venue)) as other:
        await rest.instruments()
        for status, expected in REFUSALS.items():
            # A client that was told to wait long makes no request; each refusal gets a fresh one.
            async with rest_of(sandbox, venue) as fresh:
                await cause(sandbox, "http_status", venue=venue, status=status)
                with pytest.raises(DIFFERENT.get((venue, status), expected)) as caught:
                    await fresh.mark_prices()
                assert caught.value.status == status
                if status in (429, 418):
                    assert caught.value.retry_after is not None
                await other.mark_prices()
        assert all(one.left == 0 for one in sandbox.sandbox.faults.rest)


@pytest.mark.parametrize("form", ["malformed", "truncated"])
@pytest.mark.parametrize("venue", VENUES)
async def test_broken_bodies_and_slow_answers(start: Starter, venue: str, form: str) -> None:
    sandbox = await start()
    async with rest_of(sandbox, venue) as rest:
        await rest.instruments()
        await cause(sandbox, "http_body", venue=venue, form=form)
        with pytest.raises(VenueError):
            await rest.mark_prices()
        await cause(sandbox, "delay", venue=venue, seconds=0.4)
        begin = time.monotonic()
        assert await rest.mark_prices()
        assert time.monotonic() - begin >= 0.4
        await cause(sandbox, "delay", venue=venue, seconds=0)
        assert sandbox.sandbox.faults.rest_fault(venue, "/", "delay_s") is None


@pytest.mark.parametrize("venue", VENUES)
async def test_a_venues_clock_is_wrong(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue, other_than(venue)) as (wrong, other):
        await cause(sandbox, "clock_skew", venue=venue, seconds=-90)
        await asyncio.sleep(0.3)
        for one in (wrong, other):
            one.events.clear()
        await until(lambda: len(trade_ids(wrong)) > 0 and len(trade_ids(other)) > 0, "trades", 40)
        for one, skew_s in ((wrong, -90), (other, 0)):
            ages = [
                (event.ts_event - time.time_ns()) / 1e9 - skew_s
                for event in one.events
                if isinstance(event, Trade) and event.instrument.asset == "BTC"
            ]
            assert all(-45 < age < 1 for age in ages), ages
        assert wrong.is_live()


@pytest.mark.parametrize("venue", VENUES)
async def test_a_symbol_is_delisted(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue) as (hit,):
        assert hit.rest is not None
        symbol = hit.book_symbol()
        before = {one.asset for one in await hit.rest.instruments() if one.symbol == symbol}
        assert before == {"BTC"}
        await cause(sandbox, "delist", venue=venue, symbol=symbol)
        left = await hit.rest.instruments()
        assert symbol not in {one.symbol for one in left}
        assert "ETH" in {one.asset for one in left}
        gone = [one for one in hit.instruments if one.symbol == symbol]
        with pytest.raises(VenueError):
            await hit.rest.book_snapshot(gone[0])
        hit.events.clear()
        await until(lambda: len(hit.events) > 20, "the others go on")
        told = {getattr(event, "instrument", None) for event in hit.events}
        assert not told & set(gone)


@pytest.mark.parametrize("venue", VENUES)
async def test_a_symbol_goes_on_under_another_name(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue) as (hit,):
        assert hit.rest is not None
        eth = next(one for one in hit.instruments if one.asset == "ETH" and one.kind == "perp")
        new = eth.symbol.replace("ETH", "XETH")
        await cause(sandbox, "rename", venue=venue, symbol=eth.symbol, to=new)
        with pytest.raises(VenueError):
            await hit.rest.book_snapshot(eth)
        hit.events.clear()
        await until(lambda: len(hit.events) > 20, "the others go on")
        told = {getattr(event, "instrument", None) for event in hit.events}
        assert eth not in told
        # Whoever asks by the new name is answered as before.
        assert hit.client is not None
        await cause(sandbox, "clear")
        assert await hit.rest.book_snapshot(eth)


async def test_a_venue_that_is_not_there_is_refused(start: Starter) -> None:
    sandbox = await start()
    answer = await sandbox.post("/faults", {"fault": "drop_connections", "venue": "nyse"})
    assert answer["error"].startswith("disconnect: venue: expected one of binance")
    assert sandbox.sandbox.faults.in_force()["frames"] == []


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
    assert faults.judge("binance", "btcusdt@depth@100ms") is None
    assert faults.judge("bybit", "publicTrade.BTCUSDT") is None
    met = [faults.judge("bybit", "orderbook.50.BTCUSDT") for _ in range(3)]
    assert met == [Action.LOSE, Action.LOSE, None]
    faults.apply({"fault": "stall", "symbol": "BTCUSDT", "seconds": 5})
    assert faults.judge("binance", "btcusdt@trade") is Action.LOSE
    assert faults.judge("bybit", "publicTrade.BTCUSDT") is Action.LOSE
    assert faults.judge("bybit", "publicTrade.ETHUSDT") is None
    now[0] = 105.0
    assert faults.judge("bybit", "publicTrade.BTCUSDT") is None
    faults.apply({"fault": "malformed", "venue": "okx", "kind": "mark"})
    assert faults.judge("binance", "btcusdt@markPrice@1s") is None
    assert faults.judge("okx", "mark-price:BTC-USDT-SWAP") is Action.BREAK
    assert faults.judge("okx", "mark-price:BTC-USDT-SWAP") is None
    faults.apply({"fault": "ack_without_data", "venue": "okx"})
    faults.apply({"fault": "clear", "venue": "bybit"})
    assert (faults.is_mute("okx"), faults.is_mute("bybit")) == (True, False)
    faults.apply({"fault": "clear"})
    assert not faults.is_mute("okx")


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ({}, "fault: expected one of ack_without_data, book_restart"),
        ({"fault": ["gap"]}, "fault: expected one of"),
        ({"fault": "stall", "symbol": "X"}, "stall: seconds is required"),
        ({"fault": "stall", "seconds": "soon"}, "stall: seconds: could not convert"),
        ({"fault": "delay", "seconds": 61}, "delay: seconds: expected 0 to 60"),
        ({"fault": "delay", "seconds": float("nan")}, "delay: seconds: expected 0 to 60"),
        ({"fault": "gap", "count": 0}, "gap: count: expected 1"),
        ({"fault": "gap", "symbol": ""}, "gap: symbol: expected a name"),
        ({"fault": "malformed", "kind": "soup"}, "malformed: kind: expected one of trade"),
        ({"fault": "http_status", "status": 200}, "http_status: status: expected an HTTP status"),
        ({"fault": "http_body", "form": "soup"}, "http_body: form: expected malformed"),
        ({"fault": "rename", "venue": "okx", "symbol": "A"}, "rename: to is required"),
        ({"fault": "clear", "everything": 1}, "clear: unknown parameter everything"),
        ({"fault": "ack_without_data", "on": "maybe"}, "ack_without_data: on: expected true"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(command: dict[str, object], what: str) -> None:
    faults = Faults(lambda: 0.0)
    with pytest.raises(UnknownFault) as caught:
        faults.apply(command)
    assert str(caught.value).startswith(what)
    assert not faults.active


def test_every_fault_of_the_catalogue_is_carried_out_and_ends() -> None:
    values = {
        "venue": "okx", "symbol": "BTC", "to": "XBT", "kind": "trade", "count": 2, "seconds": 3,
        "status": 500, "form": "malformed", "path": "", "on": True,
        "retry_after": 5,
    }  # fmt: skip
    quiet = Faults(lambda: 0.0).in_force()
    for spec in FAULTS.values():
        faults = Faults(lambda: 0.0)
        command = {one.name: values[one.name] for one in spec.params}
        faults.apply({"fault": spec.name, **command})
        is_done_at_once = spec.name in ("disconnect", "book_restart", "clear")
        assert (faults.in_force() == quiet) == is_done_at_once, spec.name
        faults.apply({"fault": "clear"})
        assert faults.in_force() == quiet
        assert not faults.active
    assert all(a < b for a, b in itertools.pairwise(sorted(FAULTS)))
