"""Shares of longs by hand: golden values, agreement of venues, words."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.markets.engines import positioning as engine

NAN = np.nan


def test_the_examples_of_the_module() -> None:
    assert doctest.testmod(engine).failed == 0


def test_ratios_are_weighed_as_shares() -> None:
    """METHODS: 1.5 and 0.8 with weights 0.7 and 0.3 are 1.238806, and not their mean 1.29."""
    share = engine.share_of_ratio(np.array([1.5, 0.8]))
    found = engine.aggregate(share, np.array([0.7, 0.3]))
    assert found.share == pytest.approx(0.553333, abs=5e-7)
    assert engine.ratio_of_share(found.share) == pytest.approx(1.238806, abs=5e-7)
    assert found.weighting == "open_interest"


def test_two_and_a_half_are_balance() -> None:
    found = engine.aggregate(engine.share_of_ratio(np.array([2.0, 0.5])), np.array([1.0, 1.0]))
    assert (found.share, engine.ratio_of_share(found.share)) == (0.5, 1.0)


@given(st.floats(0.001, 0.999))
def test_a_share_becomes_its_ratio_and_back(share: float) -> None:
    ratio = engine.ratio_of_share(share)
    assert ratio is not None
    back = float(engine.share_of_ratio(np.array([ratio]))[0])
    assert back == pytest.approx(share, abs=1e-6)


def test_nobody_short_has_no_ratio() -> None:
    assert engine.ratio_of_share(1.0) is None
    assert engine.ratio_of_share(0.0) == 0.0
    assert engine.ratio_of_share(None) is None


def test_one_venue_is_its_own_aggregate() -> None:
    found = engine.aggregate(np.array([NAN, 0.6]), np.array([NAN, NAN]))
    assert (found.share, found.weighting, found.oi_usd, found.consensus) == (
        0.6,
        "none",
        None,
        None,
    )
    assert engine.usable(np.array([NAN, 0.6]), np.array([NAN, NAN])).tolist() == [False, True]


def test_several_venues_need_weights() -> None:
    found = engine.aggregate(np.array([0.4, 0.6]), np.array([NAN, NAN]))
    assert (found.share, found.reason) == (None, "no_weights")
    partly = engine.aggregate(np.array([0.4, 0.6]), np.array([5.0, NAN]))
    assert (partly.share, partly.consensus) == (0.4, None)
    assert engine.usable(np.array([0.4, 0.6]), np.array([5.0, NAN])).tolist() == [True, False]
    assert engine.aggregate(np.array([NAN]), np.array([1.0])).reason == "no_data"


def test_consensus_by_hand() -> None:
    # METHODS section 2.2 has the same form: w .5, .3, .2 and d .4, .2, -.1.
    share = np.array([0.9, 0.7, 0.4])
    assert engine.consensus(share, np.array([0.5, 0.3, 0.2])) == pytest.approx(0.6127660, abs=5e-8)
    assert engine.consensus(np.array([0.7, 0.7]), np.array([1.0, 9.0])) == 1.0
    assert engine.consensus(np.array([0.6, 0.4]), np.array([2.0, 2.0])) == pytest.approx(0.0)
    assert engine.consensus(np.array([0.5, 0.5]), np.array([2.0, 2.0])) is None
    assert engine.consensus(np.array([0.7, NAN]), np.array([2.0, 2.0])) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1e-3, 1e12)), min_size=2, max_size=6))
def test_consensus_and_share_stay_in_their_bounds(venues: list[tuple[float, float]]) -> None:
    share = np.array([one for one, _ in venues])
    oi_usd = np.array([one for _, one in venues])
    found = engine.aggregate(share, oi_usd)
    assert found.share is not None
    assert share.min() - 1e-9 <= found.share <= share.max() + 1e-9
    assert found.consensus is None or 0.0 <= found.consensus <= 1.0


def test_the_past_is_of_the_same_venues_with_the_weights_of_its_time() -> None:
    share = np.array([[0.6, 0.6, NAN], [0.4, 0.4, 0.4]])
    interest = np.array([[3.0, NAN, 1.0], [1.0, 1.0, 1.0]])
    found = engine.share_window(share, interest, np.array([1.0, 1.0]))
    assert found[0] == pytest.approx((0.6 * 3 + 0.4) / 4)
    # One weight of then is not known: both of now count.
    assert found[1] == pytest.approx(0.5)
    assert np.isnan(found[2])


@pytest.mark.parametrize(
    ("share", "word"),
    [
        (1.0, "longs_crowded"), (0.7, "longs_crowded"), (0.6999, "longs_lead"),
        (0.55, "longs_lead"), (0.5499, "balanced"), (0.5, "balanced"), (0.4501, "balanced"),
        (0.45, "shorts_lead"), (0.3001, "shorts_lead"), (0.3, "shorts_crowded"), (0.0, "shorts_crowded"),
    ],
)  # fmt: skip
def test_words_of_a_crowd(share: float, word: str) -> None:
    assert engine.crowd_state(share) == word


@pytest.mark.parametrize(
    ("share", "word"),
    [
        (0.6, "buyers_dominate"), (0.5999, "net_buying"), (0.525, "net_buying"),
        (0.5249, "balanced"), (0.4751, "balanced"), (0.475, "net_selling"),
        (0.4001, "net_selling"), (0.4, "sellers_dominate"),
    ],
)  # fmt: skip
def test_words_of_takers(share: float, word: str) -> None:
    assert engine.taker_state(share) == word


def test_nothing_known_is_nothing_said() -> None:
    assert engine.crowd_state(None) is None
    assert engine.taker_state(None) is None
