"""Percentile, robust z and label: published numbers, references, causality, degenerate windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import median_abs_deviation, percentileofscore

from apps.markets.engines import context
from apps.markets.engines.context import ContextConfig, ContextResult, context_of

HOUR_S = 3600.0
ANY_LENGTH = ContextConfig(min_samples=1, min_span_days=0.0)


def one(value: float, window: Any, **options: Any) -> ContextResult:
    options.setdefault("config", ANY_LENGTH)
    return context_of(
        np.array([value]), np.atleast_2d(np.asarray(window, dtype=float)), HOUR_S, **options
    )


def month(*, slots: int = 720, seed: int = 7) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(1.0, 2.0, slots)


def test_percentile_of_methods() -> None:
    assert one(7, range(1, 11)).percentile[0] == pytest.approx(0.65)


def test_robust_z_of_methods() -> None:
    assert one(6, [1, 2, 3, 4, 100]).z_score[0] == pytest.approx(2.02347, abs=5e-6)
    assert one(2, [1, 1, 1, 1, 2]).z_score[0] == pytest.approx(3.98942, abs=5e-6)


@pytest.mark.parametrize("seed", range(5))
def test_against_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    window = np.round(rng.standard_t(3, 500), 1)
    value = float(np.round(rng.standard_t(3), 1))
    result = one(value, window)
    assert result.percentile[0] == pytest.approx(
        percentileofscore(window, value, kind="mean") / 100
    )
    sigma = median_abs_deviation(window, scale="normal")
    expected = np.clip((value - np.median(window)) / sigma, -10, 10)
    assert result.z_score[0] == pytest.approx(expected)
    np.testing.assert_allclose(
        result.reference[0],
        np.quantile(window, context.DEFAULT.reference, method="hazen"),
    )


def test_many_series_equal_one_by_one() -> None:
    rng = np.random.default_rng(3)
    window = rng.normal(size=(40, 300))
    window[rng.random(window.shape) < 0.3] = np.nan
    window[7] = np.nan
    window[8] = 5.0
    current = rng.normal(size=40)
    together = context_of(current, window, HOUR_S)
    for i in range(40):
        alone = context_of(current[i : i + 1], window[i : i + 1], HOUR_S)
        assert together.row(i) == alone.row(0)


@pytest.mark.parametrize(
    ("percentile", "z_score", "expected"),
    [
        (0.0, -3.0, "extreme_low"),
        (0.02, -2.0, "extreme_low"),
        (0.02, -1.99, "low"),
        (0.02, np.nan, "low"),
        (0.021, -3.0, "low"),
        (0.10, -1.0, "low"),
        (0.25, -1.0, "subdued"),
        (0.2501, 0.0, "normal"),
        (0.7499, 0.0, "normal"),
        (0.75, 0.0, "elevated"),
        (0.78, 1.45, "elevated"),
        (0.90, 5.0, "high"),
        (0.9799, 5.0, "high"),
        (0.98, 2.0, "extreme_high"),
        (0.98, 1.9, "high"),
        (1.0, np.nan, "high"),
        (np.nan, 9.0, None),
    ],
)
def test_labels(percentile: float, z_score: float, expected: str | None) -> None:
    code = int(context.labels(np.array([percentile]), np.array([z_score]))[0])
    assert (None if code < 0 else context.LABELS[code]) == expected


def test_poor_coverage_gives_no_extreme_label() -> None:
    window = month()
    assert one(50.0, window).row(0).label == "extreme_high"
    assert one(50.0, window, allow_extreme=np.array([False])).row(0).label == "high"


def test_thresholds_hold_the_percentile_and_the_windows_values() -> None:
    window = month()
    for value in (*np.linspace(-6, 8, 57), float(window[3])):
        row = one(float(value), window).row(0)
        assert row.percentile is not None
        assert row.percentile_from is not None
        assert row.percentile_to is not None
        assert row.value_from is not None
        assert row.value_to is not None
        assert row.percentile_from <= row.percentile <= row.percentile_to
        assert row.value_from <= row.value_to
        if 0.02 < row.percentile < 0.98:
            step = 0.5 / window.size
            cuts = [row.percentile_from - step, row.percentile_to + step]
            low, high = np.quantile(window, np.clip(cuts, 0, 1), method="hazen")
            assert low <= value <= high


def test_is_one_basis_point_high_can_be_read_from_the_answer() -> None:
    """A window at the base rate with a few higher ones: thresholds name the rate that counts as high."""
    window = np.array([0.01] * 600 + [0.02] * 80 + [0.05] * 40)
    row = one(0.03, window).row(0)
    assert row.label == "high"
    assert (row.value_from, row.value_to) == (0.02, 0.05)
    assert row.reference == (0.01, 0.01, 0.01, 0.01, 0.01, 0.02, 0.05)


@pytest.mark.parametrize(
    ("slots", "every", "is_enough"),
    [(29, 24, False), (30, 24, True), (239, 1, False), (240, 1, True), (720, 1, True)],
)
def test_history_needs_30_samples_over_10_days(slots: int, every: int, is_enough: bool) -> None:
    window = np.full(720, np.nan)
    positions = 719 - every * np.arange(slots)
    window[positions[positions >= 0]] = np.arange(np.count_nonzero(positions >= 0))
    row = one(5.0, window, config=context.DEFAULT).row(0)
    assert (row.percentile is not None) is is_enough
    assert (row.label == "insufficient_history") is not is_enough
    assert row.reason == (None if is_enough else "insufficient_history")
    if not is_enough:
        assert row.z_score is None
        assert row.reference is None
        assert row.value_from is None


def test_a_missing_value_has_no_context() -> None:
    for value in (np.nan, np.inf, -np.inf):
        row = one(value, month()).row(0)
        assert (row.value, row.percentile, row.z_score, row.reason) == (None, None, None, "no_data")
        assert row.label == "insufficient_history"


def test_a_constant_window() -> None:
    on = one(1.0, [1.0] * 50).row(0)
    off = one(1.1, [1.0] * 50).row(0)
    assert (on.percentile, on.z_score, on.label, on.reason) == (0.5, 0.0, "normal", None)
    assert (off.percentile, off.z_score, off.label, off.reason) == (1.0, None, "high", "degenerate")


def test_z_is_clipped() -> None:
    assert one(1e300, month()).z_score[0] == 10.0
    assert one(-1e300, month()).z_score[0] == -10.0


def test_infinite_samples_are_missing() -> None:
    window = [1.0, 2.0, np.inf, 3.0, -np.inf]
    assert one(2.5, window).row(0) == one(2.5, [1.0, 2.0, 3.0]).row(0)


def test_empty_windows() -> None:
    for width in (0, 5):
        row = one(1.0, np.full((1, width), np.nan)).row(0)
        assert (row.percentile, row.samples, row.reason) == (None, 0, "insufficient_history")


def test_log_option_takes_the_z_on_logarithms_and_leaves_the_percentile() -> None:
    window = np.exp(np.random.default_rng(1).normal(10, 2, 400))
    plain, logs = one(1e7, window), one(1e7, window, log_unit=1000.0)
    assert logs.percentile[0] == plain.percentile[0]
    transformed = one(float(np.log1p(1e4)), np.log1p(window / 1000.0))
    assert logs.z_score[0] == pytest.approx(transformed.z_score[0])
    assert one(-1.0, window, log_unit=1000.0).row(0).reason == "degenerate"


finite = st.floats(-1e6, 1e6, allow_nan=False)
samples = hnp.arrays(np.float64, st.integers(1, 60), elements=finite | st.just(np.nan))


@settings(max_examples=150, deadline=None)
@given(samples, finite)
def test_properties(window: np.ndarray[Any, Any], value: float) -> None:
    row = one(value, window).row(0)
    if row.percentile is None:
        assert row.samples == 0
        return
    assert 0.0 <= row.percentile <= 1.0
    assert row.z_score is None or -10.0 <= row.z_score <= 10.0
    mirrored = one(-value, -window).row(0)
    assert mirrored.percentile == pytest.approx(1.0 - row.percentile)
    higher = one(value + 1.0, window).row(0)
    assert higher.percentile is not None
    assert higher.percentile >= row.percentile


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float64, 80, elements=finite), st.integers(31, 79), st.data())
def test_prefix_invariance(series: np.ndarray[Any, Any], t: int, data: st.DataObject) -> None:
    """What comes after t changes nothing at t, nor does what lies before the window."""
    length = 30
    future = data.draw(hnp.arrays(np.float64, 80 - t, elements=finite))
    bent = series.copy()
    bent[t:] = future
    bent[: t - length] = 0.0

    def at(values: np.ndarray[Any, Any], current: float) -> Any:
        return one(current, values[t - length : t]).row(0)

    assert at(series, series[t]) == at(bent, series[t])
