"""Faults of the emulated venues, and what ingest then says: DESIGN section 9, fault by fault."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from apps.ingest import polling, sources
from apps.ingest.venue import VenueRunner
from apps.marketdata.universe import AssetTier
from apps.venues import bookfeed
from apps.venues.streaming import BaseStreamClient, Lane
from tests.ingest.rig import running, until

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]


async def test_the_trouble_of_a_book_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost update: only that book resyncs, it says so as long as it lasts, and mends itself."""
    monkeypatch.setattr(bookfeed, "SNAPSHOT_PATIENCE_S", 1.0)
    async with running(tmp_path) as rig:
        for venue in ("binance", "bybit", "okx", "deribit"):
            before = {key: one.gap_count for key, one in (await rig.board()).items()}
            key = rig.state(venue).key
            # The way to a whole book is closed as well, so that the trouble can be seen.
            rig.cause("ack_without_data", venue=venue)
            for path in ("/fapi/v1/depth", "/api/v3/depth"):
                # Binance has the pair on two markets, and the gap is of the first that speaks.
                rig.cause("http_status", venue=venue, path=path, status=503, count=10_000)
            rig.cause("gap", venue=venue, symbol=rig.symbol(venue), count=1)

            async def is_ill(venue: str = venue) -> bool:
                return (await rig.book_states())[venue, "BTC"] != "live"

            await until(is_ill, f"{venue}: the gap is told")
            state = (await rig.board())[key]
            assert state.book_state in ("resyncing", "stale")
            assert (state.best_bid, state.best_ask) == (None, None)
            others = {k: v for k, v in (await rig.book_states()).items() if k != (venue, "BTC")}
            assert set(others.values()) == {"live"}, venue
            assert (await rig.sources())[venue][0] == "degraded", venue
            if venue == "binance":

                async def is_refusal_named() -> bool:
                    return "HTTP 503" in (await rig.sources())["binance"][1]

                await until(is_refusal_named, "the refused snapshot is named", 20)
            rig.cause("clear", venue=venue)
            await until(rig.is_well, f"{venue}: all is well again")
            after = {k: one.gap_count for k, one in (await rig.board()).items()}
            assert after[key] > before[key]
            ailing = {k for k in after if after[k] != before[k]} - {key}
            # Binance has the pair on two markets, and the gap was of the first that spoke.
            assert ailing <= {"binance:spot:BTCUSDT"}, venue
        assert rig.seen == {"binance", "bybit", "okx", "deribit"}


async def test_sources_tell_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence, refusals and a wrong clock are named, of the venue that has them, until they are over."""
    monkeypatch.setattr(sources, "_DOWN_AFTER_MS", 3_000)
    monkeypatch.setattr(sources, "_LAG_WINDOW_MS", 1_000)
    async with running(tmp_path) as rig:

        async def told(venue: str, status: str, words: str) -> bool:
            found = await rig.sources()
            assert {name for name, one in found.items() if one[0] != "ok"} <= {venue}
            return found[venue][0] == status and words in found[venue][1]

        # Its REST goes too: a venue that still answers questions is not down.
        rig.cause("http_status", venue="bybit", status=503, count=10_000)
        rig.cause("stall", venue="bybit", seconds=9)
        await until(lambda: told("bybit", "down", "nothing heard for"), "the silence is told")
        rig.cause("clear", venue="bybit")
        await until(rig.is_well, "bybit is well again", 90)
        for tier in AssetTier:
            monkeypatch.setitem(polling.OPEN_INTEREST_EVERY_S, tier, 2.0)
        for status in (429, 503):
            rig.cause("http_status", venue="okx", status=status, count=10_000)
            code = f"HTTP {status}"
            await until(partial(told, "okx", "degraded", code), f"{status} is named", 90)
            rig.cause("clear", venue="okx")
            await until(rig.is_well, "okx is well again", 90)
        for seconds, way in ((-60, "59 s behind"), (60, "60 s ahead of")):
            rig.cause("clock_skew", venue="binance", seconds=seconds)
            words = f"s {way.split(maxsplit=2)[2]} ours"
            await until(partial(told, "binance", "degraded", words), f"{way} is told")
            rig.cause("clear", venue="binance")
            await until(rig.is_well, "binance is well again")
        assert rig.seen == {"bybit", "okx", "binance"}


async def test_what_is_delisted_is_let_go_of(tmp_path: Path) -> None:
    """One symbol of one venue is gone from the lists, then from the live states; nothing else stirs."""
    async with running(tmp_path) as rig:
        key, symbol = rig.state("bybit").key, rig.symbol("bybit")
        before = {k: one.gap_count for k, one in (await rig.board()).items()}
        lanes = [lane.reconnects for one in rig.service.venues for lane in _lanes(one)]
        rig.cause("delist", venue="bybit", symbol=symbol)

        async def is_gone() -> bool:
            books = {k: v for k, v in (await rig.book_states()).items() if k != ("bybit", "BTC")}
            assert set(books.values()) == {"live"}
            return key not in await rig.board()

        await until(is_gone, "its live state is gone", 150)
        rig.cause("clear")

        async def is_well() -> bool:
            told = await rig.sources()
            return all(status == "ok" for status, _ in told.values())

        await until(is_well, "all others are well")
        after = {k: one.gap_count for k, one in (await rig.board()).items()}
        assert after == {k: count for k, count in before.items() if k != key}
        assert lanes == [lane.reconnects for one in rig.service.venues for lane in _lanes(one)]
        assert rig.seen <= {"bybit"}


def _lanes(venue: VenueRunner) -> list[Lane]:
    assert isinstance(venue._client, BaseStreamClient)
    return venue._client.lanes
