"""Channels of futures markets from their writers to real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jsonschema
import pytest

from apps.core.redis import sync_redis
from apps.feed.positions import feed_keys
from apps.feed.registry import all_specs
from apps.feed.writer import FeedWriter
from apps.ingest.publish import FeedPublisher
from apps.ingest.publish_demand import DemandPublisher
from apps.ingest.state import MarketState
from apps.marketdata.books import BYBIT, BookSynchroniser
from apps.marketdata.events import BookDelta, BookSnapshot, Liquidation, MarkPrice, Side, Trade
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.markets.channels import LIQUIDATIONS
from apps.snapshots import store
from apps.snapshots.contracts import SnapshotDocument
from tests.stream.conftest import World
from tests.stream.web import Web
from tests.venues.adapter_contract import expectations, frame, make_parser

pytestmark = pytest.mark.django_db(databases=["default", "market"])
NOW_MS = 1_779_048_873_000


def perp(venue: str, symbol: str = "BTCUSDT", quote: str = "USDT") -> Instrument:
    return Instrument(
        venue=venue, symbol=symbol, asset="BTC", kind=InstrumentKind.PERP, quote=quote
    )


def live_book(instrument: Instrument, bid: float, ask: float) -> BookSynchroniser:
    book = BookSynchroniser(instrument, BYBIT)
    ts = NOW_MS * 1_000_000
    book.on_snapshot(BookSnapshot(instrument, ts, ts, 1, [(bid, 1.5)], [(ask, 2.5)]))
    return book


def set_level(book: BookSynchroniser, price: float, qty: float, *, skips: int = 0) -> None:
    seq = book.book.last_seq + skips + 1
    ts = (NOW_MS + seq) * 1_000_000
    book.on_delta(BookDelta(book.instrument, ts, ts, seq, seq, seq - 1, [(price, qty)], []))


@pytest.fixture(autouse=True)
def no_books_of_other_tests() -> None:
    for name in ("orderbook.BTC", "ticker.BTC"):
        sync_redis().delete(*feed_keys(name))


@asynccontextmanager
async def writing(
    writer: FeedWriter, state: MarketState | None, *books: Any
) -> AsyncIterator[None]:
    demand = DemandPublisher(writer, state)
    for one in books:
        demand.see({one.instrument.key: one})
    tasks = [asyncio.create_task(demand.run()), asyncio.create_task(writer.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def next_book(socket: Any, name: str) -> Any:
    """The next frame that says something of this book."""
    while True:
        frame = await socket.hear()
        if name in (frame.get("data") or {}).get("books", {}):
            return frame


async def test_a_book_begins_when_somebody_listens(
    web: Web, world: World, writer: FeedWriter
) -> None:
    binance, okx = live_book(perp("binance"), 100.0, 101.0), live_book(perp("okx"), 100.0, 100.5)
    async with writing(writer, None, binance, okx), web.socket(world.eve.plaintext) as socket:
        _, snapshot = await socket.subscribe("orderbook.BTC")
        books = snapshot["data"]["books"]
        assert set(books) == {"binance", "okx", "aggregated"}
        assert books["aggregated"]["bids"] == [[100.0, 3.0]]
        assert books["aggregated"]["asks"] == [[100.5, 2.5], [101.0, 2.5]]
        set_level(binance, 100.0, 7.0)
        update = await next_book(socket, "binance")
        assert update["data"]["books"]["binance"]["bids"] == [[100.0, 7.0]]
        assert update["data"]["books"]["aggregated"]["bids"] == [[100.0, 8.5]]
        assert "okx" not in update["data"]["books"]
        assert update["ts"] == "2026-05-17T20:14:33.002Z"
        set_level(okx, 99.0, 1.0, skips=5)
        lost = await next_book(socket, "okx")
        assert lost["data"]["books"]["okx"]["state"] == "resyncing"
        assert lost["data"]["books"]["okx"]["reset"] is True
        assert lost["data"]["books"]["aggregated"]["venues"] == ["binance"]
        assert lost["data"]["books"]["aggregated"]["state"] == "partial"


async def test_one_venue_alone_shows_no_false_loss(
    web: Web, world: World, writer: FeedWriter
) -> None:
    binance, okx = live_book(perp("binance"), 100.0, 101.0), live_book(perp("okx"), 100.0, 100.5)
    async with writing(writer, None, binance, okx), web.socket(world.eve.plaintext) as socket:
        _, snapshot = await socket.subscribe("orderbook.BTC", exchange="okx")
        assert set(snapshot["data"]["books"]) == {"okx"}
        set_level(binance, 99.0, 1.0)
        set_level(okx, 99.5, 4.0)
        last, bids = snapshot["seq"], None
        while bids != [[99.5, 4.0]]:
            update = await socket.until(type="update")
            assert set(update["data"]["books"]) == {"okx"}
            assert update["prev_seq"] == last
            assert update["seq"] > update["prev_seq"]
            last, bids = update["seq"], update["data"]["books"]["okx"]["bids"]


async def until_bids(socket: Any, last: int, held: dict[float, float], wanted: Any) -> int:
    """Apply binance's bids until they are ``wanted``; the last seq, with no loss on the way."""
    while held != wanted:
        frame = await socket.until(type="update")
        assert frame["prev_seq"] == last
        last = frame["seq"]
        book = frame["data"]["books"]["binance"]
        assert frame["data"]["depth"] == 5
        if book.get("reset"):
            held.clear()
        for price, qty in book["bids"]:
            held[price] = qty
            if not qty:
                del held[price]
    return last


