"""Faults of the emulated venues' streams, and what ingest then says: DESIGN section 9, fault by fault.

``apps/sandbox/README.md`` has the table of all faults and their tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from apps.ingest import sources
from apps.sandbox.faces.registry import VENUES
from apps.venues import bookfeed
from tests.ingest.rig import Counts, Rig, running, until

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]
WITH_DELTAS = ("binance", "bybit", "okx", "deribit")
"""Hyperliquid sends whole books: one that is lost is made good by the next."""


async def test_the_trouble_of_a_book_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost update: only that book resyncs, it says so as long as it lasts, and mends itself."""
    monkeypatch.setattr(bookfeed, "SNAPSHOT_PATIENCE_S", 1.0)
    async with running(tmp_path) as rig:
        for venue in WITH_DELTAS:
            before = rig.counts()
            key = rig.state(venue).key
            # The way to a whole book is closed as well, so that the trouble can be seen.
            rig.cause("ack_without_data", venue=venue)
            for path in ("/fapi/v1/depth", "/api/v3/depth"):
                rig.cause("http_status", venue=venue, path=path, status=503, count=10_000)
            rig.cause("gap", venue=venue, symbol=rig.symbol(venue), count=1)

            async def is_ill(venue: str = venue) -> bool:
                return (await rig.book_states())[venue, "BTC"] != "live" and (await rig.sources())[
                    venue
                ][0] == "degraded"

            await until(is_ill, f"{venue}: the gap is told")
            state = (await rig.board())[key]
            assert state.book_state in ("resyncing", "stale")
            assert (state.best_bid, state.best_ask) == (None, None)
            others = {k: v for k, v in (await rig.book_states()).items() if k != (venue, "BTC")}
            assert set(others.values()) == {"live"}, venue
            if venue == "binance":

                async def is_refusal_named() -> bool:
                    return "HTTP 503" in (await rig.sources())["binance"][1]

                await until(is_refusal_named, "the refused snapshot is named")
            rig.cause("clear", venue=venue)
            await until(rig.is_well, f"{venue}: all is well again")
            after = rig.counts()
            assert after.reconnects == before.reconnects
            assert after.gaps[key] > before.gaps[key]
            # Binance has the pair on two markets, and the gap was of the first that spoke.
            assert ailing(before, after) - {key} <= {"binance:spot:BTCUSDT"}, venue
        assert rig.seen == set(WITH_DELTAS)


def ailing(before: Counts, after: Counts) -> set[str]:
    """Keys of the books that broke since."""
    return {key for key, count in after.gaps.items() if count != before.gaps[key]}


# --- messages, one after the other ----------------------------------------------------------------------


def is_cut(venue: str, before: Counts, after: Counts) -> bool:
    return after.reconnects[venue] > before.reconnects[venue]


def is_broken(venue: str, before: Counts, after: Counts) -> bool:
    return any(key.startswith(f"{venue}:") for key in ailing(before, after))


def is_unreadable(venue: str, before: Counts, after: Counts) -> bool:
    return after.malformed[venue] > before.malformed[venue]


def goes_on(venue: str, before: Counts, after: Counts) -> bool:
    return after.events[venue] > before.events[venue] + 20


Evidence = Callable[[str, Counts, Counts], bool]
BY_MESSAGE: Mapping[str, Evidence] = {
    "disconnect": is_cut,
    "torn": is_cut,
    "gap": is_broken,
    "reorder": is_broken,
    "malformed": is_unreadable,
    "truncated": is_unreadable,
    "duplicate": goes_on,
}
CUTS = ("disconnect", "torn")


@pytest.mark.parametrize("fault", BY_MESSAGE)
async def test_a_broken_stream_hurts_its_venue_alone(tmp_path: Path, fault: str) -> None:
    """Venue by venue: it shows where it happened, nowhere else, and goes by itself."""
    async with running(tmp_path) as rig:
        for venue in VENUES:
            await hurt(rig, fault, venue)
        assert rig.seen <= set(VENUES)


async def hurt(rig: Rig, fault: str, venue: str) -> None:
    rig.seen.clear()
    before = rig.counts()
    symbol = {} if fault == "disconnect" else {"symbol": rig.symbol(venue)}
    many = {"kind": "book", "count": 5} if fault == "duplicate" else {}
    rig.cause(fault, venue=venue, **symbol, **many)
    seen = goes_on if venue == "hyperliquid" and fault in ("gap", "reorder") else BY_MESSAGE[fault]

    async def is_seen() -> bool:
        is_done = rig.sandbox.faults.in_force()["frames"] == []
        return is_done and seen(venue, before, rig.counts())

    await until(is_seen, f"{venue}: {fault} is seen")
    await until(rig.is_well, f"{venue}: all is well again")
    after = rig.counts()
    for other in VENUES:
        if other != venue or fault not in CUTS:
            assert after.reconnects[other] == before.reconnects[other], (venue, other)
        if other != venue:
            assert after.malformed[other] == before.malformed[other], (venue, other)
    broken = ailing(before, after)
    if fault == "duplicate":
        assert broken == set(), venue
    assert {key.split(":")[0] for key in broken} <= {venue}
    if fault not in CUTS:
        # Only what was named; Binance has that name on two markets.
        assert all("BTC" in key for key in broken), venue
    assert rig.seen <= {venue}


