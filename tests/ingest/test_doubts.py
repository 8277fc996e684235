"""What may have been missed, whose clock is wrong, and what is let go of: the parts, without a venue."""

from __future__ import annotations

import pytest

from apps.ingest.coverage import Coverage
from apps.ingest.sources import SourceTracker
from apps.ingest.state import MarketState
from apps.marketdata.events import Liquidation, PositionSide, Quality, Side, Trade
from apps.marketdata.instruments import Instrument
from apps.marketdata.rows import BarRow
from apps.venues.streaming import MAX_SEEN, Seen
from tests.marketdata.samples import MINUTE, T0, instrument

NS = 1_000_000
BTC, ETH = instrument(), instrument("ETHUSDT", "ETH")
OKX = instrument("BTC-USDT-SWAP", venue="okx")


def watched() -> Coverage:
    coverage = Coverage(T0)
    coverage.live(T0)
    (first,) = coverage.take_repairs(T0 + MINUTE)
    coverage.repaired(first)
    return coverage


def test_a_doubt_makes_its_minutes_be_asked_for_once() -> None:
    coverage = watched()
    for second in (61, 65, 70, 100):
        coverage.doubt(T0 + second * 1000 - 2000, T0 + second * 1000)
    assert coverage.is_live
    assert not coverage.is_whole(T0 + MINUTE, T0 + 2 * MINUTE)
    # The first doubt reaches into the minute before.
    assert coverage.take_repairs(T0 + 2 * MINUTE) == [
        (T0, T0 + 2 * MINUTE),
        (T0 + MINUTE, T0 + 2 * MINUTE),
    ]
    assert coverage.is_whole(T0 + 2 * MINUTE, T0 + 3 * MINUTE)


def test_what_is_known_to_be_missed_needs_no_doubt() -> None:
    coverage = watched()
    coverage.down(T0 + MINUTE)
    coverage.doubt(T0 + MINUTE + 1, T0 + MINUTE + 2)
    coverage.live(T0 + 2 * MINUTE)
    assert coverage.take_repairs(T0 + 2 * MINUTE) == [(T0 + MINUTE, T0 + 2 * MINUTE)]


@pytest.mark.parametrize(
    ("skew_ms", "status", "words"),
    [
        (0, "ok", ""),
        (9_000, "ok", ""),
        (-9_000, "ok", ""),
        (60_000, "degraded", "its clock is 60 s behind ours"),
        (-60_000, "degraded", "its clock is 60 s ahead of ours"),
    ],
)
def test_a_wrong_clock_is_named_and_forgiven(skew_ms: int, status: str, words: str) -> None:
    tracker = SourceTracker("binance", T0)

    def listen(since_ms: int, skew: int) -> None:
        for at in range(since_ms, since_ms + 21_000, 500):
            tracker.heard(at)
            # One old message among them says nothing about the clock.
            tracker.told(at - skew - (40_000 if at % 5_000 == 0 else 0), at)

    listen(T0, skew_ms)
    told = tracker.status(T0 + 21_000)
    assert (told.status, told.detail) == (status, words)
    listen(T0 + 21_000, 0)
    assert tracker.status(T0 + 42_000).status == "ok"


def trade(one: Instrument, number: int) -> Trade:
    at = (T0 + number) * NS
    return Trade(one, at, at, 100.0, 2.0, Side.BUY, str(number))


def test_trades_and_liquidations_pass_once_by_instrument() -> None:
    seen = Seen()
    assert [seen.is_repeat(trade(BTC, n)) for n in (1, 2, 1, 3, 2)] == [
        False, False, True, False, True,
    ]  # fmt: skip
    assert not seen.is_repeat(trade(ETH, 1))
    forced = Liquidation(BTC, T0 * NS, T0 * NS, PositionSide.LONG, 1.0, 1.0, 1.0, Quality.FULL, "1")
    assert [seen.is_repeat(forced), seen.is_repeat(forced)] == [False, True]
    for number in range(10, 10 + MAX_SEEN):
        assert not seen.is_repeat(trade(BTC, number))
    # So long ago that it is forgotten.
    assert not seen.is_repeat(trade(BTC, 1))
    assert seen.is_repeat(trade(BTC, 9 + MAX_SEEN))


def test_what_a_venue_lists_no_longer_is_let_go_of_with_its_last_bar() -> None:
    now = [T0]
    state = MarketState(origin="stream", now_ms=lambda: now[0])
    state.set_instruments([BTC, ETH], {BTC.key: 1, ETH.key: 2})
    state.set_instruments([OKX], {OKX.key: 3})
    state.apply(trade(ETH, 5))
    now[0] = T0 + 10_000
    state.set_instruments([BTC], {BTC.key: 1})
    assert set(state.listings) == {BTC.key, OKX.key}
    assert state.take_gone() == [ETH.key]
    assert state.take_gone() == []
    (bar,) = [row for row in state.take_rows(now[0]) if isinstance(row, BarRow)]
    assert (bar.instrument_id, bar.volume_base, bar.is_partial) == (2, 2.0, True)
    # What still comes of it is of nobody; the others are found as before.
    state.apply(trade(ETH, 6))
    state.apply(trade(OKX, 7))
    assert state.listings[OKX.key].state.trade_count_total == 1