async def test_fewer_levels_come_back_whole(web: Web, world: World, writer: FeedWriter) -> None:
    binance = live_book(perp("binance"), 100.0, 101.0)
    for price in (99.0, 98.0, 97.0, 96.0, 95.0, 94.0):
        set_level(binance, price, price / 100)
    five = {100.0: 1.5, 99.0: 0.99, 98.0: 0.98, 97.0: 0.97, 96.0: 0.96}
    wish = {"depth": 5, "venue": "binance"}
    async with writing(writer, None, binance):
        async with web.socket(world.eve.plaintext) as one, web.socket(world.bob.plaintext) as two:
            held: dict[float, float] = {}
            ack, snapshot = await one.subscribe("orderbook.BTC", **wish)
            _, other = await two.subscribe("orderbook.BTC", **wish)
            for frame in (snapshot, other):
                assert set(frame["data"]["books"]) == {"binance"}
                assert dict(frame["data"]["books"]["binance"]["bids"]) == five
            held = dict(five)
            set_level(binance, 94.0, 9.0)  # Too deep to be told.
            set_level(binance, 99.0, 0.0)
            after = {price: qty for price, qty in five.items() if price != 99.0} | {95.0: 0.95}
            last = await until_bids(one, snapshot["seq"], held, after)
            seen = dict(five)
            assert await until_bids(two, other["seq"], seen, after) == last
            await one.raw.close()
            set_level(binance, 99.5, 3.0)
            set_level(binance, 95.0, 8.0)
            wanted = {99.5: 3.0, **{p: q for p, q in after.items() if p != 95.0}}
            await until_bids(two, last, seen, wanted)
        async with web.socket(world.eve.plaintext) as again:
            await again.say(
                op="subscribe", channel="orderbook.BTC", from_seq=last, epoch=ack["epoch"], **wish
            )
            resumed = await again.until(op="subscribed")
            assert (resumed["resumed"], resumed["seq"]) == (True, last)
            await until_bids(again, last, held, wanted)


@pytest.mark.parametrize("depth", [7, 0, "10", None, True, [5]])
async def test_a_depth_that_there_is_not_is_refused(web: Web, world: World, depth: Any) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        await socket.say(op="subscribe", channel="orderbook.BTC", depth=depth)
        error = await socket.hear()
    assert (error["op"], error["code"], error["param"]) == ("error", "invalid_parameter", "depth")
    assert "expected one of 5, 10, 20, 50, full" in error["detail"]
    assert str(depth) in error["detail"]


