"""Order books: levels, best prices, and each continuity rule of VENUES at its edges."""

from __future__ import annotations

import random

import pytest

from apps.marketdata.books import (
    BINANCE_SPOT,
    BINANCE_UM,
    MAX_OLD_DELTAS,
    BookState,
    BookSynchroniser,
    ContinuityRule,
    Link,
    OrderBook,
    Outcome,
)
from apps.marketdata.events import BookDelta, BookSnapshot, Levels
from apps.marketdata.instruments import Instrument, InstrumentKind

BTC = Instrument(
    venue="binance", symbol="BTCUSDT", asset="BTC", kind=InstrumentKind.PERP, quote="USDT"
)


def snapshot(seq: int, bids: Levels | None = None, asks: Levels | None = None) -> BookSnapshot:
    return BookSnapshot(BTC, seq, seq, seq, bids or [(99.0, 1.0)], asks or [(101.0, 1.0)])


def delta(
    first: int, last: int, prev: int = -1, bids: Levels | None = None, asks: Levels | None = None
) -> BookDelta:
    return BookDelta(BTC, last, last, first, last, prev, bids or [], asks or [])


def live(rule: ContinuityRule, seq: int = 100) -> BookSynchroniser:
    book = BookSynchroniser(BTC, rule)
    assert book.on_snapshot(snapshot(seq)) is Outcome.APPLIED
    assert book.state is BookState.LIVE
    return book


class TestOrderBook:
    def test_levels_are_set_and_removed(self) -> None:
        book = OrderBook(BTC)
        book.apply_snapshot(snapshot(1, [(99.0, 1.0), (98.0, 2.0), (97.0, 0.0)], [(101.0, 1.0)]))
        book.apply_delta(
            delta(2, 3, bids=[(99.0, 0.0), (98.5, 4.0), (50.0, 0.0)], asks=[(101.0, 3.0)])
        )
        assert book.bids == {98.0: 2.0, 98.5: 4.0}
        assert book.asks == {101.0: 3.0}
        assert (book.best_bid, book.best_ask, book.last_seq) == (98.5, 101.0, 3)

    def test_the_last_word_on_a_price_counts(self) -> None:
        book = OrderBook(BTC)
        book.apply_delta(
            delta(1, 1, bids=[(99.0, 0.0), (99.0, 2.0)], asks=[(101.0, 5.0), (101.0, 0.0)])
        )
        assert (book.bids, book.asks) == ({99.0: 2.0}, {})

    def test_best_price_moves_on_when_its_level_goes(self) -> None:
        book = OrderBook(BTC)
        book.apply_snapshot(snapshot(1, [(99.0, 1.0), (98.0, 1.0)], [(101.0, 1.0), (102.0, 1.0)]))
        book.apply_delta(delta(2, 2, bids=[(99.0, 0.0)], asks=[(101.0, 0.0)]))
        assert (book.best_bid, book.best_ask) == (98.0, 102.0)
        book.apply_delta(delta(3, 3, bids=[(98.0, 0.0)], asks=[(102.0, 0.0)]))
        assert (book.best_bid, book.best_ask) == (None, None)
        assert not book.is_crossed

    @pytest.mark.parametrize("levels", [0, 1, 3, 50, 5_000])
    def test_top_is_sorted_from_the_best(self, levels: int) -> None:
        book = OrderBook(BTC)
        bids = [(float(price), 1.0) for price in range(1, 1_001)]
        asks = [(float(price), 2.0) for price in range(2_000, 1_000, -1)]
        book.apply_snapshot(snapshot(1, bids, asks))
        top_bids, top_asks = book.top(levels)
        assert top_bids == sorted(bids, reverse=True)[:levels]
        assert top_asks == sorted(asks)[:levels]

    def test_best_prices_hold_while_a_deep_book_churns(self) -> None:
        rng = random.Random(5)
        book = OrderBook(BTC)
        middle = 5_000
        for step in range(8_000):
            middle += rng.choice((-3, -1, 0, 0, 1, 3))
            reach = rng.choice((3, 30, 3_000))
            bids = [
                (float(middle - rng.randint(1, reach)), float(rng.randint(0, 3))) for _ in range(4)
            ]
            asks = [
                (float(middle + rng.randint(1, reach)), float(rng.randint(0, 3))) for _ in range(4)
            ]
            book.apply_delta(delta(step, step, bids=bids, asks=asks))
            if step % 7 == 0:
                assert book.best_bid == max(book.bids, default=None)
                assert book.best_ask == min(book.asks, default=None)
                top_bids, _ = book.top(3)
                assert top_bids == sorted(book.bids.items(), reverse=True)[:3]
        assert len(book.bids) > 1_000

    def test_crossed(self) -> None:
        book = OrderBook(BTC)
        book.apply_snapshot(snapshot(1))
        assert not book.is_crossed
        book.apply_delta(delta(2, 2, bids=[(101.0, 1.0)]))
        assert book.is_crossed
        book.apply_delta(delta(3, 3, asks=[(101.0, 0.0), (103.0, 1.0)]))
        assert not book.is_crossed

    def test_clear(self) -> None:
        book = OrderBook(BTC)
        book.apply_snapshot(snapshot(7))
        book.clear()
        assert (book.bids, book.asks, book.best_bid, book.last_seq) == ({}, {}, None, -1)


