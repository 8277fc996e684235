"""Basis: METHODS' cuts and formulas, hostile prices, and a curve by day of delivery."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.markets.engines.basis import (
    DAY_MS,
    annualised,
    basis,
    days_left,
    expiry_groups,
    state_of,
)

NAN = float("nan")
prices = st.floats(1e-9, 1e7)


def arr(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def test_mark_over_index() -> None:
    found = basis(arr(68_340.0, 99.0, 100.0), arr(67_000.0, 100.0, 100.0))
    assert found.tolist() == [0.02, -0.01, 0.0]


@pytest.mark.parametrize(
    ("mark", "index"), [(NAN, 1.0), (1.0, NAN), (0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (1.0, -1.0)]
)
def test_without_two_prices_there_is_no_basis(mark: float, index: float) -> None:
    assert math.isnan(float(basis(arr(mark), arr(index))[0]))


@given(prices, prices)
def test_the_mark_comes_back(mark: float, index: float) -> None:
    found = float(basis(arr(mark), arr(index))[0])
    assert index * (1 + found) == pytest.approx(mark, rel=1e-9, abs=index * 1e-11)


def test_a_year_of_a_dated_contract() -> None:
    # 365 / 73 is five times a year, 365 / 146 two and a half.
    assert annualised(arr(0.02, -0.01), arr(73.0, 146.0)).tolist() == [0.1, -0.025]
    # One day is enough, less is not.
    found = annualised(arr(0.001, 0.001, 0.001), arr(1.0, 0.999999, -3.0))
    assert found[0] == 0.365
    assert np.isnan(found[1:]).all()


@given(st.floats(-0.5, 0.5), st.floats(1.0, 720.0))
def test_it_equals_the_textbook_formula(value: float, days: float) -> None:
    future, spot = 100.0 * (1 + value), 100.0
    assert float(annualised(arr(value), arr(days))[0]) == pytest.approx(
        (future / spot - 1) * 365 / days, abs=1e-9
    )


def test_days_left() -> None:
    expiries = np.array([5 * DAY_MS, DAY_MS // 2], dtype=np.int64)
    assert days_left(expiries, DAY_MS).tolist() == [4.0, -0.5]


def test_contracts_of_one_day_are_one_point() -> None:
    hour = DAY_MS // 24
    expiries = np.array([9 * DAY_MS + 8 * hour, 2 * DAY_MS, 9 * DAY_MS + 7 * hour], dtype=np.int64)
    found = [(expiry, at.tolist()) for expiry, at in expiry_groups(expiries)]
    assert found == [(2 * DAY_MS, [1]), (9 * DAY_MS + 7 * hour, [0, 2])]
    assert expiry_groups(np.empty(0, dtype=np.int64)) == []


@pytest.mark.parametrize(
    ("annual", "word"),
    [
        (None, None),
        (-1e-9, "backwardation"),
        (0.0, "flat"),
        (0.05, "flat"),
        (0.0500001, "contango"),
        (0.15, "contango"),
        (0.1500001, "steep"),
    ],
)
def test_states_are_methods_cuts(annual: float | None, word: str | None) -> None:
    assert state_of(annual) == word
