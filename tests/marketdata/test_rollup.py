from __future__ import annotations

import pytest

from apps.marketdata.rollup import bars_roll_up
from apps.marketdata.selectors import BarSeries, bar_series
from apps.marketdata.writers import rows_write
from tests.marketdata.samples import MINUTE, T0, at, bar_row

pytestmark = pytest.mark.django_db(databases=["market"])

SLOT = T0 - T0 % 300_000
END = SLOT + 300_000


def roll_up() -> int:
    return bars_roll_up(
        instrument_ids=[1], interval_s=300, start=at(SLOT), end=at(END), origin="stream"
    )


def slots() -> BarSeries:
    return bar_series([1], 300, at(SLOT), at(END))


def test_five_minutes_make_one_bar() -> None:
    rows = [bar_row(SLOT + n * MINUTE, close=100.0 + n, trades=n) for n in (0, 1, 3, 4)]
    rows_write([*rows, bar_row(END), bar_row(SLOT, instrument_id=2)])
    assert roll_up() == 1
    bar = slots()
    assert (bar.open[0], bar.close[0], bar.high[0], bar.low[0]) == (100.0, 104.0, 101.0, 99.0)
    assert (bar.volume_base[0], bar.buy_usd[0], bar.trades[0]) == (14.0, 502.0, 8)
    assert bar.known_at_ms.tolist() == [END]
    assert bar.is_partial.tolist() == [False]


def test_an_amended_minute_amends_the_longer_bar_and_nothing_else_does() -> None:
    rows_write([bar_row(SLOT, trades=3)])
    assert roll_up() == 1
    assert roll_up() == 0
    rows_write([bar_row(SLOT, trades=5, is_partial=True)])
    assert roll_up() == 1
    assert (slots().trades.tolist(), slots().is_partial.tolist()) == ([5], [True])


def test_the_venues_own_bar_stays() -> None:
    rows_write([bar_row(SLOT), bar_row(SLOT, interval_s=300, close=1.0, origin="venue")])
    assert roll_up() == 0
    assert slots().close.tolist() == [1.0]