class TestBinanceUm:
    @pytest.mark.parametrize(
        ("first", "last", "prev", "outcome"),
        [
            (90, 99, 80, Outcome.DROPPED),  # u < lastUpdateId
            (90, 100, 80, Outcome.APPLIED),  # U ≤ lastUpdateId = u
            (100, 110, 95, Outcome.APPLIED),  # U = lastUpdateId ≤ u
            (95, 120, 90, Outcome.APPLIED),
            (101, 110, 100, Outcome.APPLIED),  # the snapshot is the event before
            (101, 110, 99, Outcome.GAP),  # U > lastUpdateId
            (111, 120, 110, Outcome.GAP),
        ],
    )
    def test_first_event_after_the_snapshot(
        self, first: int, last: int, prev: int, outcome: Outcome
    ) -> None:
        assert live(BINANCE_UM).on_delta(delta(first, last, prev)) is outcome

    @pytest.mark.parametrize(
        ("first", "last", "prev", "outcome"),
        [
            (115, 120, 110, Outcome.APPLIED),  # ids between events may be skipped: pu links them
            (111, 120, 109, Outcome.GAP),
            (111, 120, 111, Outcome.GAP),
            (111, 120, -1, Outcome.GAP),
            (105, 110, 100, Outcome.DROPPED),  # said before
            (90, 95, 80, Outcome.DROPPED),
        ],
    )
    def test_later_events_link_by_pu(
        self, first: int, last: int, prev: int, outcome: Outcome
    ) -> None:
        book = live(BINANCE_UM)
        assert book.on_delta(delta(100, 110, 99)) is Outcome.APPLIED
        assert book.on_delta(delta(first, last, prev)) is outcome
        assert book.gap_count == (outcome is Outcome.GAP)
        assert (book.state is BookState.LIVE) == (outcome is not Outcome.GAP)

    def test_an_overlapping_event_after_the_first_is_a_gap(self) -> None:
        book = live(BINANCE_UM)
        book.on_delta(delta(95, 105, 90))
        assert book.on_delta(delta(100, 120, 98)) is Outcome.GAP


class TestBinanceSpot:
    @pytest.mark.parametrize(
        ("first", "last", "outcome"),
        [
            (90, 99, Outcome.DROPPED),
            (90, 100, Outcome.DROPPED),  # u ≤ lastUpdateId
            (90, 101, Outcome.APPLIED),
            (101, 105, Outcome.APPLIED),  # U = local + 1
            (102, 105, Outcome.GAP),  # U > local + 1
        ],
    )
    def test_events_join_without_a_hole(self, first: int, last: int, outcome: Outcome) -> None:
        book = live(BINANCE_SPOT)
        assert book.on_delta(delta(first, last)) is outcome

    def test_chain(self) -> None:
        book = live(BINANCE_SPOT)
        for first, last in ((101, 105), (106, 106), (104, 109)):
            assert book.on_delta(delta(first, last)) is Outcome.APPLIED
        assert book.on_delta(delta(111, 112)) is Outcome.GAP
        assert book.gap_count == 1


