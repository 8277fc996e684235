"""Faults of the emulated venues, and what ingest has stored afterwards."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from apps.ingest.storage import moment
from apps.marketdata import selectors
from apps.sandbox.backend import ModelBackend
from tests.ingest.rig import Rig, running, until

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]
MINUTE_NS = 60_000_000_000


async def test_stored_minutes_are_the_venues_own_whatever_happened(tmp_path: Path) -> None:
    """Repeats, disorder, broken frames, cuts and silence: no trade is counted twice, none is missing."""
    async with running(tmp_path) as rig:
        first_ms = (time.time_ns() // MINUTE_NS + 1) * 60_000
        last_ms = first_ms + 60_000
        await asyncio.sleep(first_ms / 1000 - time.time() + 2)
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
        await until(rig.is_well, "all is well again", 90)

        async def is_whole() -> bool:
            return await sync_to_async(_differences)(rig, first_ms, last_ms) == {}

        try:
            await until(is_whole, "stored minutes are the venue's", 150)
        except AssertionError:
            pytest.fail(str(await sync_to_async(_differences)(rig, first_ms, last_ms)))


def _differences(rig: Rig, first_ms: int, last_ms: int) -> dict[str, object]:
    """Instruments whose stored minutes are not those that the emulator's market made."""
    selectors.clear_instrument_cache()
    wrong: dict[str, object] = {}
    backend = rig.sandbox.backend
    assert isinstance(backend, ModelBackend)
    market = backend._market
    listings = {(one.venue, one.symbol, one.kind): one for one in market.listings}
    for row in selectors.instruments():
        one = row.instrument
        if one.is_inverse or one.expiry_ms is not None:
            # Inverse sizes are in USD; trades of dated contracts are not followed.
            continue
        listing = listings[one.venue, one.symbol, one.kind.value]
        stored = selectors.bar_series([row.id], 60, moment(first_ms), moment(last_ms))
        tapes = [
            (minute * 60_000, market.tape(listing, minute))
            for minute in range(first_ms // 60_000, last_ms // 60_000)
        ]
        # Sizes in base units: the model counts lots of the quoted unit.
        unit = listing.lot * listing.price_mult
        expected = {ts: float(tape.lots.sum()) * unit for ts, tape in tapes if len(tape.lots)}
        found = dict(zip(stored.ts_ms.tolist(), stored.volume_base.tolist(), strict=True))
        found = {ts: volume for ts, volume in found.items() if volume > 0}
        if found != pytest.approx(expected, rel=1e-6):
            wrong[one.key] = (found, expected, stored.is_partial.tolist())
    return wrong
