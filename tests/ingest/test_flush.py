"""How soon a change of live state is told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
import redis.asyncio as aredis

from apps.ingest.flush import Flusher
from apps.ingest.metrics import Tallies
from apps.ingest.state import MarketState
from apps.ingest.storage import StreamWriter
from apps.marketdata.events import Side, Trade
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.live import decode_state, live_key, sources_key

NOW_MS = 1_763_719_200_000
BTC = Instrument(
    venue="binance", symbol="BTCUSDT", asset="BTC", kind=InstrumentKind.PERP, quote="USDT"
)
ETH = Instrument(
    venue="binance", symbol="ETHUSDT", asset="ETH", kind=InstrumentKind.PERP, quote="USDT"
)


class Told:
    """Stands in for Redis: every execution is one list of (hash, fields)."""

    def __init__(self) -> None:
        self.executions: list[list[tuple[str, dict[str, bytes]]]] = []
        self.came = asyncio.Event()
        self.is_away = False
        self._commands: list[tuple[str, dict[str, bytes]]] = []

    def pipeline(self, transaction: bool) -> Told:
        self._commands = []
        return self

    def hset(self, name: str, mapping: dict[str, bytes]) -> None:
        self._commands.append((name, mapping))

    async def execute(self) -> None:
        if self.is_away:
            raise OSError("away")
        self.executions.append(self._commands)
        self.came.set()

    async def next(self) -> dict[str, dict[str, bytes]]:
        async with asyncio.timeout(5):
            await self.came.wait()
        self.came.clear()
        return dict(self.executions[-1])


class NoRows:
    def add(self, rows: object) -> None:
        pass


def flusher_of(told: Told) -> tuple[Flusher, MarketState]:
    state = MarketState(origin="stream", now_ms=lambda: NOW_MS)
    state.set_instruments([BTC, ETH], {BTC.key: 1, ETH.key: 2})
    made = Flusher(
        client=cast(aredis.Redis, told),
        state=state,
        writer=cast(StreamWriter, NoRows()),
        venues=[],
        features={},
        now_ms=lambda: NOW_MS,
    )
    return made, state


def trade(instrument: Instrument, price: float) -> Trade:
    ts = NOW_MS * 1_000_000
    return Trade(instrument, ts, ts, price, 1.0, Side.BUY, "1")


async def test_a_change_is_told_before_the_next_second_and_alone() -> None:
    told = Told()
    flusher, state = flusher_of(told)
    loop = asyncio.get_running_loop()
    await flusher.flush()
    first = await told.next()
    assert set(first[live_key()]) == {BTC.key, ETH.key}
    assert sources_key() in first
    # The next second is far away: what is told now is told between seconds.
    telling = asyncio.create_task(flusher.tell_until(loop.time() + 600))
    try:
        state.apply(trade(BTC, 100_000.0))
        second = await told.next()
        assert list(second) == [live_key()]
        assert {key: decode_state(raw).last_price for key, raw in second[live_key()].items()} == {
            BTC.key: 100_000.0
        }
        state.apply(trade(ETH, 4_000.0))
        assert set((await told.next())[live_key()]) == {ETH.key}
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    assert len(told.executions) == 3, "expected nothing to be told while nothing changed"


async def test_what_redis_did_not_take_waits_for_the_second() -> None:
    told = Told()
    flusher, state = flusher_of(told)
    told.is_away = True
    await flusher.flush()
    state.apply(trade(BTC, 100_000.0))
    await flusher.tell_until(asyncio.get_running_loop().time() + 0.3)
    assert told.executions == []
    told.is_away = False
    await flusher.flush()
    assert set((await told.next())[live_key()]) == {BTC.key, ETH.key}


async def test_what_was_being_told_at_the_end_is_told_once_more() -> None:
    told = Told()
    flusher, _ = flusher_of(told)
    hangs = asyncio.Event()

    async def hang() -> None:
        hangs.set()
        await asyncio.Event().wait()

    told.execute = hang  # type: ignore[method-assign] # this once
    running = asyncio.create_task(flusher.run())
    await hangs.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    del told.execute
    await flusher.flush(is_end=True)
    assert set((await told.next())[live_key()]) == {BTC.key, ETH.key}


async def test_telling_that_costs_much_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_s = iter([0.0, 0.010])
    monkeypatch.setattr("apps.ingest.flush.time.thread_time", lambda: next(cpu_s))
    told = Told()
    flusher, _ = flusher_of(told)
    await flusher.flush()
    # 60 times 10 ms: in the second there is room for none between two flushes.
    assert flusher._pause_s == pytest.approx(0.6)


def test_a_tally_is_a_counter_of_prometheus() -> None:
    tallies = Tallies("focsal_test_tallies", "Counted in a test")
    mine = tallies.labels("binance")
    mine.inc()
    mine.inc()
    assert tallies.labels("binance") is mine
    (family,) = tallies.collect()
    found: list[Any] = [(one.name, one.labels, one.value) for one in family.samples]
    assert found == [("focsal_test_tallies_total", {"venue": "binance"}, 2)]
