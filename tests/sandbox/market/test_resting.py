"""Books: never crossed, thinned by trades, with walls that stay and orders that are pulled."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from apps.sandbox.faces.registry import FACES
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.model import SeededMarket

NOW_MS = 1_795_200_123_456
MINUTE = NOW_MS // 60_000
LISTINGS = tuple(one for face in FACES for one in face.listings(("BTC", "DOGE", "SHIB", "STRK")))


@cache
def market() -> SeededMarket:
    return SeededMarket(11, LISTINGS)


def bitcoin() -> Listing:
    return next(one for one in LISTINGS if one.name == "binance:perp:BTCUSDT")


@pytest.mark.parametrize("one", LISTINGS, ids=lambda one: one.name)
def test_books_are_never_crossed_and_hold_the_touch(one: Listing) -> None:
    first = NOW_MS // one.book_step_ms
    for step in range(first, first + 40 * 97, 97):
        book = market().book(one, step)
        touch = market().touch(one, book.time_ms)
        assert (max(book.bids), min(book.asks)) == touch
        assert touch.bid < touch.ask
        assert min(book.bids) > 0
        assert min(min(book.bids.values()), min(book.asks.values())) >= 1


def test_any_book_is_the_same_whatever_was_asked_before() -> None:
    one = bitcoin()
    first = NOW_MS // one.book_step_ms
    steps = range(first, first + 3_000, 7)
    forwards = {step: market().book(one, step) for step in steps}
    fresh = SeededMarket(11, LISTINGS)
    for step in list(steps)[::-40]:
        assert fresh.book(one, step) == forwards[step]


def test_from_step_to_step_little_changes() -> None:
    one = bitcoin()
    first = NOW_MS // one.book_step_ms
    books = [market().book(one, step) for step in range(first, first + 300)]
    changed = [len(new.bids.items() ^ old.bids.items()) for old, new in pairwise(books)]
    assert 1 < np.mean(changed) < 30
    assert min(changed) >= 1


def test_some_walls_stay_for_hours() -> None:
    one = bitcoin()
    step = MINUTE * 60_000 // one.book_step_ms
    hour = 3_600_000 // one.book_step_ms

    def walls(at: int) -> dict[int, int]:
        book = market().book(one, at)
        sides = book.bids | book.asks
        usual = float(np.median(list(sides.values())))
        return {price: lots for price, lots in sides.items() if lots > 5 * usual}

    now, before = walls(step), walls(step - hour)
    assert 1 <= len(now) <= 40
    assert now.keys() & before.keys()


def test_large_orders_are_placed_and_pulled_within_two_seconds() -> None:
    one = bitcoin()
    found = 0
    for minute in range(MINUTE - 60, MINUTE):
        first = minute * 60_000 // one.book_step_ms
        market().book(one, first)
        resting = market()._minutes.at(one, minute).resting
        assert resting is not None
        spoof = resting.spoof
        if spoof is None:
            continue
        found += 1
        assert 500 < spoof.end_ms - spoof.start_ms <= 2_000
        seen = market().book(one, spoof.start_ms // one.book_step_ms + 2)
        gone = market().book(one, spoof.end_ms // one.book_step_ms + 1)
        side, later = (seen.bids, gone.bids) if spoof.is_bid else (seen.asks, gone.asks)
        usual = float(np.median(list(side.values())))
        shown = [tick for tick in spoof.ticks if side.get(tick, 0) > 5 * usual]
        if shown:
            assert all(later.get(tick, 0) < 0.2 * side[tick] for tick in shown)
    assert 1 <= found <= 20


def test_what_takers_took_comes_back_within_seconds() -> None:
    one = bitcoin()
    market().book(one, MINUTE * 60_000 // one.book_step_ms)
    resting = market()._minutes.at(one, MINUTE).resting
    assert resting is not None
    tape = market().tape(one, MINUTE)
    for side, left in zip((0, 1), resting.left, strict=True):
        second = (tape.time_ms % 60_000) // 1_000
        taken = np.bincount(second, weights=tape.lots * (tape.is_buy == side), minlength=60)
        worst = int(taken.argmax())
        assert left[worst] < np.median(left)
        if worst < 50:
            assert left[worst + 9] > left[worst]
        assert 0.0 < min(left) <= max(left) <= 1.0