# --- silence --------------------------------------------------------------------------------------------


async def test_a_book_that_falls_silent_on_an_open_socket_is_stale(tmp_path: Path) -> None:
    """BTC says nothing any more, at all venues at once: AAVE goes on, and no connection is lost."""
    async with running(tmp_path) as rig:
        before = rig.counts()
        for venue in VENUES:
            rig.cause("stall", venue=venue, symbol=rig.symbol(venue), seconds=86_400)

        async def is_told() -> bool:
            books, told = await rig.book_states(), await rig.sources()
            assert {v for (_, asset), v in books.items() if asset == "AAVE"} == {"live"}
            return all(
                books[venue, "BTC"] == "stale" and told[venue][0] == "degraded" for venue in VENUES
            )

        await until(is_told, "every silence is told")
        for venue in VENUES:
            state = (await rig.board())[rig.state(venue).key]
            assert (state.best_bid, state.best_ask) == (None, None), venue
        assert alive(rig) == lively(VENUES)
        rig.cause("clear")
        await until(rig.is_well, "all is well again")
        after = rig.counts()
        assert {key for key in ailing(before, after) if "AAVE" in key} == set()


def lively(venues: tuple[str, ...]) -> set[str]:
    """Venues that have AAVE."""
    return {venue for venue in venues if venue != "deribit"}


def alive(rig: Rig) -> set[str]:
    """Venues whose AAVE was told of in the last ten seconds of those that have been heard."""
    states = [one.state for one in rig.service.state.listings.values() if one.state.asset == "AAVE"]
    newest = max(one.ts_recv_ms or 0 for one in states)
    return {one.venue for one in states if newest - (one.ts_recv_ms or 0) < 10_000}


async def test_acknowledged_and_nothing_comes(tmp_path: Path) -> None:
    """After a cut every venue takes the subscriptions and sends nothing: nobody believes it."""
    async with running(tmp_path) as rig:
        for venue in VENUES:
            rig.cause("ack_without_data", venue=venue)
        rig.cause("disconnect")
        before = rig.counts()

        async def is_told() -> bool:
            books, told = await rig.book_states(), await rig.sources()
            again = rig.counts().reconnects
            # It is tried anew although every subscription was acknowledged.
            return (
                "live" not in books.values()
                and all(told[venue][0] != "ok" for venue in VENUES)
                and all(again[venue] > before.reconnects[venue] + 1 for venue in VENUES)
            )

        await until(is_told, "nobody is taken for live")
        assert rig.seen == set(VENUES)
        for venue in VENUES:
            state = (await rig.board())[rig.state(venue).key]
            assert state.book_state in ("resyncing", "stale"), venue
            assert (state.best_bid, state.best_ask) == (None, None), venue
        rig.cause("clear")
        await until(rig.is_well, "all is well again")
        after = rig.counts()
        assert after.malformed == before.malformed
        assert set((await rig.book_states()).values()) == {"live"}
        assert all(after.events[venue] > before.events[venue] for venue in VENUES)


# --- wrong clocks ---------------------------------------------------------------------------------------


async def test_a_wrong_clock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each venue has a clock of its own, and each is told of it."""
    monkeypatch.setattr(sources, "LAG_WINDOW_MS", 1_000)
    async with running(tmp_path) as rig:
        skews = dict(zip(VENUES, (-60, 60, -90, 120, -120), strict=True))
        for venue, skew_s in skews.items():
            rig.cause("clock_skew", venue=venue, seconds=skew_s)

        async def is_told() -> bool:
            told = await rig.sources()
            return all(is_clock_named(told[venue], skew_s) for venue, skew_s in skews.items())

        await until(is_told, "every clock is named")
        assert set((await rig.book_states()).values()) == {"live"}
        rig.cause("clear")
        await until(rig.is_well, "all is well again")


def is_clock_named(told: tuple[str, str], skew_s: int) -> bool:
    way = "behind" if skew_s < 0 else "ahead of"
    # Its newest word is up to some seconds old.
    near = range(abs(skew_s) - 15, abs(skew_s) + 15)
    return told[0] == "degraded" and any(
        f"its clock is {seconds} s {way} ours" in told[1] for seconds in near
    )
