"""REST is asked only for what the streams do not bring."""

from __future__ import annotations

import asyncio
import random

import pytest

from apps.ingest.polling import Pollers
from apps.ingest.retry import RestCaller
from apps.ingest.sources import SourceTracker
from apps.ingest.state import MarketState
from apps.marketdata.events import OpenInterest
from apps.marketdata.universe import AssetTier
from tests.marketdata.samples import instrument

NS = 1_000_000
BTC = instrument()
ETH = instrument(asset="ETH", symbol="ETHUSDT")
EVERY_S = {AssetTier.HOT: 60.0, AssetTier.COLD: 300.0}


class OneByOne:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now_ms = 1_700_000_000_000

    def sample(self, one: object, base: float) -> OpenInterest:
        now = self.now_ms * NS
        return OpenInterest(one, now, now, base, base, base * 10)  # type: ignore[arg-type] # an instrument

    async def open_interest(self, one: object) -> OpenInterest:
        self.asked.append(one.symbol)  # type: ignore[attr-defined] # an instrument
        return self.sample(one, 1.0)


class AllInOne(OneByOne):
    async def open_interests(self) -> list[OpenInterest]:
        self.asked.append("*")
        return [self.sample(BTC, 7.0), self.sample(ETH, 8.0)]


def pollers(rest: OneByOne) -> tuple[Pollers, MarketState]:
    state = MarketState(origin="stream", now_ms=lambda: rest.now_ms)
    state.set_instruments([BTC, ETH], {BTC.key: 1, ETH.key: 2})
    rng = random.Random(1)
    caller = RestCaller(SourceTracker("binance", 0), lambda: rest.now_ms, rng)
    made = Pollers(
        venue="binance", rest=rest, caller=caller, state=state,  # type: ignore[arg-type] # what is asked
        instruments=lambda: [BTC, ETH], now_ms=lambda: rest.now_ms, rng=rng, every_s=EVERY_S,
    )  # fmt: skip
    return made, state


async def run_until(work: Pollers, seen: object) -> None:
    task = asyncio.create_task(work.open_interest())
    for _ in range(500):
        if seen():  # type: ignore[operator] # a predicate
            break
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_venue_with_one_call_for_all_is_asked_once() -> None:
    rest = AllInOne()
    work, state = pollers(rest)
    await run_until(work, lambda: state.listings[ETH.key].state.oi_usd is not None)
    assert rest.asked == ["*"]
    assert state.listings[BTC.key].state.oi_usd == 70.0
    assert state.listings[ETH.key].state.oi_base == 8.0


async def test_what_the_stream_brings_is_not_asked_for() -> None:
    rest = OneByOne()
    work, state = pollers(rest)
    state.apply(rest.sample(BTC, 3.0))
    await run_until(work, lambda: state.listings[ETH.key].state.oi_usd is not None)
    assert rest.asked == ["ETHUSDT"]
    assert state.listings[BTC.key].state.oi_base == 3.0
