"""Faults of the emulated venues, and what ingest has stored afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from apps.sandbox.faces.registry import VENUES
from tests.ingest.rig import running, until
from tests.ingest.truth import MINUTE_MS, differences_in_the_end, until_second

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]


async def test_stored_minutes_are_the_venues_own_whatever_happened(tmp_path: Path) -> None:
    """Repeats, disorder, broken frames, cuts and silence: no trade is counted twice, none is missing."""
    async with running(tmp_path) as rig:
        first_ms = await until_second(1)
        before = rig.counts()
        # The first fault that meets a frame has it: those of few frames stand before those of many.
        rig.cause("stall", venue="deribit", seconds=6)
        rig.cause("malformed", kind="trade", venue="binance", count=3)
        rig.cause("truncated", kind="trade", venue="bybit", count=2)
        rig.cause("torn", kind="trade", venue="okx")
        for kind, repeats in (("trade", 60), ("book", 400)):
            rig.cause("duplicate", kind=kind, count=repeats)
            rig.cause("reorder", kind=kind, count=20)
        rig.cause("disconnect", venue="hyperliquid")

        async def have_struck() -> bool:
            return not rig.sandbox.faults.in_force()["frames"]

        await until(have_struck, "every fault has struck")
        await until(rig.is_well, "all is well again")
        after = rig.counts()
        broken = {venue: after.malformed[venue] - before.malformed[venue] for venue in VENUES}
        cut = {venue for venue in VENUES if after.reconnects[venue] > before.reconnects[venue]}
        assert broken == {"binance": 3, "bybit": 2, "okx": 0, "deribit": 0, "hyperliquid": 0}
        assert cut >= {"okx", "hyperliquid"}
        last_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS + MINUTE_MS
        assert await differences_in_the_end(rig.sandbox, first_ms, last_ms) == {}


async def test_what_a_wrong_clock_told_is_put_right(tmp_path: Path) -> None:
    """Trades that came in other minutes than they were made in: the venue's own bars replace them."""
    async with running(tmp_path) as rig:
        first_ms = await until_second(1)
        rig.cause("clock_skew", venue="binance", seconds=-70)
        rig.cause("clock_skew", venue="bybit", seconds=70)

        async def are_named() -> bool:
            told = await rig.sources()
            return all("its clock is" in told[venue][1] for venue in ("binance", "bybit"))

        await until(are_named, "both clocks are named")
        told = await rig.sources()
        assert [told[venue][0] for venue in ("binance", "bybit")] == ["degraded", "degraded"]
        assert "s behind ours" in told["binance"][1]
        assert "s ahead of ours" in told["bybit"][1]
        rig.cause("clear")
        await until(rig.is_well, "both are right again")
        last_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS + 2 * MINUTE_MS
        assert await differences_in_the_end(rig.sandbox, first_ms, last_ms) == {}
