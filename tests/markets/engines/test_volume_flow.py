"""Taker flow: sums equal their trades, nothing is invented for what was not seen."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from apps.markets.engines.volume_flow import (
    MINUTE_MS,
    FlowSum,
    MinuteBars,
    add_sums,
    rolling_delta,
    session_start_ms,
    state_of,
    window_sum,
    window_sums,
)

NOW = 1_700_000_060_000  # 20 s into a minute
DAY_MS = 86_400_000


def bars(rows: Sequence[tuple[int, float, float, int]]) -> MinuteBars:
    """(minutes before the current one, buy coins, sell coins, trades) at a price of 100."""
    minute = NOW - NOW % MINUTE_MS
    ordered = sorted(rows, reverse=True)
    buy = np.array([row[1] for row in ordered], dtype=float)
    volume = buy + np.array([row[2] for row in ordered])
    return MinuteBars(
        open_ms=np.array([minute - row[0] * MINUTE_MS for row in ordered], dtype=np.int64),
        volume_base=volume,
        volume_usd=100 * volume,
        buy_base=buy,
        buy_usd=100 * buy,
        trades=np.array([row[3] for row in ordered], dtype=np.int64),
    )


def last(minutes: int, flow: MinuteBars, since: int | None = 0) -> FlowSum:
    return window_sum(flow, NOW - minutes * MINUTE_MS, NOW, since)


def test_window_and_its_parts() -> None:
    flow = bars([(0, 1, 2, 3), (4, 5, 0, 2), (5, 100, 0, 1)])
    total = last(5, flow)
    assert (total.buy_base, total.sell_base, total.delta_base) == (6, 2, 4)
    assert (total.buy_usd, total.sell_usd, total.delta_usd, total.volume_usd) == (
        600,
        200,
        400,
        800,
    )
    assert (total.trades, total.taker_buy_ratio, total.delta_ratio) == (5, 0.75, 0.5)
    assert total.coverage == 1.0


def test_cvd_of_methods() -> None:
    flow = bars([(4, 1, 0, 1), (3, 1, 0, 1), (2, 0, 1, 1), (1, 1, 0, 1), (0, 1, 0, 1)])
    total = last(5, flow)
    assert (total.delta_base, total.taker_buy_ratio) == (3, 0.8)


def test_sums_are_exact_in_any_order() -> None:
    rng = random.Random(11)
    rows = [(i, rng.random() * 10 ** rng.randint(-4, 6), rng.random(), 1) for i in range(1000)]
    total = last(1440, bars(rows))
    assert total.buy_base == round(math.fsum(row[1] for row in rows), 8)
    assert total.trades == 1000


def test_quiet_minutes_are_a_true_zero() -> None:
    total = last(5, MinuteBars.empty())
    assert (total.volume_usd, total.delta_usd, total.trades, total.reason) == (0, 0, 0, None)
    assert total.taker_buy_ratio is None


def test_time_before_the_first_data_is_not_zero_flow() -> None:
    total = last(60, bars([(0, 1, 0, 1)]), since=NOW - 15 * MINUTE_MS)
    assert total.coverage == 0.25
    unknown = last(60, MinuteBars.empty(), since=None)
    assert (unknown.volume_usd, unknown.reason, unknown.coverage) == (None, "no_data", 0.0)


def test_unknown_taker_side_gives_volume_only() -> None:
    flow = bars([(0, 1, 1, 1), (1, 1, 1, 1)])
    flow.buy_base[0] = flow.buy_usd[0] = np.nan
    total = last(5, flow)
    assert total.volume_usd == 400
    assert (total.buy_usd, total.delta_usd, total.taker_buy_ratio) == (None, None, None)


def test_unknown_trade_counts_stay_unknown() -> None:
    assert last(5, bars([(0, 1, 1, -1)])).trades is None


def test_venues_add_up() -> None:
    one, two = last(5, bars([(0, 1, 2, 3)])), last(5, bars([(1, 4, 0, 1)]), NOW - 150_000)
    total = add_sums([one, two, last(5, MinuteBars.empty(), None)])
    assert (total.delta_usd, total.trades, total.coverage) == (300, 4, 0.5)
    assert add_sums([]).reason == "no_data"


def test_rolling_hour_on_the_grid() -> None:
    delta = np.array([[1.0, 2.0, 4.0, np.nan, 8.0, 16.0, 32.0]])
    expected = [np.nan, 3.0, 6.0, np.nan, np.nan, 24.0, 48.0]
    np.testing.assert_array_equal(rolling_delta(delta, 2)[0], expected)
    assert np.isnan(rolling_delta(delta[:, :1], 2)).all()


def test_session_starts_at_midnight_utc() -> None:
    assert session_start_ms(DAY_MS * 3 + 5) == DAY_MS * 3
    assert session_start_ms(DAY_MS * 3) == DAY_MS * 3


@pytest.mark.parametrize(
    ("ratio", "state"),
    [
        (0.2, "buyers_dominate"),
        (0.05, "net_buying"),
        (0.049, "balanced"),
        (-0.05, "net_selling"),
        (-0.2, "sellers_dominate"),
        (None, None),
    ],
)
def test_states(ratio: float | None, state: str | None) -> None:
    assert state_of(ratio) == state


def test_sums_are_exact_whatever_the_sizes() -> None:
    """Against exact fractions: prices from 1e-8 to 1e5, amounts that differ by ten orders of magnitude."""
    rng = np.random.default_rng(3)
    for size in (0, 1, 565, 1440):
        usd = rng.lognormal(8, 4, size)
        base = usd / rng.lognormal(2, 6)
        buy_usd, buy_base = usd * rng.random(size), base * rng.random(size)
        buy_usd[size // 2 : size // 2 + 1] = np.nan
        minutes = MinuteBars(
            np.arange(size) * MINUTE_MS, base, usd, buy_base, buy_usd, rng.integers(0, 99, size)
        )
        starts = {str(count): max(0, size - count) * MINUTE_MS for count in (5, 60, 1440)}
        for name, found in window_sums(minutes, starts, size * MINUTE_MS + 1, 0).items():
            part = slice(max(0, size - int(name)), None)
            assert found.volume_usd == round(float(sum(map(Fraction, usd[part].tolist()))), 6)
            assert found.buy_base == round(float(sum(map(Fraction, buy_base[part].tolist()))), 8)
            is_known = not np.isnan(buy_usd[part]).any()
            expected = round(math.fsum(buy_usd[part].tolist()), 6) if is_known else None
            assert found.buy_usd == expected
            assert found.trades == int(minutes.trades[part].sum())
