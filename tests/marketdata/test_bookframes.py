"""A reader that applies every change has the venue's best levels, whatever happened to the books."""

from __future__ import annotations

import copy
import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.marketdata.bookframes import (
    AGGREGATED,
    AssetBooks,
    BookView,
    merge_books,
    narrow_books,
    whole_as_change,
)
from apps.marketdata.books import BYBIT, BookState, BookSynchroniser
from apps.marketdata.events import BookDelta, BookSnapshot, Levels
from apps.marketdata.instruments import Instrument, InstrumentKind

DEPTH = 5


class Venue:
    """A book with its own random life."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.instrument = Instrument(
            venue=name, symbol="BTCUSDT", asset="BTC", kind=InstrumentKind.PERP, quote="USDT"
        )
        self.book = BookSynchroniser(self.instrument, BYBIT)
        self._rng = rng
        self._seq = 0

    def whole(self, bids: Levels | None = None, asks: Levels | None = None) -> None:
        self._seq += 1
        bids = bids if bids is not None else self._levels(99, -1)
        asks = asks if asks is not None else self._levels(101, 1)
        ts = self._seq * 1_000_000
        self.book.on_snapshot(BookSnapshot(self.instrument, ts, ts, self._seq, bids, asks))

    def change(self, bids: Levels | None = None, asks: Levels | None = None) -> None:
        self._seq += 1
        bids = bids if bids is not None else self._levels(99, -1, zero=True)
        asks = asks if asks is not None else self._levels(101, 1, zero=True)
        ts = self._seq * 1_000_000
        self.book.on_delta(
            BookDelta(self.instrument, ts, ts, self._seq, self._seq, self._seq - 1, bids, asks)
        )

    def lose(self) -> None:
        self._seq += 7
        self.change([], [])

    def _levels(self, start: int, step: int, *, zero: bool = False) -> Levels:
        prices = self._rng.sample(range(60), self._rng.randrange(1, 40))
        return [
            (float(start + step * price), 0.0 if zero and self._rng.random() < 0.5 else 1.0 + price)
            for price in sorted(prices)
        ]


def apply(held: dict[str, Any], data: dict[str, Any]) -> None:
    """What the documentation tells readers to do."""
    for name, change in data["books"].items():
        book = held.setdefault(name, {"bids": {}, "asks": {}})
        if change.get("reset"):
            book["bids"], book["asks"] = {}, {}
        book["state"] = change["state"]
        for side in ("bids", "asks"):
            for price, qty in change[side]:
                if qty:
                    book[side][price] = qty
                else:
                    book[side].pop(price, None)


def held_by(events: list[bytes]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for event in events:
        apply(held, orjson.loads(event))
    return held


def expected(venues: dict[str, Venue]) -> dict[str, Any]:
    """From the books themselves, by plain sorting."""
    books: dict[str, Any] = {}
    totals: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
    for name, venue in venues.items():
        sides: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
        if venue.book.state is BookState.LIVE:
            for side in sides:
                levels = getattr(venue.book.book, side)
                best = sorted(levels, reverse=side == "bids")[:DEPTH]
                sides[side] = {price: levels[price] for price in best}
        books[name] = {"state": venue.book.state.value, **sides}
        for side, levels in sides.items():
            for price, qty in levels.items():
                totals[side][price] = totals[side].get(price, 0.0) + qty
    live = sum(venue.book.state is BookState.LIVE for venue in venues.values())
    state = "live" if live == len(venues) else "partial" if live else "resyncing"
    books[AGGREGATED] = {
        "state": state,
        **{
            side: {price: levels[price] for price in sorted(levels, reverse=side == "bids")[:DEPTH]}
            for side, levels in totals.items()
        },
    }
    return books


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from("cccwl"), min_size=1, max_size=40))
def test_changes_lead_to_the_books_themselves(seed: int, steps: list[str]) -> None:
    rng = random.Random(seed)
    venues = {name: Venue(name, rng) for name in ("binance", "okx")}
    books = AssetBooks("BTC", DEPTH)
    told: list[bytes] = []
    merged = b""
    for step in steps:
        venue = venues[rng.choice(["binance", "okx"])]
        {"c": venue.change, "w": venue.whole, "l": venue.lose}[step]()
        event = books.update({name: one.book for name, one in venues.items()})
        if event is None:
            continue
        told.append(event.data)
        merged = event.data if not merged else merge_books(merged, event.data)
        assert held_by(told) == expected(venues)
        assert held_by([event.state]) == expected(venues)
        assert held_by([merged]) == expected(venues)
        at = rng.randrange(len(told))
        if at:
            first = told[0]
            for one in told[1:at]:
                first = merge_books(first, one)
            assert held_by([first, *told[at:]]) == expected(venues)


def best(books: dict[str, Any], names: set[str], depth: int) -> dict[str, Any]:
    """The same by plain sorting."""
    return {
        name: {
            "state": book["state"],
            **{
                side: dict(sorted(book[side].items(), reverse=side == "bids")[:depth])
                for side in ("bids", "asks")
            },
        }
        for name, book in books.items()
        if name in names
    }


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.sampled_from("ccccwl"), min_size=2, max_size=40),
    depth=st.integers(1, 4),
    names=st.sampled_from([None, frozenset({"okx"}), frozenset({AGGREGATED, "binance"})]),
)
def test_fewer_levels_are_the_best_of_the_book_at_every_step(
    seed: int, steps: list[str], depth: int, names: frozenset[str] | None
) -> None:
    rng = random.Random(seed)
    venues = {name: Venue(name, rng) for name in ("binance", "okx")}
    for venue in venues.values():
        venue.whole()
    books, view = AssetBooks("BTC", DEPTH), BookView(depth, names)
    chosen = set(names or {"binance", "okx", AGGREGATED})
    event = books.update({name: one.book for name, one in venues.items()})
    assert event is not None
    held: dict[str, Any] = {}
    apply(held, dict(view.begin(orjson.loads(event.state))))
    merged = b""
    joined, slow = copy.deepcopy(held), copy.deepcopy(held)
    for step in steps:
        venue = venues[rng.choice(["binance", "okx"])]
        {"c": venue.change, "w": venue.whole, "l": venue.lose}[step]()
        event = books.update({name: one.book for name, one in venues.items()})
        if event is None:
            continue
        change = view.change(orjson.loads(event.data))
        if change is not None:
            assert change["depth"] == depth
            data = orjson.dumps(change)
            merged = merge_books(merged, data) if merged else data
            apply(held, dict(change))
        assert held == best(expected(venues), chosen, depth)
    # A slow reader gets them merged, one who comes back gets the whole as a change of what he has.
    if merged:
        apply(slow, orjson.loads(merged))
    assert slow == held
    again = books.repeat()
    assert again is not None
    apply(joined, dict(whole_as_change(BookView(depth, names).begin(orjson.loads(again.state)))))
    assert joined == held


def test_what_lies_deeper_is_not_told() -> None:
    books, venues = two_venues()
    by_name = {name: one.book for name, one in venues.items()}
    first = books.update(by_name)
    assert first is not None
    view = BookView(1, frozenset({"binance"}))
    seen = view.begin(orjson.loads(first.state))
    assert (seen["depth"], set(seen["books"])) == (1, {"binance"})
    assert seen["books"]["binance"]["bids"] == [(100.0, 1.0)]
    venues["binance"].change([(99.0, 5.0)], [])
    deeper = books.update(by_name)
    assert deeper is not None
    assert view.change(orjson.loads(deeper.data)) is None
    # The best goes: the second comes in with what was never told of it.
    venues["binance"].change([(100.0, 0.0)], [])
    gone = books.update(by_name)
    assert gone is not None
    found = view.change(orjson.loads(gone.data))
    assert found is not None
    assert found["books"]["binance"]["bids"] == [(99.0, 5.0), (100.0, 0.0)]


def two_venues() -> tuple[AssetBooks, dict[str, Venue]]:
    rng = random.Random(1)
    venues = {name: Venue(name, rng) for name in ("binance", "okx")}
    venues["binance"].whole([(100.0, 1.0), (99.0, 2.0)], [(101.0, 3.0)])
    venues["okx"].whole([(100.0, 0.1), (99.5, 0.2)], [(100.5, 0.00001)])
    return AssetBooks("BTC"), venues


def test_the_aggregate_adds_up_and_has_no_exponents() -> None:
    books, venues = two_venues()
    event = books.update({name: one.book for name, one in venues.items()})
    assert event is not None
    assert b'"asks":[[100.5,0.00001],[101.0,3.0]]' in event.data
    found = orjson.loads(event.data)["books"]
    assert found["aggregated"] == {
        "state": "live",
        "venues": ["binance", "okx"],
        "reset": True,
        "bids": [[100.0, 1.1], [99.5, 0.2], [99.0, 2.0]],
        "asks": [[100.5, 0.00001], [101.0, 3.0]],
    }
    assert found["okx"]["ts"] == "1970-01-01T00:00:00.001Z"


def test_a_resync_is_said_and_its_levels_leave_the_aggregate() -> None:
    books, venues = two_venues()
    by_name = {name: one.book for name, one in venues.items()}
    books.update(by_name)
    venues["okx"].lose()
    event = books.update(by_name)
    assert event is not None
    found = orjson.loads(event.data)["books"]
    assert found["okx"]["state"] == "resyncing"
    assert (found["okx"]["reset"], found["okx"]["bids"], found["okx"]["asks"]) == (True, [], [])
    assert found["aggregated"] == {
        "state": "partial",
        "venues": ["binance"],
        "bids": [[100.0, 1.0], [99.5, 0.0]],
        "asks": [[100.5, 0.0]],
    }
    assert "binance" not in found
    venues["okx"].whole([(100.0, 0.1)], [(100.5, 1.0)])
    again = books.update(by_name)
    assert again is not None
    assert orjson.loads(again.data)["books"]["okx"]["reset"] is True


def test_a_venue_that_lists_it_no_longer_is_stale() -> None:
    books, venues = two_venues()
    books.update({name: one.book for name, one in venues.items()})
    event = books.update({"binance": venues["binance"].book})
    assert event is not None
    found = orjson.loads(event.data)["books"]
    assert (found["okx"]["state"], found["okx"]["reset"]) == ("stale", True)


def test_nothing_is_told_twice() -> None:
    books, venues = two_venues()
    by_name = {name: one.book for name, one in venues.items()}
    assert books.repeat() is None
    first = books.update(by_name)
    assert first is not None
    assert books.update(by_name) is None
    again = books.repeat()
    assert again is not None
    assert orjson.loads(again.data) == {"asset": "BTC", "depth": 50, "books": {}}
    assert orjson.loads(again.state) == {**orjson.loads(first.state)}


@pytest.mark.parametrize(
    ("wanted", "names"), [({"okx"}, {"okx"}), ({"okx", "aggregated"}, {"okx", "aggregated"})]
)
def test_only_the_chosen_books_are_told(wanted: set[str], names: set[str]) -> None:
    books, venues = two_venues()
    event = books.update({name: one.book for name, one in venues.items()})
    assert event is not None
    narrowed = narrow_books(orjson.loads(event.data), {"exchange": wanted})
    assert narrowed is not None
    assert set(narrowed["books"]) == names
    assert narrow_books({"books": {}}, {"exchange": wanted}) is None


def test_few_levels_of_a_large_book_are_found_while_it_moves() -> None:
    """Prices that leave the near end are replaced by those behind them."""
    rng = random.Random(3)
    venue = Venue("binance", rng)
    venue.whole(
        [(1000.0 - k, 1.0 + k) for k in range(900)], [(1001.0 + k, 1.0 + k) for k in range(900)]
    )
    books = AssetBooks("BTC", DEPTH)
    held: dict[str, Any] = {}
    for step in range(60):
        event = books.update({"binance": venue.book})
        assert event is not None
        apply(held, orjson.loads(event.data))
        best = sorted(venue.book.book.bids, reverse=True)[:DEPTH]
        assert sorted(held["binance"]["bids"], reverse=True) == best
        if step < 30:
            venue.change([(price, 0.0) for price in best[:3]], [])
        else:
            venue.change(
                [(1000.0 + step + k / 7, 2.0) for k in range(6)], [(1001.0 + 3 * step, 0.0)]
            )
            if venue.book.state is not BookState.LIVE:
                venue.whole([(900.0 + step, 1.0)], [(2000.0, 1.0)])
