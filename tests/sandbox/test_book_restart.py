"""Venues that number their books anew: Bybit sends a whole book with ``u`` 1, OKX a smaller ``seqId``."""

from __future__ import annotations

import itertools

import pytest

from apps.marketdata.events import BookDelta, BookSnapshot
from apps.sandbox.faces.numbering import Numbering
from tests.sandbox.conftest import Starter
from tests.sandbox.following import Watched, following, until

OTHER = {"bybit": "okx", "okx": "bybit"}


def test_numbers_are_a_function_of_the_step_and_begin_anew() -> None:
    numbers = Numbering(7)
    assert [numbers.of("A", step) for step in (1_000, 1_001)] == [7_000, 7_007]
    numbers.begin("A", 1_002)
    assert [numbers.of("A", step) for step in (1_001, 1_002, 1_003)] == [7, 7, 14]
    assert numbers.of("B", 1_003) == 7_021


@pytest.mark.parametrize("venue", OTHER)
async def test_a_book_whose_numbers_begin_anew_goes_on(start: Starter, venue: str) -> None:
    sandbox = await start()
    async with following(sandbox, venue, OTHER[venue]) as (hit, other):
        client, rest = hit.client, hit.rest
        assert client is not None
        assert rest is not None
        instrument = next(
            one for one in hit.instruments if one.asset == "BTC" and one.kind == "perp"
        )
        book = client.books[instrument.key]
        large = book.book.last_seq
        hit.events.clear()
        answer = await sandbox.post(
            "/faults", {"fault": "book_restart", "venue": venue, "symbol": instrument.symbol}
        )
        assert answer["books"] >= 1
        await until(lambda: 0 < book.book.last_seq < 200, "the count is small")
        told = [
            one
            for one in hit.events
            if isinstance(one, BookSnapshot | BookDelta) and one.instrument is instrument
        ]
        check_chain(venue, told, large)
        # What we hold is the venue's book, level for level, under the venue's number.
        while (whole := await rest.book_snapshot(instrument)).seq != book.book.last_seq:
            assert whole.seq < 10_000
        bids, asks = book.book.top(20)
        assert list(bids) == list(whole.bids[:20])
        assert list(asks) == list(whole.asks[:20])
        assert (hit.gaps, other.gaps) == (0, 0)
        assert hit.lost() == other.lost() == set()
        check_others(hit, instrument.symbol)


def check_chain(venue: str, told: list[BookSnapshot | BookDelta], large: int) -> None:
    """The one message that begins anew, and what is around it."""
    seqs = [one.seq if isinstance(one, BookSnapshot) else one.last_seq for one in told]
    at = next(index for index, seq in enumerate(seqs) if seq < large)
    first = told[at]
    if venue == "bybit":
        assert isinstance(first, BookSnapshot)
        assert first.seq == 1
        assert min(len(first.bids), len(first.asks)) >= 50
    else:
        assert isinstance(first, BookDelta)
        # It hangs on what was told last and has a smaller number.
        assert first.prev_seq == (seqs[at - 1] if at else large)
        assert first.last_seq == 7 < first.prev_seq
    for before, after in itertools.pairwise(told[at:]):
        assert isinstance(after, BookDelta)
        last = before.seq if isinstance(before, BookSnapshot) else before.last_seq
        assert after.prev_seq == last


def check_others(hit: Watched, symbol: str) -> None:
    assert hit.client is not None
    others = [one for one in hit.client.books.values() if one.instrument.symbol != symbol]
    assert others
    assert all(one.book.last_seq > 1_000_000 for one in others)


async def test_only_venues_that_do_so_and_symbols_that_exist_are_taken(start: Starter) -> None:
    sandbox = await start()
    for command, said in (
        ({"venue": "binance"}, "book_restart: venue: binance never numbers its books anew"),
        ({"venue": "okx", "symbol": "X"}, "book_restart: symbol: okx has no book of 'X'"),
        ({}, "book_restart: venue is required (the venue)"),
    ):
        assert await sandbox.post("/faults", {"fault": "book_restart", **command}) == {
            "error": said
        }
