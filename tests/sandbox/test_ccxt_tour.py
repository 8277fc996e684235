"""A client that we did not write, unmodified, reads all five faces and watches their books."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from tests.sandbox import ccxt_tour
from tests.sandbox.conftest import FEW, Starter


@pytest.mark.parametrize("venue", list(ccxt_tour.VENUES))
async def test_ccxt_reads_a_face_and_watches_its_book(start: Starter, venue: str) -> None:
    client = await start(limit_multiplier=100.0)
    async with asyncio.timeout(60):
        found = await ccxt_tour.tour(venue, client.sandbox.urls()[venue], updates=4)
    assert found["markets"] >= (2 if venue == "deribit" else len(FEW))
    assert 20_000 < found["last"] < 300_000
    assert abs(found["funding"]) < 0.02
    assert found["settled"] >= 10
    assert found["interest"] > 1_000
    times = [row[0] for row in found["candles"]]
    assert len(times) in (23, 24, 25)
    assert {b - a for a, b in itertools.pairwise(times)} == {3_600_000}
    assert all(low <= min(o, c) <= max(o, c) <= high for _, o, high, low, c in found["candles"])
    bid, ask = found["book"]
    assert bid < ask < bid * 1.01
    for watched_bid, watched_ask, _ in found["watched"]:
        assert watched_bid < watched_ask
        # The stream tells of the same market as REST.
        assert abs(watched_bid / bid - 1) < 0.01
    stamps = [stamp for _, _, stamp in found["watched"]]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) > 1
    assert abs(stamps[-1] - time.time() * 1000) < 10_000


async def test_the_script_prints_a_line_per_venue(
    start: Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    client = await start(limit_multiplier=100.0)
    assert await ccxt_tour.main(["--port", str(client.config.port), "hyperliquid", "bybit"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("hyperliquid")
    assert second.startswith("bybit")
    assert "watched 5 updates" in second