async def test_nobody_listens_and_nothing_is_written(writer: FeedWriter) -> None:
    book = live_book(perp("binance"), 100.0, 101.0)
    demand = DemandPublisher(writer)
    demand.see({book.instrument.key: book})
    assert [*demand.tick(frozenset(), 1.0)] == []
    assert len([*demand.tick(frozenset({"orderbook.BTC", "liquidations.BTC"}), 2.0)]) == 1
    assert len(writer._waiting) == 1
    [*demand.tick(frozenset({"orderbook.BTC"}), 2.1)]
    assert len(writer._waiting) == 1
    [*demand.tick(frozenset({"orderbook.BTC"}), 3.1)]
    assert b'"books":{}' in writer._waiting[1].data
    # Who comes after a pause begins with the whole.
    [*demand.tick(frozenset(), 4.0)]
    [*demand.tick(frozenset({"orderbook.BTC"}), 5.0)]
    assert b'"reset":true' in writer._waiting[2].data


async def test_an_asset_of_another_process_is_left_to_it(writer: FeedWriter) -> None:
    demand = DemandPublisher(writer, MarketState(origin="stream", now_ms=lambda: NOW_MS))
    for second in range(30):
        [*demand.tick(frozenset({"orderbook.ETH", "ticker.ETH"}), float(second))]
    assert not writer._waiting


async def test_the_main_perpetual_speaks_for_a_venue(writer: FeedWriter) -> None:
    usd, usdt = perp("bybit", "BTCUSD", "USD"), perp("bybit", "BTCUSDT", "USDT")
    demand = DemandPublisher(writer)
    books = [live_book(usdt, 100.0, 101.0), live_book(usd, 90.0, 91.0)]
    demand.see({one.instrument.key: one for one in books})
    [*demand.tick(frozenset({"orderbook.BTC"}), 1.0)]
    assert b'"bids":[[100.0,1.5]]' in writer._waiting[0].data


def ticking_state() -> tuple[MarketState, list[Instrument]]:
    state = MarketState(origin="stream", now_ms=lambda: NOW_MS)
    listed = [perp("binance"), perp("okx", "BTC-USDT-SWAP")]
    state.set_instruments(listed, {one.key: number for number, one in enumerate(listed)})
    return state, listed


def trade(instrument: Instrument, price: float, at_ms: int) -> Trade:
    ts = at_ms * 1_000_000
    return Trade(instrument, ts, ts, price, 1.0, Side.BUY, "1")


async def test_a_ticker_says_what_is_known_of_each_venue(
    web: Web, world: World, writer: FeedWriter
) -> None:
    state, (binance, okx) = ticking_state()
    state.apply(trade(binance, 100.5, NOW_MS))
    ts = NOW_MS * 1_000_000
    state.apply(MarkPrice(binance, ts, ts, 100.4, 100.3))
    book = live_book(binance, 100.0, 101.0)
    async with writing(writer, state, book), web.socket(world.narrow) as socket:
        _, snapshot = await socket.subscribe("ticker.BTC")
        assert snapshot["data"] == {
            "asset": "BTC",
            "venues": {
                "binance": {
                    "symbol": "BTCUSDT", "last": 100.5, "mark": 100.4, "index": 100.3, "bid": 100.0,
                    "ask": 101.0, "ts": "2026-05-17T20:14:33Z",
                },
                "okx": {
                    "symbol": "BTC-USDT-SWAP", "last": None, "mark": None, "index": None, "bid": None,
                    "ask": None, "ts": None,
                },
            },
        }  # fmt: skip
        state.apply(trade(okx, 99.5, NOW_MS + 5))
        while True:
            update = await socket.until(type="update")
            if update["data"]["venues"]["okx"]["last"] is not None:
                break
        assert update["data"]["venues"]["okx"]["last"] == 99.5
        assert update["ts"] == "2026-05-17T20:14:33.005Z"
        await socket.say(op="unsubscribe", channel="ticker.BTC")
        await socket.until(op="unsubscribed")
        _, narrow = await socket.subscribe("ticker.BTC", exchange=["okx"])
        assert set(narrow["data"]["venues"]) == {"okx"}


