"""Candles against a slow loop of their own: longer ones, merged ones, one over venues, rolling hours."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.markets.engines.ohlcv import (
    DAY_MS,
    WEEK_MS,
    Candles,
    as_one,
    joined,
    merged,
    no_candles,
    on_grid,
    origin_ms,
    over_venues,
    return_pct,
    rolled_up,
    rolling,
    slot_of,
    state_of,
    traded,
    venue_mean,
)
from apps.markets.history_ohlcv import significant

MINUTE = 60_000
HOUR = 60 * MINUTE
START = 1_778_716_800_000
"""2026-05-14 00:00 UTC, a Thursday."""
LENGTHS = [5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR, DAY_MS, WEEK_MS]
Row = tuple[int, int, float, float, float, float, float, float, float, bool]


def candles(rows: list[Row]) -> Candles:
    columns = list(zip(*sorted(rows), strict=True)) if rows else [()] * 10
    types = [np.int64, np.int64, *[np.float64] * 7, np.bool_]
    return Candles(*(np.array(c, dtype=t) for c, t in zip(columns, types, strict=True)))


def rows_of(found: Candles) -> list[Row]:
    columns = [getattr(found, one.name).tolist() for one in fields(found)]
    return list(zip(*columns, strict=True))


def minutes(count: int, series: int = 3, seed: int = 1) -> list[Row]:
    """Random minutes with gaps: some minutes of some series have no trade."""
    rng = random.Random(seed)
    made: list[Row] = []
    for one in range(series):
        price = 100.0 * (one + 1)
        for minute in range(count):
            if rng.random() < 0.4:
                continue
            open_ = price
            path = [open_, *(open_ * math.exp(rng.gauss(0, 0.002)) for _ in range(4))]
            price = path[-1]
            base = rng.lognormvariate(0, 1)
            made.append(
                (
                    one,
                    START + minute * MINUTE,
                    open_,
                    max(path),
                    min(path),
                    price,
                    base,
                    base * price,
                    float(rng.randint(1, 50)),
                    rng.random() < 0.01,
                )
            )
    return made


def slow_opening(ts_ms: int, length_ms: int) -> int:
    """By the calendar, not by division of the epoch."""
    moment = datetime.fromtimestamp(ts_ms / 1000, tz=UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if length_ms == WEEK_MS:
        start = midnight - timedelta(days=moment.weekday())
    else:
        since = int((moment - midnight).total_seconds() * 1000)
        start = midnight + timedelta(milliseconds=since // length_ms * length_ms)
    return int(start.timestamp() * 1000)


def slow_roll(rows: list[Row], length_ms: int) -> list[Row]:
    groups: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for row in sorted(rows):
        groups[row[0], slow_opening(row[1], length_ms)].append(row)
    return [
        (
            series,
            opening,
            inside[0][2],
            max(one[3] for one in inside),
            min(one[4] for one in inside),
            inside[-1][5],
            math.fsum(one[6] for one in inside),
            math.fsum(one[7] for one in inside),
            math.fsum(one[8] for one in inside),
            any(one[9] for one in inside),
        )
        for (series, opening), inside in sorted(groups.items())
    ]


def assert_same(found: list[Row], expected: list[Row]) -> None:
    assert [(row[:6], row[9]) for row in found] == [(row[:6], row[9]) for row in expected]
    for ours, slow in zip(found, expected, strict=True):
        assert ours[6:9] == pytest.approx(slow[6:9], rel=1e-12)


@pytest.mark.parametrize("length_ms", LENGTHS)
def test_longer_candles_equal_the_slow_loop(length_ms: int) -> None:
    made = minutes(12 * 1440 if length_ms >= DAY_MS else 1440)
    assert_same(rows_of(rolled_up(candles(made), length_ms)), slow_roll(made, length_ms))


def test_longer_of_longer_is_longer_of_minutes() -> None:
    made = candles(minutes(3 * 1440))
    by_hours = rolled_up(rolled_up(made, HOUR), DAY_MS)
    assert_same(rows_of(by_hours), rows_of(rolled_up(made, DAY_MS)))


def test_weeks_start_on_monday_at_midnight() -> None:
    monday = int(datetime(2026, 5, 11, tzinfo=UTC).timestamp() * 1000)
    moments = np.array([monday - 1, monday, START, monday + WEEK_MS - 1, monday + WEEK_MS])
    assert slot_of(moments, WEEK_MS).tolist() == [
        monday - WEEK_MS,
        monday,
        monday,
        monday,
        monday + WEEK_MS,
    ]
    assert (monday - origin_ms(WEEK_MS)) % WEEK_MS == 0
    assert origin_ms(4 * HOUR) == 0


def test_minutes_without_a_trade_are_not_made_up() -> None:
    made = [
        (0, START, 10.0, 11.0, 9.0, 10.5, 1.0, 10.0, 2.0, False),
        (0, START + 7 * MINUTE, 12.0, 12.0, 12.0, 12.0, 1.0, 12.0, 1.0, False),
        (0, START + 20 * MINUTE, 9.0, 9.0, 8.0, 8.0, 2.0, 17.0, 3.0, False),
    ]
    found = rolled_up(candles(made), 5 * MINUTE)
    assert found.open_ms.tolist() == [START, START + 5 * MINUTE, START + 20 * MINUTE]
    # The second opens where it traded, not where the first closed.
    assert found.open.tolist() == [10.0, 12.0, 9.0]
    flat = [(0, START, 10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 0.0, False)]
    assert traded(candles(flat)).size == 0


def test_nothing_gives_nothing() -> None:
    none = no_candles()
    assert rolled_up(none, HOUR).size == over_venues(none).size == as_one(none).size == 0
    assert merged(none, none).size == joined([]).size == 0


@pytest.mark.parametrize("length_ms", [5 * MINUTE, HOUR])
def test_a_prefix_gives_the_same_closed_candles(length_ms: int) -> None:
    """Causality: what comes later changes no candle that was closed."""
    made = sorted(minutes(600), key=lambda row: row[1])
    whole = rows_of(over_venues(rolled_up(candles(made), length_ms)))
    for cut in range(0, 600, 37):
        now = START + cut * MINUTE
        known = candles([row for row in made if row[1] + MINUTE <= now])
        then = [
            row
            for row in rows_of(over_venues(rolled_up(known, length_ms)))
            if row[1] + length_ms <= now
        ]
        assert then == [row for row in whole if row[1] + length_ms <= now]


def slow_mean(rows: list[Row]) -> list[Row]:
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[1]].append(row)
    found: list[Row] = []
    for opening, inside in sorted(groups.items()):
        usd = math.fsum(one[7] for one in inside)
        open_, high, low, close = (
            math.fsum(one[place] * one[7] for one in inside) / usd for place in (2, 3, 4, 5)
        )
        base, trades = (math.fsum(one[place] for one in inside) for place in (6, 8))
        partial = any(one[9] for one in inside)
        found.append((0, opening, open_, high, low, close, base, usd, trades, partial))
    return found


def test_the_candle_over_venues_equals_the_slow_loop() -> None:
    made = minutes(900, series=5, seed=7)
    found, expected = rows_of(over_venues(candles(made))), slow_mean(made)
    assert [row[1] for row in found] == [row[1] for row in expected]
    for ours, slow in zip(found, expected, strict=True):
        assert ours[2:9] == pytest.approx(slow[2:9], rel=1e-12)
        assert ours[9] == slow[9]
        assert ours[4] <= min(ours[2], ours[5]) <= max(ours[2], ours[5]) <= ours[3]


def test_over_venues_by_hand() -> None:
    made = [
        (0, START, 100.0, 104.0, 99.0, 102.0, 3.0, 300.0, 5.0, False),
        (1, START, 101.0, 110.0, 98.0, 100.0, 1.0, 100.0, math.nan, True),
    ]
    (row,) = rows_of(over_venues(candles(made)))
    assert row[2:8] == (100.25, 105.5, 98.75, 101.5, 4.0, 400.0)
    # One venue does not count its trades: the sum is unknown, not understated.
    assert math.isnan(row[8])
    assert row[9] is True


def test_one_venue_is_its_own_candle() -> None:
    made = [row for row in minutes(300) if row[0] == 0]
    assert rows_of(over_venues(candles(made))) == rows_of(candles(made))


def test_whole_stored_candles_stand_and_others_give_way_to_what_saw_more() -> None:
    def one(slot: int, close: float, usd: float, is_partial: bool) -> Row:
        return (0, START + slot * HOUR, 1.0, 2.0, 0.5, close, usd, usd, 1.0, is_partial)

    stored = [one(0, 1.1, 10, False), one(1, 1.2, 10, True), one(2, 1.3, 10, True)]
    rolled = [
        one(0, 9.0, 99, False),
        one(1, 9.1, 99, True),
        one(2, 9.2, 5, False),
        one(3, 9.3, 1, False),
    ]
    found = merged(candles(stored), candles(rolled))
    # Slot 2: the rolled one is not known to be whole either: it only holds what was stored.
    assert found.close.tolist() == [1.1, 9.1, 1.3, 9.3]
    assert found.open_ms.tolist() == [START + slot * HOUR for slot in range(4)]


def test_rolling_hours_equal_the_slow_loop() -> None:
    made = slow_roll(minutes(40 * 60, series=2), 5 * MINUTE)
    made = [row for number, row in enumerate(made) if number % 29]
    first = START // (5 * MINUTE)
    grid = on_grid(candles(made), 2, 5 * MINUTE, first, first + 480)
    rolled = rolling(grid, 12)
    by_cell = {(row[0], row[1]): row for row in made if not row[9]}
    seen = 0
    for series in range(2):
        for column in range(480 - 11):
            slots = [START + (column + n) * 5 * MINUTE for n in range(12)]
            inside = [by_cell.get((series, slot)) for slot in slots]
            known = [one for one in inside if one is not None]
            if len(known) < 12:
                assert np.isnan(rolled[:, series, column]).all()
                continue
            seen += 1
            total = math.fsum(one[7] for one in known)
            assert rolled[:, series, column] == pytest.approx([known[0][2], known[-1][5], total])
    assert seen > 50
    mean = venue_mean(rolled)
    both = np.flatnonzero(~np.isnan(rolled[2]).any(axis=0))
    at = int(both[0])
    open_, close, usd = rolled[:, :, at]
    assert mean[:, at] == pytest.approx(
        [(open_ * usd).sum() / usd.sum(), (close * usd).sum() / usd.sum(), usd.sum()]
    )


def test_an_hour_over_midnight_is_one_candle() -> None:
    made = [row for row in minutes(90, series=1) if not row[9]]
    moved = [(row[0], row[1] + DAY_MS - 45 * MINUTE, *row[2:]) for row in made]
    found = as_one(candles(moved))
    assert found.size == 1
    assert (found.open[0], found.close[0]) == (moved[0][2], moved[-1][5])
    assert found.volume_usd[0] == pytest.approx(math.fsum(row[7] for row in made))


def test_returns_and_their_words() -> None:
    assert return_pct(np.array([100.0, 50.0]), np.array([101.0, 49.0])).tolist() == [1.0, -2.0]
    words = [state_of(one) for one in (2.0, 1.99, 0.25, 0.24, -0.24, -0.25, -2.0, None)]
    assert words == [
        "rising_fast", "rising", "rising", "flat", "flat", "falling", "falling_fast", None,
    ]  # fmt: skip


@given(st.lists(st.floats(1e-9, 1e7, allow_nan=False), min_size=1, max_size=40))
def test_prices_have_the_same_digits_one_by_one_and_all_at_once(values: list[float]) -> None:
    """Twelve significant digits; a number half-way between two may go either way."""
    found = significant(np.array(values))
    expected = np.array([float(f"{value:.12g}") for value in values])
    assert np.all(np.abs(found - expected) <= 1.01e-11 * expected)
    assert [float(f"{value:.12g}") for value in found.tolist()] == found.tolist()
