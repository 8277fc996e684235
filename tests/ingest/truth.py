"""What ingest has stored, held against the market that the emulator made."""

from __future__ import annotations

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async

from apps.ingest.storage import moment
from apps.marketdata import selectors
from apps.sandbox.backend import ModelBackend
from apps.sandbox.server import Sandbox
from tests.ingest.rig import PATIENCE_S

MINUTE_MS = 60_000


async def until_second(second: float) -> int:
    """Sleeps until the market's minute is so old; the minute (ms)."""
    now_s = time.time()
    await asyncio.sleep((second - now_s) % 60)
    return time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS


async def differences_in_the_end(
    sandbox: Sandbox, first_ms: int, last_ms: int
) -> dict[str, object]:
    """What is wrong with the stored minutes when repairs have had their time; nothing, as soon as it is."""
    begin = time.monotonic()
    while found := await sync_to_async(differences)(sandbox, first_ms, last_ms):
        if time.monotonic() - begin > PATIENCE_S:
            break
        await asyncio.sleep(0.2)
    return found


def differences(sandbox: Sandbox, first_ms: int, last_ms: int) -> dict[str, object]:
    """Instruments whose stored minutes ``[first_ms, last_ms)`` are not those that the market made.

    A minute that is missing, or there twice, is a difference, as is one that says it may not be whole.
    """
    selectors.clear_instrument_cache()
    wrong: dict[str, object] = {}
    backend = sandbox.backend
    assert isinstance(backend, ModelBackend)
    market = backend._market
    listings = {(one.venue, one.symbol, one.kind): one for one in market.listings}
    rows = selectors.instruments()
    assert rows
    for row in rows:
        one = row.instrument
        if one.is_inverse or one.expiry_ms is not None:
            # Inverse sizes are in USD; trades of dated contracts are not followed.
            continue
        listing = listings[one.venue, one.symbol, one.kind.value]
        stored = selectors.bar_series([row.id], 60, moment(first_ms), moment(last_ms))
        tapes = [
            (minute * MINUTE_MS, market.tape(listing, minute))
            for minute in range(first_ms // MINUTE_MS, last_ms // MINUTE_MS)
        ]
        # Sizes in base units: the model counts lots of the quoted unit.
        unit = listing.lot * listing.price_mult
        expected = {ts: float(tape.lots.sum()) * unit for ts, tape in tapes if len(tape.lots)}
        times = stored.ts_ms.tolist()
        found = dict(zip(times, stored.volume_base.tolist(), strict=True))
        found = {ts: volume for ts, volume in found.items() if volume > 0}
        is_right = found == pytest.approx(expected, rel=1e-6) and len(times) == len(set(times))
        if not is_right or any(stored.is_partial.tolist()):
            wrong[one.key] = (found, expected, stored.is_partial.tolist())
    return wrong
