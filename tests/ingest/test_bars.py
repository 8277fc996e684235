from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apps.ingest.bars import AMEND_MS, SETTLE_MS, BarBuilder, MinuteBar
from apps.marketdata.events import Side, Trade
from tests.marketdata.samples import MINUTE, T0, instrument

BTC = instrument()


def trade(ts_ms: int, price: float = 100.0, qty: float = 1.0, side: Side = Side.BUY) -> Trade:
    return Trade(BTC, ts_ms * 1_000_000, ts_ms * 1_000_000, price, qty, side, "1")


def slow_bars(trades: list[Trade]) -> dict[int, dict[str, Any]]:
    """The same bars by the book: group by minute, sort by time, look at each once."""
    minutes: dict[int, list[Trade]] = {}
    for one in trades:
        minutes.setdefault(one.ts_event // 60_000_000_000 * MINUTE, []).append(one)
    bars = {}
    for minute, group in minutes.items():
        ordered = sorted(group, key=lambda one: one.ts_event)
        buys = [one for one in group if one.aggressor_side == "buy"]
        bars[minute] = {
            "open": ordered[0].price,
            "high": max(one.price for one in group),
            "low": min(one.price for one in group),
            "close": ordered[-1].price,
            "volume_base": sum(one.qty_base for one in group),
            "volume_usd": sum(one.qty_base * one.price for one in group),
            "buy_base": sum(one.qty_base for one in buys),
            "buy_usd": sum(one.qty_base * one.price for one in buys),
            "trades": len(group),
        }
    return bars


trades_strategy = st.lists(
    st.builds(
        trade,
        ts_ms=st.integers(T0, T0 + 5 * MINUTE - 1),
        # Integers, so that sums are exact in any order.
        price=st.integers(1, 1000).map(float),
        qty=st.integers(1, 50).map(float),
        side=st.sampled_from(Side),
    ),
    max_size=80,
)


@given(trades_strategy)
def test_bars_equal_those_of_an_independent_loop(trades: list[Trade]) -> None:
    """In any order of arrival within the amend window."""
    builder = BarBuilder()
    for one in trades:
        builder.add(one, T0)
    bars = builder.close_due(T0 + 10 * MINUTE)
    expected = slow_bars(trades)
    assert [bar.open_ts_ms for bar in bars] == sorted(expected)
    for bar in bars:
        fields = expected[bar.open_ts_ms]
        assert {name: getattr(bar, name) for name in fields} == fields


@given(trades_strategy, st.integers(0, 6 * MINUTE))
def test_closing_at_any_moment_loses_and_doubles_nothing(trades: list[Trade], cut: int) -> None:
    in_time = sorted(trades, key=lambda one: one.ts_event)
    builder = BarBuilder()
    stored: dict[int, tuple[float, int]] = {}
    for one in in_time:
        now = one.ts_event // 1_000_000
        if now > T0 + cut:
            stored |= {b.open_ts_ms: (b.volume_usd, b.trades) for b in builder.close_due(now)}
        builder.add(one, now)
    end = T0 + 20 * MINUTE
    stored |= {bar.open_ts_ms: (bar.volume_usd, bar.trades) for bar in builder.close_all(end)}
    expected = {ts: (bar["volume_usd"], bar["trades"]) for ts, bar in slow_bars(trades).items()}
    assert stored == expected


def only(bars: list[MinuteBar]) -> MinuteBar:
    (bar,) = bars
    return bar


def test_a_minute_closes_after_its_settling_time() -> None:
    builder = BarBuilder()
    builder.add(trade(T0 + 59_999), T0 + 59_999)
    assert builder.close_due(T0 + MINUTE + SETTLE_MS - 1) == []
    assert only(builder.close_due(T0 + MINUTE + SETTLE_MS)).trades == 1
    assert builder.close_due(T0 + MINUTE + SETTLE_MS + 1) == []


def test_a_late_trade_amends_the_closed_bar() -> None:
    builder = BarBuilder()
    builder.add(trade(T0 + 30_000, price=100.0), T0 + 30_000)
    builder.close_due(T0 + 2 * MINUTE)
    builder.add(trade(T0 + 10_000, price=90.0), T0 + 2 * MINUTE)
    bar = only(builder.close_due(T0 + 2 * MINUTE))
    assert (bar.open, bar.close, bar.low, bar.trades) == (90.0, 100.0, 90.0, 2)


def test_a_trade_beyond_the_window_is_counted_not_used() -> None:
    builder = BarBuilder()
    builder.add(trade(T0), T0 + MINUTE + AMEND_MS + 1)
    assert builder.late_trades == 1
    assert builder.close_all(T0 + MINUTE + AMEND_MS + 1) == []


def test_minutes_without_trades_do_not_exist() -> None:
    builder = BarBuilder()
    builder.add(trade(T0), T0)
    builder.add(trade(T0 + 5 * MINUTE), T0 + 5 * MINUTE)
    closed = builder.close_due(T0 + 10 * MINUTE)
    assert [bar.open_ts_ms for bar in closed] == [T0, T0 + 5 * MINUTE]
    assert builder.newest() is None


def test_the_end_gives_out_the_bar_in_the_making() -> None:
    builder = BarBuilder()
    builder.add(trade(T0 + 1), T0 + 1)
    assert only(builder.close_all(T0 + 2)).trades == 1
