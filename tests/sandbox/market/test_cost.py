"""What the market costs, in CPU time of this process: it must leave the machine to FOCSAL."""

from __future__ import annotations

import time

import numpy as np

from apps.marketdata.universe import ASSETS
from apps.sandbox.faces.registry import FACES
from apps.sandbox.market.model import SeededMarket

NOW_MS = 1_795_200_123_456
MINUTE = NOW_MS // 60_000
MONTH = 30 * 1_440


def test_books_and_trades_of_all_venues_at_their_cadence_take_a_fraction_of_a_core() -> None:
    listings = [one for face in FACES for one in face.listings(ASSETS)]
    market = SeededMarket(3, listings)
    for one in listings:
        market.book(one, NOW_MS // one.book_step_ms)
    seconds = 8
    # The minute changes in it.
    start = (MINUTE + 1) * 60_000 - seconds * 500
    begun, books = time.process_time(), 0
    for now_ms in range(start, start + seconds * 1_000, 100):
        for one in listings:
            step = now_ms // one.book_step_ms
            if step != (now_ms - 100) // one.book_step_ms:
                market.book(one, step)
                books += 1
            if now_ms % 1_000 == 0 and one.is_perp:
                market.mark_state(one, now_ms)
                market.liquidations(one, now_ms // 60_000)
    share = (time.process_time() - begun) / seconds
    assert books > 400 * seconds
    # Alone on a core it is about a tenth; the promise for the whole emulator is 35 %.
    assert share < 0.3


def test_a_month_of_every_asset_is_worked_out_within_a_first_start() -> None:
    assets = ASSETS[:3] + ASSETS[-3:]
    listings = [one for face in FACES for one in face.listings(assets)]
    market = SeededMarket(3, listings)
    times = np.arange(NOW_MS // 300_000 - MONTH // 5, NOW_MS // 300_000, dtype=np.int64) * 300_000
    begun = time.process_time()
    for asset in assets:
        for one in listings:
            if one.asset == asset:
                market.minute_bars(one, MINUTE - MONTH, MINUTE)
                market.settlements(one, NOW_MS - MONTH * 60_000, NOW_MS)
                if one.is_perp:
                    market.open_interest(one, times)
    spent = (time.process_time() - begun) * len(ASSETS) / len(assets)
    # About 15 s of one core for all 65.
    assert spent < 45.0