class TestResynchronising:
    @pytest.mark.parametrize("rule", [BINANCE_UM, BINANCE_SPOT])
    def test_deltas_wait_for_the_snapshot(self, rule: ContinuityRule) -> None:
        book = BookSynchroniser(BTC, rule)
        assert book.on_delta(delta(91, 95, 90, bids=[(98.0, 9.0)])) is Outcome.NEEDS_SNAPSHOT
        assert book.on_delta(delta(96, 105, 95, bids=[(98.0, 5.0)])) is Outcome.BUFFERED
        assert book.on_delta(delta(106, 110, 105, asks=[(102.0, 7.0)])) is Outcome.BUFFERED
        assert (book.state, book.book.bids) == (BookState.RESYNCING, {})
        assert book.on_snapshot(snapshot(100)) is Outcome.APPLIED
        assert book.state is BookState.LIVE
        assert book.book.bids == {99.0: 1.0, 98.0: 5.0}
        assert book.book.asks == {101.0: 1.0, 102.0: 7.0}
        assert (book.book.last_seq, book.gap_count) == (110, 0)

    @pytest.mark.parametrize("rule", [BINANCE_UM, BINANCE_SPOT])
    def test_a_snapshot_older_than_the_stream_is_refetched(self, rule: ContinuityRule) -> None:
        book = BookSynchroniser(BTC, rule)
        book.on_delta(delta(150, 160, 145))
        assert book.on_snapshot(snapshot(100)) is Outcome.NEEDS_SNAPSHOT
        assert (book.state, book.stale_snapshot_count, book.gap_count) == (
            BookState.RESYNCING,
            1,
            0,
        )
        assert book.on_delta(delta(161, 170, 160)) is Outcome.BUFFERED
        assert book.on_snapshot(snapshot(155)) is Outcome.APPLIED
        assert book.book.last_seq == 170

    def test_a_hole_among_waiting_deltas_is_a_gap(self) -> None:
        book = BookSynchroniser(BTC, BINANCE_UM)
        book.on_delta(delta(96, 105, 95))
        book.on_delta(delta(120, 130, 119))
        assert book.on_snapshot(snapshot(100)) is Outcome.NEEDS_SNAPSHOT
        assert (book.state, book.gap_count) == (BookState.RESYNCING, 1)
        assert book.on_snapshot(snapshot(125)) is Outcome.APPLIED
        assert book.book.last_seq == 130

    def test_after_a_gap_the_book_is_void_until_the_next_snapshot(self) -> None:
        book = live(BINANCE_UM)
        book.on_delta(delta(99, 110, 98))
        assert book.on_delta(delta(130, 140, 120)) is Outcome.GAP
        assert (book.state, book.book.bids, book.needs_snapshot) == (BookState.RESYNCING, {}, True)
        assert "after 110, received 130–140" in book.reason
        assert book.on_delta(delta(141, 150, 140)) is Outcome.BUFFERED
        assert book.on_snapshot(snapshot(135)) is Outcome.APPLIED
        assert (book.state, book.book.last_seq) == (BookState.LIVE, 150)

    def test_a_snapshot_nobody_asked_for_is_ignored(self) -> None:
        book = live(BINANCE_UM)
        book.on_delta(delta(99, 110, 98, bids=[(98.0, 3.0)]))
        assert book.on_snapshot(snapshot(105)) is Outcome.DROPPED
        assert book.on_snapshot(snapshot(300)) is Outcome.DROPPED
        assert (book.book.last_seq, book.book.bids[98.0]) == (110, 3.0)

    def test_snapshots_in_the_stream_replace(self) -> None:
        rule = ContinuityRule("in-stream", Link.RANGE, keeps_equal=False, snapshot_replaces=True)
        book = live(rule)
        assert book.on_snapshot(snapshot(7, [(50.0, 1.0)], [(60.0, 1.0)])) is Outcome.APPLIED
        assert (book.book.bids, book.book.last_seq) == ({50.0: 1.0}, 7)

    def test_a_crossed_book_is_not_published(self) -> None:
        book = live(BINANCE_UM)
        assert book.on_delta(delta(99, 110, 98, bids=[(101.5, 1.0)])) is Outcome.GAP
        assert (book.state, book.crossed_count, book.gap_count) == (BookState.RESYNCING, 1, 1)

    def test_a_crossed_snapshot_is_refused(self) -> None:
        book = BookSynchroniser(BTC, BINANCE_UM)
        crossed = snapshot(100, [(102.0, 1.0)], [(101.0, 1.0)])
        assert book.on_snapshot(crossed) is Outcome.NEEDS_SNAPSHOT
        assert (book.state, book.book.bids) == (BookState.RESYNCING, {})

    def test_waiting_deltas_are_bounded(self) -> None:
        book = BookSynchroniser(BTC, BINANCE_UM, max_buffered=10)
        for number in range(25):
            book.on_delta(delta(number * 10, number * 10 + 9, number * 10 - 1))
        assert book.overflow_count == 15
        assert book.on_snapshot(snapshot(205)) is Outcome.APPLIED
        assert book.book.last_seq == 249

    def test_a_silent_stream_makes_it_stale_and_the_next_fitting_delta_live_again(self) -> None:
        book = live(BINANCE_UM)
        book.on_delta(delta(99, 110, 98))
        book.mark_stale("silent for 20 s")
        assert (book.state, book.reason) == (BookState.STALE, "silent for 20 s")
        assert book.on_delta(delta(111, 120, 110)) is Outcome.APPLIED
        assert (book.state, book.reason, book.gap_count) == (BookState.LIVE, "", 0)

    def test_a_stale_book_with_a_hole_after_it_is_resynced(self) -> None:
        book = live(BINANCE_UM)
        book.on_delta(delta(99, 110, 98))
        book.mark_stale("closed")
        assert book.on_delta(delta(131, 140, 130)) is Outcome.GAP
        assert book.state is BookState.RESYNCING
        book.mark_stale("closed again")
        assert book.state is BookState.RESYNCING

    def test_a_venue_that_restarts_its_count_does_not_freeze_the_book(self) -> None:
        book = live(BINANCE_UM, 1_000_000)
        outcomes = [
            book.on_delta(delta(n * 10, n * 10 + 9, n * 10 - 1)) for n in range(MAX_OLD_DELTAS + 1)
        ]
        assert outcomes[-2:] == [Outcome.DROPPED, Outcome.GAP]
        assert book.on_snapshot(snapshot(MAX_OLD_DELTAS * 10 + 5)) is Outcome.APPLIED
        assert book.state is BookState.LIVE

    def test_reset(self) -> None:
        book = live(BINANCE_UM)
        book.reset("instrument relisted")
        assert (book.state, book.reason) == (BookState.RESYNCING, "instrument relisted")
        assert book.on_delta(delta(1, 2, 0)) is Outcome.NEEDS_SNAPSHOT
