"""Funding in every unit, its aggregate and its history: METHODS' numbers and the traps of VENUES."""

from __future__ import annotations

import numpy as np
import pytest

from apps.markets.engines import funding


def test_aggregate_of_methods() -> None:
    rate = np.array([0.0092, 0.0085, 0.0012 * 8]) / 100
    result = funding.aggregate(rate, np.array([5e9, 3e9, 2e9]))
    assert result.rate_8h is not None
    assert funding.percent_per_8h(result.rate_8h) == pytest.approx(0.00907, abs=1e-12)
    assert 100 * funding.annual_rate(result.rate_8h) == pytest.approx(9.93165, abs=1e-9)
    assert (result.weighting, result.oi_usd) == ("open_interest", 10e9)


@pytest.mark.parametrize(
    ("rate", "hours", "expected"),
    [(0.0001, 8, 0.0001), (0.0001, 4, 0.0002), (0.0000125, 1, 0.0001), (-0.0003, 2, -0.0012)],
)
def test_each_symbol_has_its_own_interval(rate: float, hours: float, expected: float) -> None:
    assert funding.rate_per_8h(np.array([rate]), np.array([hours]))[0] == expected


def test_an_unknown_interval_gives_no_rate() -> None:
    result = funding.rate_per_8h(np.array([0.0001, 0.0001]), np.array([np.nan, 0.0]))
    assert np.isnan(result).all()


def test_one_venue_is_its_own_aggregate_without_open_interest() -> None:
    result = funding.aggregate(np.array([0.0002]), np.array([np.nan]))
    assert (result.rate_8h, result.weighting, result.oi_usd, result.reason) == (
        0.0002,
        "none",
        None,
        None,
    )


def test_several_venues_without_open_interest_have_no_weights() -> None:
    result = funding.aggregate(np.array([0.0002, 0.0001]), np.array([np.nan, 0.0]))
    assert (result.rate_8h, result.weighting, result.reason) == (None, None, "no_weights")


def test_a_venue_without_rate_does_not_count() -> None:
    result = funding.aggregate(np.array([0.0002, np.nan, 0.0001]), np.array([1.0, 98.0, 3.0]))
    assert result.rate_8h == pytest.approx(0.000125)
    assert result.oi_usd == 4.0


def test_no_venue_has_a_rate() -> None:
    assert funding.aggregate(np.array([np.nan]), np.array([1.0])).reason == "no_data"


def test_history_needs_every_venue_of_the_set() -> None:
    rate = np.array([[1e-4, 2e-4, np.nan], [3e-4, np.nan, 1e-4]])
    oi = np.array([[1.0, 1.0, 1.0], [3.0, 1.0, 1.0]])
    window = funding.aggregate_window(rate, oi, np.array([1.0, 1.0]))
    assert window[0] == pytest.approx(2.5e-4)
    assert np.isnan(window[1:]).all()


def test_history_takes_todays_weights_where_one_is_unknown() -> None:
    rate = np.array([[1e-4, 1e-4], [3e-4, 3e-4]])
    oi = np.array([[1.0, np.nan], [3.0, 7.0]])
    window = funding.aggregate_window(rate, oi, np.array([1.0, 1.0]))
    assert window.tolist() == pytest.approx([2.5e-4, 2.0e-4])


def test_equal_rates_stay_ties_after_weighting() -> None:
    rng = np.random.default_rng(5)
    rate = np.full((3, 500), 1e-4)
    window = funding.aggregate_window(rate, rng.random((3, 500)) * 1e9, np.ones(3))
    assert set(window.tolist()) == {1e-4}


@pytest.mark.parametrize(
    ("percent", "state"),
    [
        (0.05, "longs_crowded"),
        (0.0499, "longs_pay"),
        (0.0151, "longs_pay"),
        (0.015, "baseline"),
        (0.01, "baseline"),
        (0.005, "baseline"),
        (0.0049, "flat"),
        (-0.005, "flat"),
        (-0.0051, "shorts_pay"),
        (-0.0499, "shorts_pay"),
        (-0.05, "shorts_crowded"),
    ],
)
def test_absolute_states(percent: float, state: str) -> None:
    assert funding.state_of(percent / 100) == state


def test_no_rate_has_no_state() -> None:
    assert funding.state_of(None) is None
