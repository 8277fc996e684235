"""Faults of the emulated venues, and what ingest has stored afterwards."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from apps.sandbox.server import Sandbox
from tests.ingest.rig import running, until
from tests.ingest.truth import MINUTE_MS, differences

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]


async def until_second(second: float) -> int:
    """Sleeps until the market's minute is so old; the minute (ms)."""
    now_s = time.time()
    await asyncio.sleep((second - now_s) % 60)
    return time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS


async def until_whole(sandbox: Sandbox, first_ms: int, last_ms: int) -> None:
    """Until the stored minutes are those of the market, however long repairs take."""
    found: dict[str, object] = {}

    async def is_whole() -> bool:
        nonlocal found
        found = await sync_to_async(differences)(sandbox, first_ms, last_ms)
        return not found

    try:
        await until(is_whole, "stored minutes are the venue's")
    except AssertionError:
        pytest.fail(str(found))


async def test_stored_minutes_are_the_venues_own_whatever_happened(tmp_path: Path) -> None:
    """Repeats, disorder, broken frames, cuts and silence: no trade is counted twice, none is missing."""
    async with running(tmp_path) as rig:
        first_ms = await until_second(1)
        for kind in ("trade", "book"):
            rig.cause("duplicate", kind=kind, count=400)
            rig.cause("reorder", kind=kind, count=20)
        await asyncio.sleep(5)
        rig.cause("malformed", kind="trade", venue="binance", count=3)
        rig.cause("truncated", kind="trade", venue="bybit", count=2)
        rig.cause("torn", kind="trade", venue="okx")
        rig.cause("disconnect", venue="hyperliquid")
        rig.cause("stall", venue="deribit", seconds=6)
        await asyncio.sleep(25)
        rig.cause("clear")
        await until(rig.is_well, "all is well again")
        await until_whole(rig.sandbox, first_ms, first_ms + MINUTE_MS)


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
        rig.cause("clear")
        await until(rig.is_well, "both are right again")
        last_ms = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS + 2 * MINUTE_MS
        await until_whole(rig.sandbox, first_ms, last_ms)
