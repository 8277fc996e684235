"""Ranks, medians and deviations of rows that are sorted once: against numpy and scipy, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import median_abs_deviation, percentileofscore

from apps.markets.engines import order_statistics as engine

FloatArray = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture
def window() -> FloatArray:
    """Rows with ties and gaps; one of a single sample, one without any."""
    rng = np.random.default_rng(5)
    made = np.round(rng.standard_t(3, (30, 61)), 1)
    made[rng.random(made.shape) < 0.3] = np.nan
    made[3, 1:] = np.nan
    made[3, 0] = 2.5
    made[4] = np.nan
    return made


def _rows(window: FloatArray) -> list[tuple[int, FloatArray]]:
    return [(at, row[~np.isnan(row)]) for at, row in enumerate(window) if not np.isnan(row).all()]


def test_percentiles_are_mid_ranks_by_counting_and_by_bisection(window: FloatArray) -> None:
    current = np.round(np.random.default_rng(6).standard_t(3, window.shape[0]), 1)
    counted = engine.midrank_percentile(current, window)
    found = engine.sorted_percentile(current, engine.sort_window(window))
    np.testing.assert_array_equal(found, counted)
    for at, values in _rows(window):
        expected = percentileofscore(values, current[at], kind="mean") / 100
        assert counted[at] == pytest.approx(expected), at
    assert np.isnan(counted[4])


def test_medians_and_deviations(window: FloatArray) -> None:
    held = engine.sort_window(window)
    median = engine.row_median(held)
    mad = engine.row_mad(held, median)
    for at, values in _rows(window):
        assert median[at] == pytest.approx(np.median(values)), at
        assert mad[at] == pytest.approx(median_abs_deviation(values)), at
    assert np.isnan([median[4], mad[4]]).all()


def test_quantiles_are_hazens_and_end_at_the_extremes(window: FloatArray) -> None:
    held = engine.sort_window(window)
    for probability in (0.0, 0.02, 0.25, 0.5, 0.9, 1.0):
        found = engine.quantile(held, probability)
        for at, values in _rows(window):
            expected = np.quantile(values, probability, method="hazen")
            assert found[at] == pytest.approx(expected), (at, probability)


def test_robust_z_of_ties_takes_the_mean_deviation() -> None:
    held = engine.sort_window(np.array([[1.0, 1.0, 1.0, 1.0, 2.0], [1.0] * 5, [1.0] * 5]))
    found = engine.robust_z(np.array([2.0, 1.0, 1.1]), *engine.centre(held), clip=10.0)
    assert found[:2].tolist() == pytest.approx([3.98942, 0.0], abs=5e-6)
    assert np.isnan(found[2])


def test_a_span_is_from_the_first_sample_to_the_last() -> None:
    nan = np.nan
    rows = np.array([[nan, 1.0, nan, 2.0, nan], [nan] * 5, [3.0, nan, nan, nan, 4.0]])
    assert engine.span_slots(rows).tolist() == [3, 0, 5]
    assert engine.span_slots(np.empty((2, 0))).tolist() == [0, 0]
