"""Totals, changes and shares of open interest; the context's z on another series than the value."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from apps.markets.engines import open_interest as engine
from apps.markets.engines.context import INSUFFICIENT_HISTORY, context_of
from apps.markets.engines.open_interest import Amounts

NAN = np.nan
BOTH = np.array([True, True])


def test_the_examples_of_the_module() -> None:
    assert doctest.testmod(engine).failed == 0


def test_the_worked_example_of_the_page() -> None:
    now = Amounts(np.array([3.3e9, 0.9e9]), np.array([3.3e7, 0.9e7]))
    then = Amounts(np.array([3.0e9, 1.0e9]), np.array([3.0e7, 1.0e7]))
    found = engine.change(now, then, BOTH)
    assert (found.usd, found.usd_percent) == (0.2e9, 5.0)
    assert (found.base, found.base_percent) == (2e6, 5.0)
    assert engine.state_of(found.usd_percent) == "building"
    assert engine.shares(now.usd, BOTH).round(6).tolist() == [0.785714, 0.214286]


def test_a_venue_that_joins_is_no_change() -> None:
    now = Amounts(np.array([100.0, 900.0]), np.array([1.0, 9.0]))
    then = Amounts(np.array([100.0, NAN]), np.array([1.0, NAN]))
    found = engine.change(now, then, BOTH)
    assert (found.usd, found.usd_percent, found.venues) == (0.0, 0.0, (0,))


def test_a_venue_that_is_left_out_counts_nowhere() -> None:
    usd = np.array([100.0, 900.0])
    inside = np.array([True, False])
    assert engine.total(usd, inside, 2) == 100.0
    assert engine.shares(usd, inside)[0] == 1.0
    assert np.isnan(engine.shares(usd, inside)[1])


def test_nothing_known_is_nothing_said() -> None:
    nothing = Amounts(np.array([NAN, NAN]), np.array([NAN, NAN]))
    assert engine.total(nothing.usd, BOTH, 2) is None
    assert engine.change(nothing, nothing, BOTH).usd is None
    assert np.isnan(engine.shares(nothing.usd, BOTH)).all()
    assert np.isnan(engine.total_window(np.empty((0, 3)))).all()
    assert engine.state_of(None) is None


def test_from_nothing_to_something_has_no_percent() -> None:
    now, then = Amounts(np.array([5.0]), np.array([1.0])), Amounts(np.array([0.0]), np.array([0.0]))
    found = engine.change(now, then, np.array([True]))
    assert (found.usd, found.usd_percent) == (5.0, None)


def test_a_total_needs_every_venue_in_its_slot() -> None:
    window = np.array([[1.0, 2.0, NAN], [10.0, NAN, 30.0]])
    assert engine.total_window(window).tolist()[0] == 11.0
    assert np.isnan(engine.total_window(window)[1:]).all()


@pytest.mark.parametrize(
    ("percent", "word"),
    [
        (5.0, "building"), (4.99, "rising"), (1.0, "rising"), (0.99, "steady"), (0.0, "steady"),
        (-0.99, "steady"), (-1.0, "falling"), (-4.99, "falling"), (-5.0, "unwinding"),
    ],
)  # fmt: skip
def test_words(percent: float, word: str) -> None:
    assert engine.state_of(percent) == word


def test_log_changes_by_hand() -> None:
    level = np.array([[1.0, 2.0, 4.0, 0.0, NAN]])
    found = engine.log_change_window(level, 2)
    assert found[0, 0] == pytest.approx(np.log(4.0))
    assert np.isnan(found[0, 1:]).all()


def test_the_z_is_taken_on_the_change() -> None:
    """Against an independent reckoning: median and MAD of the changes, rank of the level."""
    rng = np.random.default_rng(7)
    level = 1e9 * np.exp(np.cumsum(rng.normal(0, 0.01, (3, 1488)), axis=1))
    now = level[:, -1] * np.array([1.01, 0.9, 1.2])
    change = np.log(now / level[:, -48])
    window, changes = level[:, 48:], engine.log_change_window(level, 48)
    found = context_of(now, window, 1800, z_of=(change, changes))
    for row in range(3):
        past = np.log(level[row, 48:] / level[row, :-48])
        mad = np.median(np.abs(past - np.median(past)))
        expected = (change[row] - np.median(past)) / (1.482602218505602 * mad)
        assert found.z_score[row] == pytest.approx(np.clip(expected, -10, 10), rel=1e-12)
        assert found.percentile[row] == np.mean(window[row] < now[row])


def test_a_change_without_a_past_has_no_z_but_a_reason() -> None:
    level = np.full((2, 1488), NAN)
    level[0, -500:] = 1e9 + np.arange(500)  # ten days and a little: their changes are too few
    level[1, -700:] = 1e9 + np.arange(700)
    changes = engine.log_change_window(level, 48)
    now = np.array([2e9, 2e9])
    found = context_of(now, level[:, 48:], 1800, z_of=(np.array([0.1, 0.1]), changes))
    short, long = found.row(0), found.row(1)
    assert (short.percentile, short.z_score, short.reason) == (1.0, None, INSUFFICIENT_HISTORY)
    # Without a z no label is extreme.
    assert short.label == "high"
    assert (long.percentile, long.z_score, long.label) == (1.0, 10.0, "extreme_high")
    unknown = context_of(now, level[:, 48:], 1800, z_of=(np.array([NAN, NAN]), changes))
    assert unknown.row(1).reason == INSUFFICIENT_HISTORY
