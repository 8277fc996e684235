"""Dated futures and marks in ingest: what is followed, asked for and backfilled; lists after a delivery."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apps.ingest.polling import Pollers
from apps.ingest.retry import RestCaller
from apps.ingest.series import SERIES, Ask, Step
from apps.ingest.setups import VenueSetup, listed_instruments
from apps.ingest.sources import SourceTracker
from apps.ingest.state import MarketState
from apps.ingest.venue import VenueRunner
from apps.marketdata.events import IndexPrice, MarkPrice, OpenInterest
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.rows import BasisRow
from apps.venues.binance.adapter import ADAPTER
from apps.venues.offer import Offer
from tests.ingest.fake_venue import FakeVenue
from tests.marketdata.samples import T0, instrument

NS = 1_000_000
DAY = 86_400_000
BTC = instrument()
COLD = instrument("TRXUSDT", "TRX")
SPOT = instrument(kind=InstrumentKind.SPOT)
NEAR = Instrument(
    venue="binance",
    symbol="BTCUSDT_231229",
    asset="BTC",
    kind=InstrumentKind.FUTURE,
    quote="USDT",
    expiry_ms=T0 + 5 * DAY,
)
QUICK, SLOW = Offer(mark_page=1500), Offer(mark_page=100)
BASIS = SERIES["basis"]


class Marks:
    """Marks of every five minutes asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def mark_history(
        self, one: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> list[MarkPrice]:
        step = interval_s * 1000
        closes = range(start_ms + step, end_ms + 1, step)
        return [MarkPrice(one, at * NS, T0 * NS, 101.0, 100.0) for at in closes]

    async def open_interest(self, one: Instrument) -> OpenInterest:
        self.asked.append(one.symbol)
        return OpenInterest(one, T0 * NS, T0 * NS, 2.0, 2.0, 200.0)


@pytest.mark.parametrize(
    ("one", "offer", "phase", "step_s"),
    [
        (BTC, QUICK, "marks", 300),
        (NEAR, QUICK, "marks", 300),
        (COLD, QUICK, "marks", 1800),
        (BTC, SLOW, "past_marks", 300),
    ],
)
def test_a_month_of_marks_then_a_year(
    one: Instrument, offer: Offer, phase: str, step_s: int
) -> None:
    month, *year = BASIS.ladder(one, offer, 366)
    assert month == Step(phase, step_s, 30)
    assert {(step.phase, step.interval_s) for step in year} == {("year", 3600)}


def test_what_has_no_past_marks_is_not_asked_for_any() -> None:
    assert list(BASIS.ladder(SPOT, QUICK, 366)) == []
    assert list(BASIS.ladder(BTC, Offer(), 366)) == []


async def test_past_marks_become_rows_known_at_their_close() -> None:
    rest = cast(Any, Marks())
    rows = await BASIS.fetch(rest, Ask(BTC, 7, 300, T0, T0 + 900_000))
    closes = [T0 + 300_000, T0 + 600_000, T0 + 900_000]
    assert list(rows) == [BasisRow(7, at, at, 101.0, 100.0, "venue") for at in closes]
    with pytest.raises(TypeError, match="binance, which has none"):
        await BASIS.fetch(cast(Any, SimpleNamespace()), Ask(BTC, 7, 300, T0, T0 + 1))


async def test_dated_futures_are_followed_and_options_are_not() -> None:
    option = Instrument(
        venue="binance", symbol="BTC-C", asset="BTC", kind=InstrumentKind.OPTION, quote="USDT"
    )
    venue = FakeVenue(lambda: T0)
    listed = [BTC, SPOT, NEAR, option]
    rest = SimpleNamespace(
        instruments=lambda: _answer(listed), funding_intervals=lambda: _answer({})
    )
    setup = VenueSetup(venue.adapter, ADAPTER.endpoints)
    found = await listed_instruments(setup, cast(Any, rest), frozenset({"BTC"}))
    assert [one.symbol for one in found] == ["BTCUSDT", "BTCUSDT", "BTCUSDT_231229"]
    assert found[2] == NEAR


async def _answer(value: Any) -> Any:
    return value


async def test_their_open_interest_is_asked_for_and_their_marks_are_not_missed() -> None:
    rest = Marks()
    state = MarketState(origin="stream", now_ms=lambda: T0)
    state.set_instruments([NEAR], {NEAR.key: 1})
    rng = random.Random(1)
    caller = RestCaller(SourceTracker("binance", 0), lambda: T0, rng)
    work = Pollers(
        venue="binance", rest=cast(Any, rest), caller=caller, state=state,
        instruments=lambda: [NEAR], now_ms=lambda: T0, rng=rng,
    )  # fmt: skip
    assert work._take_due(0.0) == [NEAR]
    await work._ask(NEAR)
    assert state.listings[NEAR.key].state.oi_usd == 200.0
    # A dated contract has no funding that could be old.
    assert work._are_marks_old() is False


def test_an_index_reaches_the_dated_contracts_of_its_currency() -> None:
    state = MarketState(origin="stream", now_ms=lambda: T0)
    state.set_instruments([BTC, NEAR], {BTC.key: 1, NEAR.key: 2})
    state.apply(IndexPrice("binance", "BTC", "BTC-USDT", T0 * NS, T0 * NS, 100.0))
    state.apply(IndexPrice("binance", "BTC", "BTC-USD", T0 * NS, T0 * NS, 90.0))
    prices = [state.listings[one.key].state.index_price for one in (BTC, NEAR)]
    assert prices == [100.0, 100.0]
    state.apply(MarkPrice(NEAR, (T0 + 5_000) * NS, T0 * NS, 102.0, None))
    rows = [row for row in state.take_rows(T0 + 5_000) if isinstance(row, BasisRow)]
    assert rows == [BasisRow(2, T0 + 5_000, T0 + 5_000, 102.0, 100.0, "stream")]


@pytest.mark.parametrize(
    ("now_ms", "seconds"),
    [
        (T0, 86_400.0),
        (T0 + 5 * DAY - 600_000, 660.0),
        # Delivered and still named: not asked every moment.
        (T0 + 5 * DAY + 1, 86_400.0),
    ],
)
def test_the_list_is_read_anew_after_a_delivery(now_ms: int, seconds: float) -> None:
    runner = SimpleNamespace(instruments=[BTC, NEAR], _place=SimpleNamespace(now_ms=lambda: now_ms))
    assert VenueRunner._until_next_list_s(cast(Any, runner)) == seconds