async def test_a_published_snapshot_is_pushed(
    web: Web, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_publish_database", lambda _documents: 0)
    name = "markets.open-interest.BTC"

    def publish(version: int) -> int:
        payload = {
            "asset": "BTC",
            "version": version,
            "meta": {"partial": False, "staleness_seconds": 0, "freshness": "fresh"},
        }
        return store.publish_many(
            [
                SnapshotDocument.from_payload(
                    "markets.open_interest", payload, version=version, snapshot_ts_ms=NOW_MS + version,
                    cadence_s=60,
                )
            ]
        )  # fmt: skip

    sync_redis().delete(store.snapshot_key("markets.open_interest", "BTC"))
    try:
        async with web.socket(world.narrow) as socket:
            ack, empty = await socket.subscribe(name)
            assert (empty["data"], empty["null_reason"]) == (None, "no_data")
            assert await asyncio.to_thread(publish, 5) == 1
            update = await socket.until(type="update")
            assert (update["seq"], update["prev_seq"]) == (ack["seq"] + 1, ack["seq"])
            assert update["data"]["version"] == 5
            assert update["ts"] == "2026-05-17T20:14:33.005Z"
            # An older refresh that comes late is not told.
            assert await asyncio.to_thread(publish, 4) == 0
            assert await asyncio.to_thread(publish, 6) == 1
            assert (await socket.until(type="update"))["data"]["version"] == 6
        async with web.socket(world.narrow) as socket:
            _, snapshot = await socket.subscribe(name)
            assert snapshot["data"]["version"] == 6
    finally:
        sync_redis().delete(store.snapshot_key("markets.open_interest", "BTC"))


async def test_a_layer_that_is_not_in_the_plan_is_refused(web: Web, world: World) -> None:
    async with web.socket(world.narrow) as socket:
        await socket.say(op="subscribe", channel="orderbook.BTC")
        assert (await socket.until(op="error"))["code"] == "tier_required"


LIQUIDATION_FRAMES = {
    "binance": "um_force_order_sell.json",
    "bybit": "liquidation_long.json",
    "okx": "liquidation_long.json",
}


@pytest.mark.parametrize(("venue", "file"), LIQUIDATION_FRAMES.items())
async def test_a_liquidation_goes_from_the_wire_to_a_socket(
    venue: str, file: str, web: Web, world: World, writer: FeedWriter
) -> None:
    parser, _ = make_parser(venue, expectations(venue)[file].connection)
    found = parser.parse(frame(venue, file), NOW_MS * 1_000_000)
    first = next(event for event in found if isinstance(event, Liquidation))
    publisher = FeedPublisher(writer)
    sending = asyncio.create_task(writer.run())
    try:
        async with web.socket(world.eve.plaintext) as socket:
            await socket.subscribe(f"liquidations.{first.instrument.asset}")
            for event in found:
                publisher.on_event(event)  # type: ignore[arg-type]  # controls are none of these
            update = await socket.until(type="update")
        assert update["data"]["exchange"] == venue
        assert update["data"]["side"] == first.position_side.value
        assert update["data"]["amount_usd"] == round(first.notional_usd, 2)
        assert update["data"]["price"] == first.price
        jsonschema.validate(update["data"], dict(LIQUIDATIONS.schema))
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def test_every_channel_has_an_example_that_fits_its_schema() -> None:
    for spec in all_specs():
        if spec.name.startswith("test"):
            continue
        assert spec.example, spec.name
        jsonschema.validate(dict(spec.example), dict(spec.schema))
