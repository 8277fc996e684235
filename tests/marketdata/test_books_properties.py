"""Whatever is lost, repeated or disordered: a book that says it is live is the true book."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.marketdata.books import (
    BINANCE_SPOT,
    BINANCE_UM,
    BookState,
    BookSynchroniser,
    ContinuityRule,
    Outcome,
)
from apps.marketdata.events import BookDelta, BookSnapshot, Levels
from apps.marketdata.instruments import Instrument, InstrumentKind

BTC = Instrument(
    venue="binance", symbol="BTCUSDT", asset="BTC", kind=InstrumentKind.PERP, quote="USDT"
)
Sides = tuple[dict[float, float], dict[float, float]]

bid_levels = st.lists(st.tuples(st.sampled_from([97.0, 98.0, 99.0]), st.integers(0, 5)), max_size=3)
ask_levels = st.lists(
    st.tuples(st.sampled_from([101.0, 102.0, 103.0]), st.integers(0, 5)), max_size=3
)
changes = st.lists(st.tuples(bid_levels, ask_levels, st.integers(0, 3)), min_size=2, max_size=25)


class Venue:
    """A venue's book: every event it sent, and what the book was after each."""

    def __init__(self, script: list[tuple[Levels, Levels, int]], *, skips_ids: bool) -> None:
        self.deltas: list[BookDelta] = []
        self.truth: dict[int, Sides] = {}
        bids, asks = {99.0: 1.0}, {101.0: 1.0}
        seq = 100
        self.truth[seq] = (dict(bids), dict(asks))
        for new_bids, new_asks, width in script:
            first = seq + 1 + (width if skips_ids else 0)
            last = first + width
            for side, levels in ((bids, new_bids), (asks, new_asks)):
                for price, qty in levels:
                    side[price] = float(qty)
                    if not qty:
                        del side[price]
            self.deltas.append(
                BookDelta(BTC, last, last, first, last, seq if skips_ids else -1,
                          [(p, float(q)) for p, q in new_bids], [(p, float(q)) for p, q in new_asks])
            )  # fmt: skip
            seq = last
            self.truth[seq] = (dict(bids), dict(asks))

    def snapshot_after(self, index: int) -> BookSnapshot:
        seq = sorted(self.truth)[index]
        bids, asks = self.truth[seq]
        return BookSnapshot(BTC, seq, seq, seq, list(bids.items()), list(asks.items()))


def check(book: BookSynchroniser, venue: Venue) -> None:
    if book.state is BookState.LIVE:
        assert (book.book.bids, book.book.asks) == venue.truth[book.book.last_seq]
        assert (book.book.best_bid, book.book.best_ask) == (
            max(book.book.bids, default=None),
            min(book.book.asks, default=None),
        )


@pytest.mark.parametrize("rule", [BINANCE_UM, BINANCE_SPOT], ids=lambda rule: rule.name)
@settings(max_examples=400, deadline=None)
@given(script=changes, data=st.data())
def test_a_live_book_is_the_true_book(
    rule: ContinuityRule, script: list[tuple[Levels, Levels, int]], data: st.DataObject
) -> None:
    venue = Venue(script, skips_ids=rule is BINANCE_UM)
    book = BookSynchroniser(BTC, rule, max_buffered=8)
    count = len(venue.deltas)
    delivery = data.draw(
        st.lists(st.integers(0, count - 1), max_size=2 * count)
        | st.permutations(range(count))
        | st.lists(st.booleans(), min_size=count, max_size=count).map(
            lambda kept: [index for index in range(count) if kept[index]]
        )
    )
    for index in delivery:
        book.on_delta(venue.deltas[index])
        check(book, venue)
        if data.draw(st.integers(0, 3)) == 0:
            book.on_snapshot(venue.snapshot_after(data.draw(st.integers(0, count))))
            check(book, venue)
        if data.draw(st.integers(0, 9)) == 0:
            book.mark_stale("silent")


@pytest.mark.parametrize("rule", [BINANCE_UM, BINANCE_SPOT], ids=lambda rule: rule.name)
@settings(max_examples=200, deadline=None)
@given(script=changes, data=st.data())
def test_an_unbroken_stream_with_one_fresh_snapshot_ends_at_the_venue_s_book(
    rule: ContinuityRule, script: list[tuple[Levels, Levels, int]], data: st.DataObject
) -> None:
    venue = Venue(script, skips_ids=rule is BINANCE_UM)
    book = BookSynchroniser(BTC, rule)
    count = len(venue.deltas)
    taken = data.draw(st.integers(1, count))
    arrives = data.draw(st.integers(taken, count))
    for index, event in enumerate(venue.deltas):
        book.on_delta(event)
        if index + 1 == arrives:
            assert book.on_snapshot(venue.snapshot_after(taken)) is Outcome.APPLIED
    assert (book.state, book.gap_count) == (BookState.LIVE, 0)
    assert book.book.last_seq == venue.deltas[-1].last_seq
    check(book, venue)
