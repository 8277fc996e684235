"""When the backfill calls itself ready: every venue filled, or not getting any further."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apps.ingest import filler
from apps.ingest.filler import HistoryFiller
from apps.ingest.progress import Progress


def _filler() -> HistoryFiller:
    return HistoryFiller(
        venues=[],
        history=cast("Any", None),
        progress=cast("Progress", SimpleNamespace()),
        now_ms=lambda: 0,
        history_days=30,
    )


def test_it_waits_for_every_venue_that_gets_on() -> None:
    async def scenario() -> None:
        filled = {venue: asyncio.Event() for venue in ("binance", "okx")}
        one = _filler()
        one._grown_at = dict.fromkeys(filled, time.monotonic())
        waiting = asyncio.create_task(one._until_filled(filled))
        filled["binance"].set()
        await asyncio.sleep(0.01)
        assert not waiting.done()
        filled["okx"].set()
        async with asyncio.timeout(5):
            await waiting

    asyncio.run(scenario())


def test_books_wait_for_what_is_urgent_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        one = _filler()
        waiting = asyncio.create_task(one.urgent_done())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        one._nothing_urgent.set()
        async with asyncio.timeout(5):
            await waiting

    asyncio.run(scenario())
    monkeypatch.setattr(filler, "_BOOKS_WAIT_S", 0.01)
    asyncio.run(_filler().urgent_done())


def test_a_venue_that_stands_still_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(filler, "_STALLED_S", 0.2)
    monkeypatch.setattr(filler, "_LOOK_S", 0.01)

    async def scenario() -> float:
        one = _filler()
        filled = {venue: asyncio.Event() for venue in ("binance", "okx", "unlisted")}
        one._grown_at = dict.fromkeys(("binance", "okx"), time.monotonic())
        waiting = asyncio.create_task(one._until_filled(filled))
        await asyncio.sleep(0.1)
        # Binance gets a piece now and then, OKX nothing.
        one._grown_at["binance"] = grown = time.monotonic()
        await asyncio.sleep(0.15)
        assert not waiting.done()
        filled["binance"].set()
        async with asyncio.timeout(5):
            await waiting
        return time.monotonic() - grown

    assert asyncio.run(scenario()) < 2.0


def test_without_any_history_nothing_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long no venue lists its instruments."""
    monkeypatch.setattr(filler, "_STALLED_S", 0.02)
    monkeypatch.setattr(filler, "_LOOK_S", 0.01)

    async def scenario() -> None:
        filled = {venue: asyncio.Event() for venue in ("binance", "okx")}
        waiting = asyncio.create_task(_filler()._until_filled(filled))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        filled["okx"].set()
        async with asyncio.timeout(5):
            await waiting

    asyncio.run(scenario())
