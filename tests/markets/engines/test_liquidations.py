"""Sums, time watched and rolling hours: worked values, a slow reference, and no look into the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from apps.markets.engines.context import context_of
from apps.markets.engines.liquidations import (
    LOG_UNIT,
    bucketed,
    imbalance,
    is_stated,
    rolling_total,
    state_of,
    sums_of,
    union,
    watched_ms,
)

_spans = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60)), max_size=12)


def test_sums_by_side() -> None:
    """Golden: longs 120,000 and 30,000, a short of 50,000 → 200,000, imbalance 0.5."""
    is_long = np.array([True, False, True, True])
    usd = np.array([120_000.0, 50_000.0, 30_000.0, 7.0])
    found = sums_of(is_long, usd, np.array([True, True, True, False]))
    assert (found.long_usd, found.short_usd, found.total_usd) == (150_000.0, 50_000.0, 200_000.0)
    assert (found.count, found.largest) == (3, 0)
    assert imbalance(found.long_usd, found.short_usd) == 0.5
    assert state_of(found.long_usd, found.short_usd) == "longs_liquidated"


def test_nothing_is_nothing() -> None:
    empty = sums_of(np.array([], bool), np.array([]), np.array([], bool))
    assert (empty.total_usd, empty.count, empty.largest) == (0.0, 0, -1)
    assert imbalance(0.0, 0.0) is None


@pytest.mark.parametrize(
    ("long_usd", "short_usd", "state"),
    [
        (3.0, 1.0, "longs_liquidated"),
        (2.9, 1.0, "both_sides"),
        (1.0, 2.9, "both_sides"),
        (1.0, 3.0, "shorts_liquidated"),
        (0.0, 0.0, "quiet"),
    ],
)
def test_three_of_four_dollars_decide(long_usd: float, short_usd: float, state: str) -> None:
    assert state_of(long_usd, short_usd) == state


@given(_spans)
def test_watched_time_equals_a_count_of_milliseconds(spans: list[tuple[int, int]]) -> None:
    since = np.array([start for start, _ in spans], dtype=np.int64)
    until = np.array([start + length for start, length in spans], dtype=np.int64)
    seen = {ms for start, length in spans for ms in range(start, start + length)}
    edges = np.arange(-5, 300, 7)
    expected = [sum(ms < edge for ms in seen) for edge in edges]
    assert watched_ms(since, until, edges).tolist() == expected
    begins, ends = union(since, until)
    assert (ends > begins).all()
    assert (begins[1:] > ends[:-1]).all()
    assert int((ends - begins).sum()) == len(seen)


def test_a_sum_needs_nearly_all_of_its_time() -> None:
    assert is_stated(np.array([1.0, 0.95, 0.9499, 0.0, np.nan])).tolist() == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_a_rolling_sum_is_null_where_too_little_was_watched() -> None:
    usd = np.array([[1.0, 2.0, 0.0, 0.0, 5.0]])
    watched = np.array([[1.0, 1.0, 0.5, 1.0, 1.0]])
    assert rolling_total(usd, np.ones((1, 5)), 2).tolist() == [[3.0, 2.0, 0.0, 5.0]]
    np.testing.assert_array_equal(rolling_total(usd, watched, 2), [[3.0, np.nan, np.nan, 5.0]])
    # One slot of twelve at 60 % is 96.7 % of the hour.
    share = np.ones((1, 12))
    share[0, 4] = 0.6
    assert rolling_total(np.ones((1, 12)), share, 12).tolist() == [[12.0]]


@given(
    st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1)), min_size=4, max_size=40),
    st.integers(1, 4),
)
def test_rolling_sums_know_no_later_slot(slots: list[tuple[float, float]], width: int) -> None:
    """Prefix invariance: what is told at a slot's end stays, whatever comes behind it."""
    usd = np.array([[amount for amount, _ in slots]])
    watched = np.array([[share for _, share in slots]])
    whole = rolling_total(usd, watched, width)[0]
    for end in range(width, len(slots) + 1):
        part = rolling_total(usd[:, :end], watched[:, :end], width)[0]
        np.testing.assert_allclose(part[-1], whole[end - width], rtol=1e-9, atol=0.02)
        if watched[0, end - width : end].sum() >= 0.95 * width + 1e-6:
            exact = usd[0, end - width : end].sum()
            assert part[-1] == pytest.approx(exact, rel=1e-9, abs=0.02)


def test_quiet_hours_behind_a_cascade_are_exactly_zero() -> None:
    """Differences of running sums must leave no dust: midrank counts equal values."""
    usd = np.zeros((1, 100))
    usd[0, 3] = 1e11 / 3
    found = rolling_total(usd, np.ones((1, 100)), 12)[0]
    assert (found[4:] == 0.0).all()


@given(
    st.lists(
        st.tuples(st.integers(0, 599), st.integers(0, 2), st.booleans(), st.integers(1, 10**6)),
        max_size=60,
    ).map(sorted)
)
def test_buckets_equal_a_slow_count(events: list[tuple[int, int, bool, int]]) -> None:
    slots, interval = np.array([0, 100, 300, 500]), 100
    columns = list(zip(*events, strict=True)) or [(), (), (), ()]
    found = bucketed(
        slots,
        interval,
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2], dtype=bool),
        np.array(columns[3], dtype=float),
        3,
    )
    for row, slot in enumerate(slots.tolist()):
        for series in range(3):
            mine = [e for e in events if slot <= e[0] < slot + interval and e[1] == series]
            assert found.long_usd[row, series] == sum(e[3] for e in mine if e[2])
            assert found.short_usd[row, series] == sum(e[3] for e in mine if not e[2])
            assert found.count[row, series] == len(mine)
            assert found.largest_usd[row, series] == max((e[3] for e in mine), default=0)


def test_context_of_liquidations_against_scipy() -> None:
    """Skewed: the rank is of the dollars, the z of their logarithm."""
    rng = np.random.default_rng(5)
    window = np.round(rng.lognormal(9, 2, (1, 8640)) * (rng.random((1, 8640)) > 0.3), 2)
    value = 250_000.0
    row = context_of(np.array([value]), window, 300, log_unit=LOG_UNIT).row(0)
    rank = stats.percentileofscore(window[0], value, kind="mean") / 100
    logs = np.log1p(window[0])
    z = (np.log1p(value) - np.median(logs)) / stats.median_abs_deviation(logs, scale="normal")
    assert row.percentile == pytest.approx(rank, abs=1e-12)
    assert row.z_score == pytest.approx(z, rel=1e-6)
