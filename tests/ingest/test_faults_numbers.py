"""Venues that number a book anew while ingest follows it: no gap, and nobody is told of any trouble."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ingest.rig import running, until

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]


async def test_books_follow_numbers_that_begin_anew(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        before = rig.counts()
        for venue in ("bybit", "okx"):
            synchroniser = rig.venue(venue).books[rig.state(venue).key]
            large = synchroniser.book.last_seq
            changes = synchroniser.applied_count
            rig.cause("book_restart", venue=venue, symbol=rig.symbol(venue))

            async def goes_on(
                venue: str = venue, large: int = large, changes: int = changes
            ) -> bool:
                book = rig.venue(venue).books[rig.state(venue).key]
                await rig.sources()
                assert set((await rig.book_states()).values()) == {"live"}
                return book.book.last_seq < large / 1000 and book.applied_count > changes + 20

            await until(goes_on, f"{venue}: the book goes on under small numbers")
        after = rig.counts()
        assert after.gaps == before.gaps
        assert after.reconnects == before.reconnects
        assert after.malformed == before.malformed
        assert rig.seen == set()
        board = await rig.board()
        prices = [board[rig.state(venue).key].best_bid for venue in ("binance", "bybit", "okx")]
        assert all(price == pytest.approx(prices[0], rel=0.005) for price in prices)
